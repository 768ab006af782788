import CKinaLinux
import KinaCore

extension OCIContainers {
    func stop(_ reference: String, timeoutMs: Int64?, _ call: Call) throws -> ContainerStatus {
        try locked(reference, call) { record in
            try record.requireWhole()
            guard let process = liveProcess(record) else { return status(record) }
            let name =
                record.spec.stopSignal
                ?? (record.imageConfig.stopSignal.isEmpty ? "TERM" : record.imageConfig.stopSignal)
            let grace = timeoutMs ?? Int64(record.spec.stopTimeout * 1000)
            let group = cgroup(record)
            if group.isFrozen { try runtime(["resume", record.id], call, "resume container \(record.name)") }
            let graceful = try Step.stopSignal.perform(call) {
                try send(try Signals.number(of: name, field: "stopSignal"), to: process)
                return try waitForDeath(process, call, ms: grace)
            }
            if !graceful {
                try Step.stopKill.perform(call) { try kill(record, process, call) }
            }
            try end(&record, call)
            context.journal.append(.container, "stop", id: record.id, name: record.name)
            return status(record)
        }
    }

    /// The process is dead: waits for its supervisor's word on how it ended, then settles.
    func end(_ record: inout ContainerRecord, _ call: Call) throws {
        awaitExitFile(record)
        try settle(&record, ending(of: record), call)
    }

    /// Its supervisor writes how it ended within a millisecond or two, then runs kina-exit, which waits for our lock.
    func awaitExitFile(_ record: ContainerRecord, ms: Int64 = 5_000) {
        guard let supervisor = record.run?.supervisor, record.run?.process != nil else { return }
        let exits = paths(record).exits
        guard let bound = try? Call(timeoutMs: ms) else { return }
        // Without the directory the run was cleared half, and the supervisor has nowhere to write.
        while Files.exists(exits), !Files.exists("\(exits)/\(record.id)"), supervisor.isAlive {
            do { try bound.sleep(ms: 1, for: "the supervisor of \(record.name)") } catch { return }
        }
    }

    private func kill(_ record: ContainerRecord, _ process: ProcessIdentity, _ call: Call) throws {
        try cgroup(record).kill(call)
        guard try waitForDeath(process, call, ms: 10_000) else {
            throw KinaError(
                .internal, "process \(process.pid) of container '\(record.name)' does not die",
                hint: "it hangs in the kernel; look at /proc/\(process.pid)/stack")
        }
    }

    /// false when it still lives after the time.
    func waitForDeath(_ process: ProcessIdentity, _ call: Call, ms: Int64) throws -> Bool {
        let raw = kina_linux_pidfd_open(process.pid)
        guard raw >= 0 else { return true }
        let fd = FileDescriptor(raw)
        guard process.isAlive else { return true }
        do {
            try call.within(ms: ms).waitReadable(fd.raw, for: "process \(process.pid) to end")
            return true
        } catch let error as KinaError where error.code == .deadlineExceeded {
            try call.check("process \(process.pid) to end")
            return false
        }
    }

    /// To the very process that was meant, or not at all.
    func send(_ signal: Int32, to process: ProcessIdentity) throws {
        let raw = kina_linux_pidfd_open(process.pid)
        guard raw >= 0 else { return }
        let fd = FileDescriptor(raw)
        guard process.isAlive else { return }
        let result = kina_linux_pidfd_send_signal(fd.raw, signal)
        if result < 0, result != -ESRCH { throw KinaError(Errno(-result, "kill"), "sending signal \(signal)") }
    }

    func signal(_ reference: String, _ signal: Int32, _ call: Call) throws {
        let record = try store.find(reference)
        let process = try requireRunning(record, to: "kill")
        try send(signal, to: process)
        context.journal.append(.container, "kill", id: record.id, name: record.name, ["signal": "\(signal)"])
    }

    /// Waits until the container does not run, and says how it ended.
    func waitForEnd(_ reference: String, _ call: Call) throws -> ExitStatus {
        let id = try store.find(reference).id
        while let record = try store.load(id), let process = liveProcess(record) {
            let raw = kina_linux_pidfd_open(process.pid)
            if raw >= 0 {
                let fd = FileDescriptor(raw)
                try call.waitReadable(fd.raw, for: "container '\(record.name)' to end")
            }
            try awaitSettlement(record, call)
        }
        // Dead before we came, and perhaps so lately that nobody has said how yet.
        if let record = try store.load(id), record.run?.process != nil { try awaitSettlement(record, call) }
        guard let record = try store.load(id) else {
            throw KinaError(
                .notFound, "container '\(reference)' was deleted while it was waited for",
                details: ["reference": reference])
        }
        guard let exit = status(record).exit else {
            throw KinaError(
                .failedPrecondition, "container '\(record.name)' has never run", hint: "start it first",
                details: ["state": "created"])
        }
        return exit
    }

