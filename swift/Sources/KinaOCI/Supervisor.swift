import KinaCore

/// conmon: holds a container's streams, writes its log, knows its exit status; outlives whoever started it.
/// https://github.com/containers/conmon
struct Supervisor {
    let context: Context
    let record: ContainerRecord
    let paths: ContainerPaths

    init(_ context: Context, _ record: ContainerRecord, _ paths: ContainerPaths) {
        self.context = context
        self.record = record
        self.paths = paths
    }

    /// What conmon says on its sync pipe: the pid, or -1 and the OCI runtime's words.
    private struct Report: Decodable {
        var pid: Int32?
        var data: Int32?
        var message: String?
    }

    /// Creates the container, which then waits to be started. On failure nothing of it runs.
    func launch(_ call: Call) throws -> (process: ProcessIdentity, supervisor: ProcessIdentity?) {
        let (conmon, sync) = try spawn()
        do {
            let report = try read(sync, call)
            // conmon has forked itself away by the time it reports; this reaps its first process.
            _ = try conmon.wait(call)
            guard let pid = report.pid ?? report.data, pid > 0 else {
                throw RuntimeFailure.classify(report.message ?? "", "start container \(record.name)")
            }
            guard let process = ProcessIdentity(pid: pid) else {
                throw KinaError(.internal, "container '\(record.name)' died while it was being started")
            }
            LogFiles(paths).settle()
            return (process, identity(paths.supervisorPidFile))
        } catch {
            conmon.kill()
            if let supervisor = identity(paths.supervisorPidFile) { kill(supervisor.pid, SIGKILL) }
            _ = try? conmon.reap()
            throw error
        }
    }

    private func spawn() throws -> (Child, FileDescriptor) {
        let pipe = try FileDescriptor.pipe()
        var command = Command(context.tools.conmon, arguments)
        command.environment["_OCI_SYNCPIPE"] = "3"
        command.environment[Step.crashVariable] = getenv(Step.crashVariable).map { String(cString: $0) }
        command.ownSession = true
        command.diesWithCaller = false
        command.workingDirectory = paths.bundle
        return (try command.spawn(keep: [pipe.write.raw]), pipe.read)
    }

    private func read(_ sync: FileDescriptor, _ call: Call) throws -> Report {
        var line: [UInt8] = []
        while !line.contains(0x0A) {
            try call.waitReadable(sync.raw, for: "the OCI runtime to create container '\(record.name)'")
            guard let chunk = try sync.read(4096), !chunk.isEmpty else { break }
            line += chunk
        }
        guard let end = line.firstIndex(of: 0x0A) ?? (line.isEmpty ? nil : line.endIndex) else {
            throw KinaError(.internal, "conmon ended without a word while starting container '\(record.name)'")
        }
        return try JSON.decode(Report.self, from: line[..<end], what: "conmon's report")
    }

    private func identity(_ file: String) -> ProcessIdentity? {
        guard let text = try? Files.readText(file), let pid = Int32(text.filter { !$0.isWhitespace }) else {
            return nil
        }
        return ProcessIdentity(pid: pid)
    }

    private var arguments: [String] {
        var arguments = [
            "--api-version", "1", "--cid", record.id, "--cuuid", record.id, "--name", record.name,
            "--runtime", context.tools.ociRuntime, "--runtime-arg", "--root=\(paths.runtimeRoot)",
            "--bundle", paths.bundle, "--container-pidfile", paths.pidFile,
            "--conmon-pidfile", paths.supervisorPidFile, "--exit-dir", paths.exits,
            "--socket-dir-path", paths.sockets, "--full-attach", "--log-path", "k8s-file:\(paths.log)",
            "--log-size-max", "\(LogFiles.sizeLimit(record.spec))", "--no-sync-log", "--log-level", "error",
        ]
        if record.spec.terminal { arguments.append("--terminal") }
        // A pipe is closed with the client's input, so that `attach` can say the end; a terminal outlives its clients.
        if record.spec.stdin { arguments += record.spec.terminal ? ["--stdin", "--leave-stdin-open"] : ["--stdin"] }
        arguments += ["--exit-command", context.exitProgram]
        for argument in ["exited", context.home, record.id] { arguments += ["--exit-command-arg", argument] }
        return arguments
    }
}
