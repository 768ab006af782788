import CKinaLinux
import KinaCore

extension ProcessIdentity {
    /// Readable when it has ended; nil when it has already.
    func descriptor() throws -> FileDescriptor? {
        let raw = kina_linux_pidfd_open(pid)
        if raw == -ESRCH { return nil }
        let fd = FileDescriptor(try checkLinux("pidfd_open \(pid)", raw))
        // The pid may have become another's before it was opened.
        return isAlive ? fd : nil
    }
}

/// The directory of one process that `exec` started: made before the process's cgroup, removed after it.
struct ExecFiles {
    let directory: String
    /// ProcessIdentity of the program that waits for the process. When that is dead, the process is nobody's.
    var owner: String { "\(directory)/owner" }
    var process: String { "\(directory)/process.json" }
    /// Written by the OCI runtime once the process runs.
    var pid: String { "\(directory)/pid" }
    /// The OCI runtime's own log: where there is an error in it, it was not the process that failed.
    var log: String { "\(directory)/log" }

    init(_ paths: ContainerPaths, _ process: String) { directory = "\(paths.processes)/\(process)" }

    func create(_ owner: ProcessIdentity) throws {
        try Files.makeDirectories(directory)
        try Files.writeAtomically(self.owner, try JSON.encode(owner), sync: false)
    }

    func remove() throws { try doing("removing \(directory)") { try Files.removeTree(directory) } }

    /// Whether the program that started the process is gone. While it is only just recording itself, it is not.
    var isOrphan: Bool {
        guard let bytes = try? Files.read(owner),
            let owner = try? JSON.decode(ProcessIdentity.self, from: bytes, what: "owner")
        else {
            var info = stat()
            return stat(directory, &info) != 0 || Int(time(nil)) - Int(info.st_mtim.tv_sec) > 60
        }
        return !owner.isAlive
    }

    /// The process's pid in the host's terms, once it runs.
    var startedPid: Int32? { (try? Files.readText(pid)).flatMap { Int32($0.filter { !$0.isWhitespace }) } }
}

extension OCIContainers {
    /// Ends the processes in a container whose callers have died, with all their children. Says which.
    @discardableResult
    func endOrphans(_ record: ContainerRecord) throws -> [String] { try endProcesses(record) { $0.isOrphan } }

    /// Ends every process that `exec` started in a container.
    @discardableResult
    func endAll(_ record: ContainerRecord) throws -> [String] { try endProcesses(record) { _ in true } }

    private func endProcesses(_ record: ContainerRecord, where condition: (ExecFiles) -> Bool) throws -> [String] {
        let paths = paths(record)
        let all = try doing("listing \(paths.processes)") { try Files.list(paths.processes) }
        let ending = all.filter { condition(ExecFiles(paths, $0)) }
        for process in ending { try endProcess(process, of: record.id, ExecFiles(paths, process)) }
        return ending
    }

    /// Kills its sub-cgroup and removes that and its record. Idempotent.
    func endProcess(_ process: String, of container: String, _ files: ExecFiles) throws {
        let group = Cgroup(context, container)
        try group.killProcessGroup(process, Call.unbounded.within(ms: 30_000))
        try group.removeProcessGroup(process)
        try files.remove()
    }
}
