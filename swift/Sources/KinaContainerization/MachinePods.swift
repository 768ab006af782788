#if Containerization
    import KinaCore

    /// Pods, each a virtual machine that its containers share.
    struct MachinePods: PodBackend {
        let machines: PodMachines
        let containers: MachineContainers
        private var store: Store<PodRecord> { machines.store }
        private var networks: MachineNetworks { containers.networks }

        // MARK: Reading

        func get(_ reference: String) throws -> PodStatus { try status(try store.find(reference)) }

        func list() throws -> PodList {
            let members = try containers.store.podMembers()
            let pods = try store.all().sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
            return PodList(pods.map { status($0, members[$0.id] ?? []) })
        }

        private func status(_ pod: PodRecord) throws -> PodStatus {
            status(pod, try containers.store.podMembers()[pod.id] ?? [])
        }

        private func status(_ pod: PodRecord, _ members: [ContainerRecord]) -> PodStatus {
            pod.status(isUp: machines.isUp(pod), containers: members.map(\.id))
        }

        // MARK: Making

        /// It boots with the first container that starts: Virtualization.framework takes disks only before.
        func create(_ spec: PodSpec, _ call: Call) throws -> PodStatus {
            try spec.validate()
            try Limits.check(spec)
            if let name = spec.name { try store.requireFree(name) }
            var pod = PodRecord(spec, owner: containers.me)
            try store.insert(pod, sync: false)
            let lock = try store.lock(pod.id, call)
            defer { lock.unlock() }
            do { try equip(&pod, call) } catch { throw undo(error) { try remove(&pod, call) } }
            journal("create", pod)
            return try status(pod)
        }

        private func equip(_ pod: inout PodRecord, _ call: Call) throws {
            let (id, sandbox) = (pod.id, pod.spec.sandbox)
            if sandbox.namespaces.network == .private {
                pod.addresses = try networks.lease(id, sandbox.networks, call)
                pod.ports = try machines.ports.take(sandbox.ports, for: id, call)
            }
            pod.phase = .ready
            pod.owner = nil
            try makeReady(&pod)
        }

        private func makeReady(_ pod: inout PodRecord) throws {
            pod.bootID = PodMachines.ready
            pod.startedAt = Clock.now()
            try store.save(pod)
        }

        // MARK: Its life

        func start(_ reference: String, _ call: Call) throws -> PodStatus {
            try machines.locked(reference, call) { pod in
                try pod.requireWhole()
                if machines.isUp(pod) { return try status(pod) }
                try machines.tearDown(pod)
                try makeReady(&pod)
                journal("start", pod)
                return try status(pod)
            }
        }

        func stop(_ reference: String, timeoutMs: Int64?, _ call: Call) throws -> PodStatus {
            try machines.locked(reference, call) { pod in
                try pod.requireWhole()
                // The last one made goes first: it may need the others.
                for member in try (containers.store.podMembers()[pod.id] ?? []).reversed() {
                    do { _ = try containers.stop(member.id, timeoutMs: timeoutMs, call) } catch let gone as KinaError
                        where gone.code == .notFound
                    {}
                }
                guard pod.bootID != nil else { return try status(pod) }
                pod.bootID = nil
                try store.save(pod)
                try machines.tearDown(pod)
                containers.spreadNames(of: pod)
                journal("stop", pod)
                return try status(pod)
            }
        }

        func delete(_ reference: String, force: Bool, _ call: Call) throws {
            try machines.locked(reference, call) { pod in
                let running = try (containers.store.podMembers()[pod.id] ?? []).filter { containers.isRunning($0.id) }
                guard force || running.isEmpty else {
                    let names = running.map { "'\($0.name)'" }.joined(separator: ", ")
                    throw KinaError(
                        .failedPrecondition, "pod '\(pod.name)' has containers that run: \(names)",
                        hint: "stop it first, or delete it with force")
                }
                try remove(&pod, call)
                journal("delete", pod)
            }
        }

        /// Repeatable from wherever it was cut off.
        private func remove(_ pod: inout PodRecord, _ call: Call) throws {
            pod.phase = .deleting
            try store.save(pod, sync: false)
            for member in try containers.store.podMembers()[pod.id] ?? [] {
                do { try containers.delete(member.id, force: true, call) } catch let gone as KinaError
                    where gone.code == .notFound
                {}
            }
            try machines.tearDown(pod)
            containers.spreadNames(of: pod)
            try networks.release(pod.id)
            try machines.ports.release(pod.id)
            try store.remove(pod.id, name: pod.name)
        }

        private func journal(_ action: String, _ pod: PodRecord) {
            containers.journal.append(.pod, action, id: pod.id, name: pod.name)
        }

        // MARK: Pruning

        /// Before networks are looked at: pods hold addresses on them.
        func prune(_ request: PruneRequest, _ result: inout PruneResult, _ call: Call) throws {
            for pod in try store.all() {
                let state = try status(pod)
                do {
                    if state.state == .deleting {
                        try delete(pod.id, force: true, call)
                        result.leftovers.append("pod \(pod.name), half made or half deleted")
                    } else if request.containers, state.state == .stopped, state.containers.isEmpty,
                        pod.spec.labels.contain(request.labels)
                    {
                        try delete(pod.id, force: false, call)
                        result.pods.append(pod.name)
                    }
                } catch let error as KinaError where [.notFound, .failedPrecondition].contains(error.code) {
                    // Somebody else deleted or started it meanwhile: theirs.
                }
            }
            result.leftovers += try store.sweep()
        }
    }
#endif
