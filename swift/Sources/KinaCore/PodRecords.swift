// What every backend asks of pods' records.

/// A pod that is whole, and stays so for as long as the lock is held.
package struct HeldPod {
    package let pod: PodRecord
    package let lock: FileLock
}

extension Store<PodRecord> {
    /// Network id → names of pods.
    package func networkUsers() throws -> [String: [String]] {
        try all().reduce(into: [:]) { users, pod in
            for address in pod.addresses { users[address.networkID, default: []].append(pod.name) }
        }
    }

    /// In the order of their making.
    package func inOrder() throws -> [PodRecord] {
        try all().sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
    }

    package func hold(_ reference: String, _ call: Call) throws -> HeldPod {
        let (pod, lock) = try find(reference, shared: true, call)
        try pod.requireWhole()
        return HeldPod(pod: pod, lock: lock)
    }
}

extension PodRecord {
    /// Refuses to have a pod deleted while containers run in it.
    package func requireNone(running: [ContainerRecord]) throws {
        guard !running.isEmpty else { return }
        let names = running.map { "'\($0.name)'" }.joined(separator: ", ")
        throw KinaError(
            .failedPrecondition, "pod '\(name)' has containers that run: \(names)",
            hint: "stop it first, or delete it with force")
    }
}

extension PodBackend {
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
