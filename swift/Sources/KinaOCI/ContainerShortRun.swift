import KinaCore

/// The short way: create, run in the foreground of the OCI runtime, delete. No supervisor, no log; a guard, which ends
/// the container when we die.
extension OCIContainers {
    func run(_ spec: ContainerSpec, _ streams: Streams, _ call: Call) throws -> ExitStatus {
        let (made, lock, pod) = try make(spec, short: true, call)
        var record = made
        let exit: ExitStatus
        do {
            let (guardian, report) = try launch(&record, streams, call)
            // Others may stop or delete it, and its pod, while it runs.
            lock.unlock()
            pod?.lock.unlock()
            exit = try follow(guardian, report, record, call)
        } catch {
            // What could not be launched is still locked, and discarding it takes the lock.
            lock.unlock()
            throw undo(error) { try discard(record, call) }
        }
        try discard(record, call)
        return exit
    }

    /// The guard is the container's parent; it tells how it ends, and deletes it once nobody listens any more.
    private func launch(_ record: inout ContainerRecord, _ streams: Streams, _ call: Call) throws -> (
        Child, FileDescriptor
    ) {
        try prepareRun(&record, call)
        let paths = paths(record)
        let isTerminal = record.spec.terminal
        let runtime = [
            context.tools.ociRuntime, "--root", paths.runtimeRoot, "--log", log(paths), "--log-format", "json", "run",
        ]
        var command = Command(
            context.exitProgram,
            [
                isTerminal ? "run-terminal" : "run", context.home, record.id, "\(paths.exits)/\(record.id)",
                paths.pidFile,
            ]
                + runtime + (isTerminal ? [] : ["--detach"])
                + ["--bundle", paths.bundle, "--pid-file", paths.pidFile, record.id])
        command.diesWithCaller = false
        let (read, write) = try doing("opening a pipe") { try FileDescriptor.pipe() }
        let guardian = try Step.runProcess.perform(call) {
            try command.spawn(stdin: streams.stdin, stdout: streams.stdout, stderr: streams.stderr, keep: [write.raw])
        }
        record.run?.supervisor = ProcessIdentity(pid: guardian.pid)
        do { try store.save(record, sync: false) } catch {
            guardian.kill()
            _ = try? guardian.reap()
            throw error
        }
        return (guardian, read)
    }

    private func follow(_ guardian: Child, _ fd: FileDescriptor, _ record: ContainerRecord, _ call: Call) throws
        -> ExitStatus
    {
        do {
            if let end = guardian.end { try call.waitReadable(end.raw, for: "'\(record.name)' to end") }
        } catch {
            // The container dies with its cgroup; the guard sees that, and ends.
            throw undo(error) {
                try cgroup(record).kill(try Call(timeoutMs: 30_000))
                guardian.kill()
                _ = try guardian.reap()
            }
        }
        _ = try guardian.reap()
        var report = ExecReport(fd)
        while try report.read() {}
        if let end = report.end { return status(end, record) }
        if let words = RuntimeFailure.words(inLog: log(paths(record))) {
            throw RuntimeFailure.classify(words, "run container \(record.name)")
        }
        return ExitStatus(exitCode: nil, reason: .lost, finishedAt: Clock.now())
    }

    private func status(_ end: ExecReport.End, _ record: ContainerRecord) -> ExitStatus {
        switch end {
        case .exited(let code):
            return ExitStatus(exitCode: code, reason: .exited, finishedAt: Clock.now())
        case .signaled(let signal):
            let wasOutOfMemory = signal == SIGKILL && (cgroup(record).oomKills() ?? 0) > 0
            return ExitStatus(
                exitCode: 128 + signal, reason: wasOutOfMemory ? .oom : .signaled, finishedAt: Clock.now())
        }
    }

    private func log(_ paths: ContainerPaths) -> String { "\(paths.run)/runtime.log" }

    private func discard(_ record: ContainerRecord, _ call: Call) throws {
        let bound = try Call(timeoutMs: 60_000)
        guard let lock = try? store.lock(record.id, bound) else { return }
        defer { lock.unlock() }
        // Somebody else may have deleted it.
        guard var current = try store.load(record.id) else { return }
        try destroy(&current, call)
    }
}
