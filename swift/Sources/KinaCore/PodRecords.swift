// What every backend asks of pods' records.

/// A pod that is whole, and stays so for as long as the lock is held.
package struct HeldPod {
    package let pod: PodRecord
    package let lock: FileLock
}

extension Store<PodRecord> {
    /// Network id → names of pods.
    package func networkUsers() throws -> [String: [String]] {
        try users { pod in pod.addresses.map { ($0.networkID, pod.name) } }
    }

    package func hold(_ reference: String, _ call: Call) throws -> HeldPod {
        let (pod, lock) = try find(reference, shared: true, call)
        try pod.requireWhole()
        return HeldPod(pod: pod, lock: lock)
    }
}

/// Pods on record, whose containers are as well.
package protocol RecordedPods: PodBackend {
    associatedtype Containers: ContainerBackend
    var store: Store<PodRecord> { get }
    var containers: Containers { get }
    var containerStore: Store<ContainerRecord> { get }
    func isUp(_ pod: PodRecord) -> Bool
}

extension RecordedPods {
    package func get(_ reference: String) throws -> PodStatus { try status(try store.find(reference)) }

    package func list() throws -> PodList {
        let members = try containerStore.podMembers()
        return PodList(try store.inOrder().map { status($0, members[$0.id] ?? []) })
    }

    package func status(_ pod: PodRecord) throws -> PodStatus { status(pod, try containerStore.members(of: pod)) }

    private func status(_ pod: PodRecord, _ members: [ContainerRecord]) -> PodStatus {
        pod.status(isUp: isUp(pod), containers: members.map(\.id))
    }

    /// Refuses to have a pod deleted while containers run in it.
    package func requireNoneRuns(in pod: PodRecord, _ runs: (ContainerRecord) -> Bool) throws {
        let names = try containerStore.members(of: pod).filter(runs).map { "'\($0.name)'" }
        if names.isEmpty { return }
        throw KinaError(
            .failedPrecondition, "pod '\(pod.name)' has containers that run: \(names.joined(separator: ", "))",
            hint: "stop it first, or delete it with force")
    }

    /// The last one made goes first: it may need the others.
    package func stopMembers(of pod: PodRecord, timeoutMs: Int64?, _ call: Call) throws {
        for member in try containerStore.members(of: pod).reversed() {
            do { _ = try containers.stop(member.id, timeoutMs: timeoutMs, call) } catch let gone as KinaError
                where gone.code == .notFound
            {}
        }
    }

    package func deleteMembers(of pod: PodRecord, _ call: Call) throws {
        for member in try containerStore.members(of: pod) {
            do { try containers.delete(member.id, force: true, call) } catch let gone as KinaError
                where gone.code == .notFound
            {}
        }
    }

    /// Deletes what is half made or half deleted and, when asked for, what is stopped and empty.
    package func prunePods(_ request: PruneRequest, _ result: inout PruneResult, _ call: Call) throws {
        for pod in try list().pods {
            do {
                if pod.state == .deleting {
                    try delete(pod.id, force: true, call)
                    result.leftovers.append("pod \(pod.name), half made or half deleted")
                } else if request.containers, pod.state == .stopped, pod.containers.isEmpty,
                    pod.labels.contain(request.labels)
                {
                    try delete(pod.id, force: false, call)
                    result.pods.append(pod.name)
                }
            } catch let error as KinaError where [.notFound, .failedPrecondition].contains(error.code) {
                // Somebody else deleted or started it meanwhile: theirs.
            }
        }
    }
}
