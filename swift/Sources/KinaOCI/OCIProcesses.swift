import CKinaLinux
import KinaCore
import Synchronization

/// Further processes in containers. Each has the caller's own descriptors; a parent of kina's on the host (kina-exit), which is
/// a child of this program and tells how the process ended; and a cgroup inside the container's, so that it ends with
/// all its children. When this program dies, its processes are ended.
///
/// When a program can't be started, the OCI runtime writes so to the process's standard error as well.
final class OCIProcesses: ProcessBackend {
    private let context: Context
    private let containers: OCIContainers
    private let owner: ProcessIdentity?
    private static let abandoned = Mutex<[ExecProcess]>([])
    private let table = Mutex<[String: ExecProcess]>([:])

    init(_ context: Context, _ containers: OCIContainers) {
        self.context = context
        self.containers = containers
        owner = ProcessIdentity(pid: getpid())
    }

    deinit {
        // A handle's release ends no process: those that run go on until this program ends.
        for process in table.withLock({ Array($0.values) }) {
            if process.hasEnded { _ = try? process.finish() } else { Self.abandoned.withLock { $0.append(process) } }
        }
    }

    func create(_ container: String, _ spec: ProcessSpec, _ streams: Streams, _ call: Call) throws -> String {
        try spec.validate()
        let record = try containers.running(container)
        guard let owner else { throw KinaError(.internal, "/proc is not readable") }
        let process = try ExecProcess(context, record, spec, streams, owner)
        do { try process.start(call) } catch {
            do { try process.end() } catch let further { throw KinaError(error).caused(by: further) }
            throw error
        }
        table.withLock { $0[process.id] = process }
        context.journal.append(
            .container, "exec", id: record.id, name: record.name, ["process": process.id, "command": spec.args[0]])
        return process.id
    }

    func wait(_ container: String, _ process: String?, _ call: Call) throws -> ExitStatus {
        guard let process else { return try containers.waitForEnd(container, call) }
        return try find(container, process).wait(call)
    }

    func kill(_ container: String, _ process: String?, signal: String, _ call: Call) throws {
        let number = try Signals.number(of: signal)
        guard let process else { return try containers.signal(container, number, call) }
        try find(container, process).signal(number)
    }

    func resize(_ container: String, _ process: String?, rows: Int, columns: Int) throws {
        guard let process else { return try containers.resize(container, rows: rows, columns: columns) }
        try find(container, process).resize(rows: rows, columns: columns)
    }

    /// Idempotent. Also ends what another program started.
    func delete(_ container: String, _ process: String) throws {
        if let known = table.withLock({ $0[process] }) {
            try known.end()
            _ = table.withLock { $0.removeValue(forKey: process) }
            return
        }
        guard process.utf8.count == Identifier.length, process.allSatisfy({ $0.isHexDigit }),
            let id = try containers.store.id(of: container)
        else { return }
        let files = ExecFiles(ContainerPaths(context, id), process)
        if Files.exists(files.directory) { try containers.endProcess(process, of: id, files) }
    }

    private func find(_ container: String, _ process: String) throws -> ExecProcess {
        // The container may be gone by now; its processes' ends can still be asked for.
        let id = try containers.store.id(of: container)
        guard let found = table.withLock({ $0[process] }), id == nil || found.container == id else {
            throw KinaError.notFound(
                "process", process, hint: "a process is known only to the program that started it, until it is deleted")
        }
        return found
    }
}

extension OCIContainers {
    /// The size of the container's own terminal, told to conmon.
    func resize(_ reference: String, rows: Int, columns: Int) throws {
        let record = try running(reference)
        guard record.spec.terminal else {
            throw KinaError(
                .failedPrecondition, "container '\(record.name)' has no terminal", hint: "create it with terminal")
        }
        try doing("resizing the terminal of container '\(record.name)'") {
            do {
                // Without a reader (ENXIO) the supervisor is gone.
                let fifo = try FileDescriptor.open("\(paths(record).bundle)/ctl", O_WRONLY | O_NONBLOCK)
                try writeAll(fifo.raw, Array("1 \(rows) \(columns)\n".utf8))
            } catch let error as Errno where error.code == ENXIO {
                throw KinaError(
                    .failedPrecondition, "the supervisor of container '\(record.name)' is gone",
                    hint: "restart the container")
            }
        }
    }
}