    /// A dead process, and perhaps a supervisor that has not said how yet: a moment for it.
    private func awaitSettlement(_ record: ContainerRecord, _ call: Call) throws {
        let file = "\(paths(record).exits)/\(record.id)"
        for _ in 0..<5000 {
            guard let now = try store.load(record.id), now.run?.startedAt == record.run?.startedAt, now.exit == nil,
                !Files.exists(file), record.run?.supervisor?.isAlive ?? false
            else { return }
            try call.sleep(ms: 1, for: "the supervisor of \(record.name)")
        }
    }

    func pause(_ reference: String, _ call: Call) throws -> ContainerStatus {
        try freeze(reference, true, "pause", call)
    }

    func resume(_ reference: String, _ call: Call) throws -> ContainerStatus {
        try freeze(reference, false, "resume", call)
    }

    private func freeze(_ reference: String, _ frozen: Bool, _ verb: String, _ call: Call) throws -> ContainerStatus {
        try locked(reference, call) { record in
            _ = try requireRunning(record, to: verb)
            if cgroup(record).isFrozen == frozen {
                throw KinaError(
                    .failedPrecondition,
                    "can't \(verb) container '\(record.name)': it is \(frozen ? "paused already" : "not paused")")
            }
            try runtime([verb, record.id], call, "\(verb) container \(record.name)")
            context.journal.append(.container, verb, id: record.id, name: record.name)
            return status(record)
        }
    }

    func update(_ reference: String, _ resources: ResourcesSpec, _ call: Call) throws -> ContainerStatus {
        try resources.validate()
        try resources.requireCPUs()
        return try locked(reference, call) { record in
            try record.requireWhole()
            let before = record
            record.spec.resources.merge(resources)
            try record.spec.resources.validate()
            try store.save(record)
            if liveProcess(record) != nil {
                do {
                    let limits = try OCIConfig.resources(record.spec.resources, context)
                    try apply(limits, record, call)
                } catch {
                    throw undo(error) { try store.save(before) }
                }
            }
            context.journal.append(.container, "update", id: record.id, name: record.name)
            return status(record)
        }
    }

    private func apply(_ limits: [UInt8], _ record: ContainerRecord, _ call: Call) throws {
        let output = try Command(
            context.tools.ociRuntime, ["--root", "\(context.run)/oci", "update", "--resources", "-", record.id]
        ).run(call, input: limits)
        guard output.status.isSuccess else {
            throw RuntimeFailure.classify(output.errorText, "update container \(record.name)")
        }
    }

    func delete(_ reference: String, force: Bool, _ call: Call) throws {
        try locked(reference, call) { record in
            if let process = liveProcess(record) {
                guard force else {
                    throw KinaError(
                        .failedPrecondition, "container '\(record.name)' is running",
                        hint: "stop it first, or delete it with force")
                }
                try kill(record, process, call)
            }
            try destroy(&record, call)
        }
    }

    /// Removes a container and all that belongs to it. Repeatable from wherever it was cut off.
    func destroy(_ record: inout ContainerRecord, _ call: Call) throws {
        record.phase = .deleting
        let doomed = record
        try Step.deleteRecord.finish(call) {
            do { try store.save(doomed, sync: false) } catch let full as KinaError where full.code == .resourceExhausted
            {
                // A full disk is what deleting is for: the container's own files make room for the word that it goes.
                try tearDown(record.id, call)
                let paths = paths(record)
                let own = [
                    paths.upper, paths.work, paths.log, "\(paths.log).1", paths.hosts, paths.hostnameFile,
                    paths.resolvConf,
                ]
                for path in own { try Files.removeTree(path) }
                // Without that word it goes all the same: what follows is removal only.
                try? store.save(doomed, sync: false)
            }
        }
        try tearDown(record.id, call)
        try Step.deleteLeases.finish(call) { try networks.release(doomed.id) }
        try Step.deleteVolumes.finish(call) { try volumes.release(doomed.id) }
        try Step.deleteCommit.finish(call) { try store.remove(doomed.id, name: doomed.name) }
        // The runtime makes them again: milliseconds after its container's record, which would have been seen here.
        if try store.ids().isEmpty { CgroupTree.removeParents(context) }
        context.journal.append(.container, "delete", id: record.id, name: record.name)
        try Step.deleteImage.finish(call) {
            // The container is gone, whatever happens here: what is left of an image is `prune`'s as well.
            try? images.letGo(of: doomed.imageDigest, reference: doomed.spec.image, call)
        }
    }
}

extension ResourcesSpec {
    /// Takes over what the other one gives.
    mutating func merge(_ other: ResourcesSpec) {
        cpus = other.cpus ?? cpus
        cpuWeight = other.cpuWeight ?? cpuWeight
        cpuset = other.cpuset ?? cpuset
        if let memory = other.memory, other.memorySwap == nil, self.memory == memorySwap { memorySwap = memory }
        memory = other.memory ?? memory
        memorySwap = other.memorySwap ?? memorySwap
        pids = other.pids ?? pids
    }
}
