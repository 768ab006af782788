#if Containerization
    import KinaCore

    /// Pods, each a virtual machine that its containers share.
    struct MachinePods: RecordedPods {
        let machines: PodMachines
        let containers: MachineContainers
        var store: Store<PodRecord> { machines.store }
        var containerStore: Store<ContainerRecord> { containers.store }
        private var networks: MachineNetworks { containers.networks }

        func isUp(_ pod: PodRecord) -> Bool { machines.isUp(pod) }

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
            try store.locked(reference, call) { pod in
                try pod.requireWhole()
                if isUp(pod) { return try status(pod) }
                try machines.tearDown(pod)
                try makeReady(&pod)
                journal("start", pod)
                return try status(pod)
            }
        }

        func stop(_ reference: String, timeoutMs: Int64?, _ call: Call) throws -> PodStatus {
            try store.locked(reference, call) { pod in
                try pod.requireWhole()
                try stopMembers(of: pod, timeoutMs: timeoutMs, call)
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
            try store.locked(reference, call) { pod in
                if !force { try requireNoneRuns(in: pod) { containers.isRunning($0.id) } }
                try remove(&pod, call)
                journal("delete", pod)
            }
        }

        /// Repeatable from wherever it was cut off.
        private func remove(_ pod: inout PodRecord, _ call: Call) throws {
            pod.phase = .deleting
            try store.save(pod, sync: false)
            try deleteMembers(of: pod, call)
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
            try prunePods(request, &result, call)
            result.leftovers += try store.sweep()
        }
    }
#endif
