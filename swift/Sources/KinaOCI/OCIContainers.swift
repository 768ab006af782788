import CKinaLinux
import KinaCore

/// Containers: records, and what the kernel, the OCI runtime and conmon make of them.
///
/// A record is changed only under its container's lock; reading needs none. A pod's lock is taken before its containers',
/// a network's after.
final class OCIContainers: ContainerBackend {
    let context: Context
    let store: Store<ContainerRecord>
    let images: OCIImages
    let networks: OCINetworks
    let volumes: OCIVolumes
    let sandboxes: OCISandboxes
    let bootID: String
    /// For `list`, which is asked often: records are only ever replaced as a whole.
    private let known = FileCache<ContainerRecord>()

    init(
        _ context: Context, _ images: OCIImages, _ networks: OCINetworks, _ volumes: OCIVolumes,
        _ sandboxes: OCISandboxes
    ) throws {
        self.context = context
        self.images = images
        self.networks = networks
        self.volumes = volumes
        self.sandboxes = sandboxes
        store = try Store(kind: "container", root: context.home)
        bootID = try doing("reading the boot id") { try Context.bootID() }
    }

    func paths(_ record: ContainerRecord) -> ContainerPaths { ContainerPaths(context, record.id) }
    func cgroup(_ record: ContainerRecord) -> Cgroup { Cgroup(context, record.id) }

    // MARK: Reading

    func get(_ reference: String) throws -> ContainerStatus {
        let record = try store.find(reference)
        var status = status(record)
        status.spec = record.spec
        return status
    }

    func list(_ filter: ContainerFilter) throws -> ContainerList {
        let records = try knownRecords().filter {
            filter.selects(name: $0.name, id: $0.id, labels: $0.spec.labels)
        }
        return ContainerList(records.map(status).selected(by: filter))
    }

    private func knownRecords() throws -> [ContainerRecord] {
        let files = try store.ids().map { ("\(store.directory($0))/record.json", $0) }
        defer { known.keep(only: files.map(\.0)) }
        return files.compactMap { file, id in try? known.value(file) { try store.load(id) } }
    }

    /// What a record and the kernel say together; changes nothing.
    func status(_ record: ContainerRecord) -> ContainerStatus {
        var status = record.status
        if record.phase == .deleting || record.isAbandoned {
            status.state = .deleting
        } else if let run = record.run {
            if let process = liveProcess(record) {
                status.state = cgroup(record).isFrozen ? .paused : .running
                status.pid = process.pid
                status.unsupervised = !(run.supervisor?.isAlive ?? false)
                status.exit = nil
            } else if run.process == nil, isBusy(record) {
                status.state = .created  // being started right now
            } else {
                awaitExitFile(record, ms: 100)
                status.state = .stopped
                status.exit = lastWord(on: record)
            }
        }
        return status
    }

    /// The file with a run's end goes once that is on record, perhaps after we had read the one and before the other.
    private func lastWord(on record: ContainerRecord) -> ExitStatus {
        let exit = ending(of: record)
        guard exit.reason == .lost, let now = try? store.load(record.id), now.lastStart == record.run?.startedAt else {
            return exit
        }
        return now.exit ?? exit
    }

    /// Another call is changing it at this moment.
    private func isBusy(_ record: ContainerRecord) -> Bool {
        guard let fd = try? FileDescriptor.open("\(store.directory(record.id))/lock", O_RDWR) else { return false }
        return flock(fd.raw, LOCK_EX | LOCK_NB) < 0
    }

    /// The container's first process if it is alive, also when a crash kept it out of the record.
    func liveProcess(_ record: ContainerRecord) -> ProcessIdentity? {
        guard let run = record.run, run.bootID == bootID else { return nil }
        if let process = run.process { return process.isAlive ? process : nil }
        // The pid file is all there is: the process must be in our cgroup, and started (runc keeps a fifo until then).
        let paths = paths(record)
        guard let text = try? Files.readText(paths.pidFile), let pid = Int32(text.filter { !$0.isWhitespace }),
            !Files.exists("\(paths.runtimeRoot)/\(record.id)/exec.fifo"),
            (try? cgroup(record).processes())?.contains(pid) == true
        else { return nil }
        return ProcessIdentity(pid: pid)
    }

    /// How a run ended that is not going on any more.
    func ending(of record: ContainerRecord) -> ExitStatus {
        if let exit = record.exit { return exit }
        let file = "\(paths(record).exits)/\(record.id)"
        guard record.run?.bootID == bootID, let text = try? Files.readText(file),
            let code = Int32(text.filter { !$0.isWhitespace })
        else { return ExitStatus(exitCode: nil, reason: .lost, finishedAt: Clock.now()) }
        var info = stat()
        let finished =
            stat(file, &info) == 0
            ? Int64(info.st_mtim.tv_sec) * 1_000_000_000 + Int64(info.st_mtim.tv_nsec) : Clock.now()
        let killedForMemory = code == 128 + SIGKILL && (cgroup(record).oomKills() ?? 0) > 0
        // conmon reports a signal as a shell does.
        let reason: ExitStatus.Reason = killedForMemory ? .oom : (129...192).contains(code) ? .signaled : .exited
        return ExitStatus(exitCode: code, reason: reason, finishedAt: finished)
    }

    // MARK: For the other parts

    /// A container that runs now (paused counts); FAILED_PRECONDITION otherwise. Its record has `run.process`.
    func running(_ reference: String) throws -> ContainerRecord {
        var record = try store.find(reference)
        guard let process = liveProcess(record) else {
            throw KinaError(
                .failedPrecondition, "container '\(record.name)' is not running", hint: "start it first",
                details: ["state": status(record).state.rawValue])
        }
        record.run?.process = process
        return record
    }

    /// Finds, locks, brings the record up to date with what runs, and hands it over.
    func locked<T>(_ reference: String, _ call: Call, _ body: (inout ContainerRecord) throws -> T) throws -> T {
        try store.locked(reference, call) { record in
            try reconcile(&record, call)
            return try body(&record)
        }
    }

    func requireRunning(_ record: ContainerRecord, to verb: String) throws -> ProcessIdentity {
        guard let process = liveProcess(record) else {
            throw KinaError(
                .failedPrecondition, "can't \(verb) container '\(record.name)': it is not running",
                hint: "start it first", details: ["state": status(record).state.rawValue])
        }
        return process
    }
}
