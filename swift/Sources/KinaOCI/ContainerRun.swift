import CKinaLinux
import KinaCore

extension OCIContainers {
    func start(_ reference: String, _ call: Call) throws -> ContainerStatus {
        // A pod's lock comes before its containers'; what pod a container is in never changes.
        let hold = try store.find(reference).podID.map { try sandboxes.hold($0, up: true, call) }
        return try withExtendedLifetime(hold) {
            try locked(reference, call) { record in
                try record.requireWhole()
                if liveProcess(record) != nil {
                    throw KinaError(
                        .failedPrecondition, "container '\(record.name)' is running already",
                        hint: "stop it first, or use restart")
                }
                try begin(&record, call)
                return status(record)
            }
        }
    }

    /// Brings a stopped container up under a supervisor. Undone when it throws.
    func begin(_ record: inout ContainerRecord, _ call: Call) throws {
        let before = record
        do {
            try prepareRun(&record, call)
            let supervisor = Supervisor(context, record, paths(record))
            let (process, monitor) = try Step.startSupervisor.perform(call) { try supervisor.launch(call) }
            record.run?.process = process
            record.run?.supervisor = monitor
            let identified = record
            try Step.startIdentity.perform(call) { try store.save(identified, sync: false) }
            try Step.startProcess.perform(call) {
                try runtime(["start", record.id], call, "start container \(record.name)")
            }
        } catch {
            throw undo(error) {
                try tearDown(record.id, call)
                record = before
                try store.save(record, sync: false)
            }
        }
        context.journal.append(.container, "start", id: record.id, name: record.name)
    }

    /// Everything up to the process: the record that says a run begins, mount, network, bundle.
    func prepareRun(_ record: inout ContainerRecord, _ call: Call) throws {
        let paths = paths(record)
        record.run = ContainerRecord.Run(bootID: bootID, startedAt: Clock.now())
        record.lastStart = record.run?.startedAt
        record.exit = nil
        let begun = record
        try Step.startRecord.perform(call) {
            try store.save(begun, sync: false)
            // What a power failure or a crash left of an earlier run; /run is not a tmpfs everywhere.
            if Files.exists(paths.run) { try tearDown(begun.id, call) }
        }
        let image = try images.prepare(digest: record.imageDigest, call)
        try Step.startMount.perform(call) {
            try doing("mounting the root of container \(begun.name)") {
                for directory in [paths.rootfs, paths.exits, paths.sockets] { try Files.makeDirectories(directory) }
                try mountRoot(begun, lower: image.rootfs, at: paths.rootfs)
            }
        }
        if record.podID == nil, record.spec.sandbox.namespaces.network == .private {
            try Step.startNamespace.perform(call) {
                _ = try doing("making a network namespace for container \(begun.name)") {
                    try checkLinux("pin netns", kina_linux_pin_netns(paths.netns))
                }
            }
            try Step.startNetwork.perform(call) { try networks.connect(endpoint(begun), call) }
        }
        try Step.startConfig.perform(call) { try writeBundle(begun) }
    }

    private func writeBundle(_ record: ContainerRecord) throws {
        let paths = paths(record)
        let netns = record.spec.sandbox.namespaces.network == .private ? paths.netns : nil
        let config = try OCIConfig.bundle(
            BundleRequest(
                record: record, paths: paths, cgroup: cgroup(record).path, netns: netns,
                shared: record.podID.map(sandboxes.paths)), context)
        try doing("writing the bundle of container \(record.name)") {
            let fd = try FileDescriptor.open("\(paths.bundle)/config.json", O_WRONLY | O_CREAT | O_TRUNC)
            try writeAll(fd.raw, config)
        }
    }

    func endpoint(_ record: ContainerRecord) -> OCINetworks.Endpoint {
        let names = record.addresses.map { ($0.networkID, record.names(onNetwork: $0.networkID)) }
        return OCINetworks.Endpoint(
            container: record.id, names: Dictionary(names) { $1 }, addresses: record.addresses, ports: record.ports,
            netns: paths(record).netns)
    }

    private func mountRoot(_ record: ContainerRecord, lower: String, at target: String) throws {
        let paths = paths(record)
        // Options are separated by commas and layers by colons: kina's own paths have neither, a user's home might.
        let escape = { (path: String) in path.reduce(into: "") { $0 += "\\,:".contains($1) ? "\\\($1)" : "\($1)" } }
        let options = "lowerdir=\(escape(lower)),upperdir=\(escape(paths.upper)),workdir=\(escape(paths.work))"
        try checkLinux("mount overlay", kina_linux_mount("overlay", target, "overlay", UInt(MS_NODEV), options))
    }

