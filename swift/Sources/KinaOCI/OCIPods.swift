import KinaCore

/// Pods: what their sandboxes and their containers come to.
struct OCIPods: RecordedPods {
    let sandboxes: OCISandboxes
    let containers: OCIContainers
    private var context: Context { sandboxes.context }
    var store: Store<PodRecord> { sandboxes.store }
    var containerStore: Store<ContainerRecord> { containers.store }
    private var networks: OCINetworks { sandboxes.networks }

    func isUp(_ pod: PodRecord) -> Bool { sandboxes.isUp(pod) }

    // MARK: Making

    func create(_ spec: PodSpec, _ call: Call) throws -> PodStatus {
        try spec.validate()
        try spec.requireNamespaces()
        if let name = spec.name { try store.requireFree(name) }
        var pod = PodRecord(
            spec, hostname: spec.sandbox.namespaces.uts == .host ? OCIContainers.hostName() : nil,
            owner: ProcessIdentity(pid: getpid()))
        try Step.podRecord.perform(call) { try store.insert(pod, sync: false) }
        let lock = try store.lock(pod.id, call)
        defer { lock.unlock() }
        do {
            try equip(&pod, call)
            try sandboxes.bringUp(&pod, call)
        } catch {
            throw undo(error) { try remove(&pod, call) }
        }
        journal("create", pod)
        return try status(pod)
    }

    private func equip(_ pod: inout PodRecord, _ call: Call) throws {
        let (id, sandbox) = (pod.id, pod.spec.sandbox)
        // Said when it can still be refused: containers have it written down for them.
        _ = try networks.resolvConf([], sandbox.dns)
        if sandbox.namespaces.network == .private {
            pod.addresses = try Step.podLeases.perform(call) { try networks.lease(id, sandbox.networks, call) }
            pod.ports = try Step.podPorts.perform(call) { try networks.leasePorts(id, sandbox.ports, call) }
        }
        pod.phase = .ready
        pod.owner = nil
        let ready = pod
        try Step.podReady.perform(call) { try store.save(ready) }
    }

    // MARK: Its life

    func start(_ reference: String, _ call: Call) throws -> PodStatus {
        try store.locked(reference, call) { pod in
            try pod.requireWhole()
            if isUp(pod) { return try status(pod) }
            try sandboxes.bringUp(&pod, call)
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
            let down = pod
            try Step.podStop.perform(call) { try store.save(down) }
            try Step.podDown.finish(call) { try sandboxes.tearDown(down.id) }
            journal("stop", pod)
            return try status(pod)
        }
    }

    func delete(_ reference: String, force: Bool, _ call: Call) throws {
        try store.locked(reference, call) { pod in
            if !force { try requireNoneRuns(in: pod) { containers.liveProcess($0) != nil } }
            try remove(&pod, call)
            journal("delete", pod)
        }
    }

    /// Repeatable from wherever it was cut off.
    private func remove(_ pod: inout PodRecord, _ call: Call) throws {
        pod.phase = .deleting
        let doomed = pod
        try Step.podDeleteRecord.finish(call) { try store.save(doomed, sync: false) }
        try Step.podDeleteContainers.finish(call) { try deleteMembers(of: doomed, call) }
        try sandboxes.tearDown(doomed.id)
        try Step.podDeleteLeases.finish(call) { try networks.release(doomed.id) }
        try Step.podDeleteCommit.finish(call) { try store.remove(doomed.id, name: doomed.name) }
    }

    private func journal(_ action: String, _ pod: PodRecord) {
        context.journal.append(.pod, action, id: pod.id, name: pod.name)
    }

    // MARK: Pruning

    /// Before networks are looked at: pods hold addresses on them.
    func prune(_ request: PruneRequest, _ result: inout PruneResult, _ call: Call) throws {
        try prunePods(request, &result, call)
        let live = Set(try store.ids())
        for id in try Files.list(SandboxPaths.running(context)) where !live.contains(id) {
            try sandboxes.tearDown(id)
            result.leftovers.append("sandbox of pod \(id)")
        }
        result.leftovers += try store.sweep()
    }
}

extension PodSpec {
    func requireNamespaces() throws {
        var container = ContainerSpec(image: "")
        container.isolation = isolation
        try container.require(.namespaces)
        guard cpus == nil, memory == nil else {
            throw KinaError(
                .unimplemented, "\(cpus == nil ? "memory" : "cpus"): a pod of namespaces has no size of its own",
                hint: "limit its containers, or use isolation 'vm'",
                details: ["field": cpus == nil ? "memory" : "cpus"])
        }
    }
}