    /// Mounts the root of a container that does not run, with its volumes and binds, for `body` only.
    func withRootMounted<T>(_ reference: String, _ call: Call, _ body: (String) throws -> T) throws -> T {
        try locked(reference, call) { record in
            try record.requireWhole()
            if liveProcess(record) != nil {
                throw KinaError(.failedPrecondition, "container '\(record.name)' is running")
            }
            let paths = paths(record)
            let image = try images.prepare(digest: record.imageDigest, call)
            do {
                try doing("mounting the root of container \(record.name)") {
                    try Files.makeDirectories(paths.rootfs)
                    try mountRoot(record, lower: image.rootfs, at: paths.rootfs)
                }
                let root = try ContainerRoot(at: paths.rootfs)
                for mount in record.mounts.sorted(by: { $0.spec.target < $1.spec.target }) {
                    guard let source = mount.source else { continue }  // a tmpfs comes and goes with the run
                    try root.bind(source, at: mount.spec.target, readOnly: mount.spec.readOnly)
                }
                let result = try body(paths.rootfs)
                try tearDown(record.id, call)
                return result
            } catch {
                throw undo(error) { try tearDown(record.id, call) }
            }
        }
    }

    // MARK: The end of a run

    /// Records the end of a run that is over, and clears what it leaves.
    func reconcile(_ record: inout ContainerRecord, _ call: Call) throws {
        guard let run = record.run else { return }
        if let process = liveProcess(record) {
            if run.process == nil {
                record.run?.process = process
                if let text = try? Files.readText(paths(record).supervisorPidFile),
                    let pid = Int32(text.filter { !$0.isWhitespace })
                {
                    record.run?.supervisor = ProcessIdentity(pid: pid)
                }
                try store.save(record, sync: false)
            }
            try endOrphans(record)
            return
        }
        try end(&record, call)
    }

    /// A run is over: exit recorded first, then everything it used cleared, then the run forgotten.
    func settle(_ record: inout ContainerRecord, _ exit: ExitStatus, _ call: Call) throws {
        let neverBegan = record.run?.process == nil && exit.reason == .lost
        record.exit = neverBegan ? record.exit : exit
        let ended = record
        try Step.endRecord.finish(call) { try store.save(ended, sync: false) }
        try tearDown(record.id, call)
        record.run = nil
        let settled = record
        try Step.endCommit.finish(call) { try store.save(settled, sync: false) }
        if neverBegan { return }
        var attributes = ["reason": exit.reason.rawValue]
        attributes["exitCode"] = exit.exitCode.map { "\($0)" }
        if exit.reason == .oom { context.journal.append(.container, "oom", id: record.id, name: record.name) }
        context.journal.append(.container, "die", id: record.id, name: record.name, attributes)
    }

    /// Ends and removes everything of a run: processes, cgroup, network, mounts, files. Idempotent, and complete even
    /// when one part fails; not cut short by the call, but bounded in time.
    func tearDown(_ id: String, _ call: Call) throws {
        let paths = ContainerPaths(context, id)
        let bound = try Call(timeoutMs: 30_000)
        let group = Cgroup(context, id)
        var failures: [KinaError] = []
        func part(_ step: Step, _ body: () throws -> Void) {
            do { try step.finish(call, body) } catch { failures.append(KinaError(error)) }
        }
        part(.endProcesses) {
            try group.kill(bound)
        }
        part(.endRuntime) {
            try clearRuntime(paths, bound)
        }
        part(.endCgroup) { try group.remove() }
        part(.endNetwork) { try networks.disconnect(id, bound) }
        part(.endNamespace) { try Mounts.unmount(paths.netns) }
        part(.endMount) { try Mounts.unmount(paths.rootfs) }
        if failures.isEmpty {
            part(.endFiles) { try doing("removing \(paths.run)") { try Files.removeTree(paths.run) } }
        }
        guard let first = failures.first else { return }
        throw failures.dropFirst().reduce(first) { $0.caused(by: $1) }
    }

    /// Of a container whose processes are dead, runc and crun keep this directory and the cgroup, which is removed next:
    /// starting them only for that would cost more than all the rest. Others may keep more, a virtual machine for one.
    private func clearRuntime(_ paths: ContainerPaths, _ call: Call) throws {
        let state = "\(paths.runtimeRoot)/\(paths.id)"
        guard Files.exists(state) else { return }
        if let name = context.tools.ociRuntime.split(separator: "/").last, ["runc", "crun"].contains(name) {
            return try doing("removing \(state)") { try Files.removeTree(state) }
        }
        try runtime(["delete", "--force", paths.id], call, "clear container \(paths.id)")
    }

    /// Runs the OCI runtime; its own words become the error's.
    @discardableResult
    func runtime(_ arguments: [String], _ call: Call, _ doing: String) throws -> Command.Output {
        let root = "\(context.run)/oci"
        let output = try Command(context.tools.ociRuntime, ["--root", root] + arguments).run(call)
        guard output.status.isSuccess else { throw RuntimeFailure.classify(output.errorText, doing) }
        return output
    }

    /// The supervisor's notice that a container has ended.
    func exited(_ id: String) throws {
        let call = try Call(timeoutMs: 60_000)
        let lock = try store.lock(id, call)
        defer { lock.unlock() }
        guard var record = try store.load(id) else { return }
        // Perhaps not the run that the notice is about: a later one may have ended since, its own supervisor not heard yet.
        if record.run != nil, liveProcess(record) == nil { try end(&record, call) }
        if record.spec.remove, record.run == nil, record.exit != nil { try destroy(&record, call) }
    }
}
