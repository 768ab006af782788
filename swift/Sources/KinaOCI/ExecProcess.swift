import CKinaLinux
import KinaCore
import Synchronization

/// One process that `exec` started.
final class ExecProcess: Sendable {
    let id = Identifier.random()
    let container: String
    private let name: String
    private let context: Context
    private let paths: ContainerPaths
    private let group: Cgroup
    private let files: ExecFiles
    private let spec: ProcessSpec
    private let streams: Streams
    /// A duplicate of the terminal that the caller gave, for its size.
    private let terminal: FileDescriptor?
    private let oomKillsBefore: UInt64?
    private let state = Mutex(State())

    private struct State {
        var child: Child?
        var report: ExecReport?
        /// CLOCK_MONOTONIC, from spec.timeoutMs.
        var deadline: Int64?
        var hasTimedOut = false
        var exit: ExitStatus?
    }

    /// Records the process; nothing else is there yet.
    init(
        _ context: Context, _ record: ContainerRecord, _ spec: ProcessSpec, _ streams: Streams, _ owner: ProcessIdentity
    ) throws {
        self.context = context
        self.spec = spec
        self.streams = streams
        container = record.id
        name = record.name
        paths = ContainerPaths(context, record.id)
        group = Cgroup(context, record.id)
        files = ExecFiles(paths, id)
        terminal = spec.terminal ? try Self.terminal(streams) : nil
        oomKillsBefore = group.oomKills()
        let document = try OCIConfig.process(spec, in: record, root: paths.rootfs, context)
        do {
            try doing("recording a process of container '\(name)'") {
                try files.create(owner)
                let fd = try FileDescriptor.open(files.process, O_WRONLY | O_CREAT)
                try writeAll(fd.raw, document)
            }
        } catch {
            try? files.remove()
            throw error
        }
    }

    private static func terminal(_ streams: Streams) throws -> FileDescriptor {
        guard let fd = [streams.stdin, streams.stdout].compactMap(\.self).first, isatty(fd) == 1 else {
            throw KinaError.invalid(
                "terminal", nil, "with a terminal the descriptors must be one terminal's",
                hint: "open one with os.openpty()")
        }
        return FileDescriptor(
            try doing("duplicating the terminal") { try attempt("dup") { fcntl(fd, F_DUPFD_CLOEXEC, 3) } })
    }

    // MARK: Start

    /// Until it is known to run, or why it does not. What a failure leaves is for `end`.
    func start(_ call: Call) throws {
        let what = "starting a process in container '\(name)'"
        try group.makeProcessGroup(id)
        let (pipe, changes) = try doing(what) {
            let changes = try FileChanges()
            // With a terminal the runtime stays, so the parent can't tell; but it moves the pid file to its place.
            if spec.terminal { try changes.watch(directory: files.directory) }
            return (try FileDescriptor.pipe(), changes)
        }
        var report = ExecReport(pipe.read)
        let child = try spawn(report: pipe.write)
        state.withLock { $0.child = child }
        defer { state.withLock { [report] in $0.report = report } }
        guard child.end != nil else {
            throw KinaError.unimplemented("this kernel has no pidfd_open", hint: "use Linux 5.10 or later")
        }
        while !report.hasStarted, !(spec.terminal && Files.exists(files.pid)) {
            if report.hasFailed { throw startFailure() }
            var entries = [pipe.read, changes.fd].map { pollfd(fd: $0.raw, events: Int16(POLLIN), revents: 0) }
            try call.poll(&entries, for: "a process to start in container '\(name)'")
            changes.drain()
            if entries[0].revents != 0 { _ = try doing(what) { try report.read() } }
        }
        if let limit = spec.timeoutMs {
            state.withLock { $0.deadline = Clock.monotonic() + min(limit, 1 << 42) * 1_000_000 }
        }
    }

    /// The descriptor is closed here on return, so that the parent's end shows.
    private func spawn(report: consuming FileDescriptor) throws -> Child {
        let runtime = ["--root", paths.runtimeRoot, "--log", files.log, "--log-format", "json", "exec"]
        let process = ["--process", files.process, "--pid-file", files.pid] + group.processGroupArguments(id)
        var arguments =
            [
                spec.terminal ? "exec-terminal" : "exec", context.home, container, id, files.pid,
                context.tools.ociRuntime,
            ] + runtime
        arguments += (spec.terminal ? [] : ["--detach"]) + process + [container]
        var command = Command(context.exitProgram, arguments)
        // The caller's terminal must not interrupt it; and it may be waited for in another thread than this one.
        command.ownSession = true
        command.diesWithCaller = false
        return try command.spawn(
            stdin: streams.stdin, stdout: streams.stdout, stderr: streams.stderr, keep: [report.raw])
    }

    /// The runtime's own words, which it also wrote to the process's standard error.
    private func startFailure() -> KinaError {
        RuntimeFailure.classify(
            RuntimeFailure.words(inLog: files.log) ?? "", "start '\(spec.args[0])' in container '\(name)'")
    }

    // MARK: While it runs

    var hasEnded: Bool {
        guard let end = state.withLock({ $0.child })?.end else { return true }
        var entry = pollfd(fd: end.raw, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    func wait(_ call: Call) throws -> ExitStatus {
        let (child, deadline, exit) = state.withLock { ($0.child, $0.deadline, $0.exit) }
        if let exit { return exit }
        guard let end = child?.end else { return try finish() }
        let what = "process \(id) in container '\(name)' to end"
        do {
            let left = deadline.map { max(0, ($0 - Clock.monotonic() + 999_999) / 1_000_000) }
            try (left.map { call.within(ms: $0) } ?? call).waitReadable(end.raw, for: what)
        } catch let error as KinaError where error.code == .deadlineExceeded {
            guard let deadline, Clock.monotonic() >= deadline else { throw error }
            try timeOut(end)
        }
        return try finish()
    }

    private func timeOut(_ end: FileDescriptor) throws {
        state.withLock { $0.hasTimedOut = true }
        try killAll(end)
    }

    /// The process and its children; its parent ends by itself after it.
    private func killAll(_ end: FileDescriptor) throws {
        let bound = Call.unbounded.within(ms: 30_000)
        try group.killProcessGroup(id, bound)
        do { try bound.within(ms: 2_000).waitReadable(end.raw, for: "process \(id) to end") } catch {
            // It had not begun its process yet.
            state.withLock { $0.child }?.kill()
            try group.killProcessGroup(id, bound)
            try bound.waitReadable(end.raw, for: "process \(id) to end")
        }
    }

    /// Reaps the child, which has ended. Once.
    func finish() throws -> ExitStatus {
        try state.withLock { state in
            if let exit = state.exit { return exit }
            guard let child = state.child else { throw KinaError(.internal, "process \(id) was never started") }
            _ = try child.reap()
            while try state.report?.read() == true {}
            let exit = status(state.report?.end, timedOut: state.hasTimedOut)
            state.exit = exit
            return exit
        }
    }

    private func status(_ end: ExecReport.End?, timedOut: Bool) -> ExitStatus {
        let (code, isSignal): (Int32, Bool)
        switch end {
        case .exited(let value): (code, isSignal) = (value, false)
        case .signaled(let signal): (code, isSignal) = (128 + signal, true)
        case nil:
            // Somebody killed its parent, and with it what knew how the process ends.
            try? group.killProcessGroup(id, Call.unbounded.within(ms: 5_000))
            return ExitStatus(exitCode: nil, reason: .lost, finishedAt: Clock.now())
        }
        // With a terminal the runtime reports a signal as a shell does.
        let signaled = isSignal || (spec.terminal && (129...192).contains(code))
        let wasKilled = signaled && code == 128 + SIGKILL
        let reason: ExitStatus.Reason
        if wasKilled, timedOut {
            reason = .timeout
        } else if wasKilled, let before = oomKillsBefore, let now = group.oomKills(), now > before {
            reason = .oom
        } else {
            reason = signaled ? .signaled : .exited
        }
        return ExitStatus(exitCode: code, reason: reason, finishedAt: Clock.now())
    }

    func signal(_ number: Int32) throws {
        guard !hasEnded, let pid = files.startedPid, let fd = try ProcessIdentity(pid: pid)?.descriptor(), isOurs(pid)
        else {
            throw KinaError(
                .failedPrecondition, "process \(id) in container '\(name)' has ended", details: ["process": id])
        }
        let result = kina_linux_pidfd_send_signal(fd.raw, number)
        if result < 0, result != -ESRCH {
            throw KinaError(Errno(-result, "kill"), "sending signal \(number) to process \(id)")
        }
    }

    /// Whether the pid is still in the process's own cgroup, and so not somebody else's by now.
    private func isOurs(_ pid: Int32) -> Bool {
        if group.processGroupArguments(id).isEmpty { return true }
        return (try? Files.readText("/proc/\(pid)/cgroup"))?.contains(id) ?? false
    }

    /// The runtime copies the size of our terminal to the one inside when it is told of a change; the kernel tells only
    /// those in the terminal's own session.
    func resize(rows: Int, columns: Int) throws {
        guard let terminal else {
            throw KinaError(.failedPrecondition, "process \(id) has no terminal", hint: "start it with terminal")
        }
        var size = winsize(ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
        _ = try doing("resizing the terminal of process \(id)") {
            try attempt("TIOCSWINSZ") { ioctl(terminal.raw, UInt(TIOCSWINSZ), &size) }
        }
        state.withLock { state in
            // Its parent's group has the runtime in it.
            if state.exit == nil, let child = state.child { child.kill(SIGWINCH) }
        }
    }

    // MARK: End

    /// Ends it and whatever it left behind, reaps the child, removes group and record. Repeatable.
    func end() throws {
        if let end = state.withLock({ $0.child })?.end {
            try killAll(end)
            _ = try finish()
        }
        try group.removeProcessGroup(id)
        try files.remove()
    }
}

/// What kina-exit, the process's parent, says of it: see supervise.c.
struct ExecReport: Sendable {
    enum End: Sendable { case exited(Int32), signaled(Int32) }

    private let fd: FileDescriptor
    private var text = ""
    private(set) var hasStarted = false
    private(set) var hasFailed = false
    private(set) var end: End?

    init(_ fd: FileDescriptor) { self.fd = fd }

    /// Reads what there is; false at the end, which is also the parent's.
    @discardableResult
    mutating func read() throws -> Bool {
        guard let chunk = try fd.read(256), !chunk.isEmpty else {
            hasFailed = !hasStarted && end == nil
            return false
        }
        text += String(decoding: chunk, as: UTF8.self)
        while let newline = text.firstIndex(of: "\n") {
            let words = text[..<newline].split(separator: " ")
            text = String(text[text.index(after: newline)...])
            let number = words.last.flatMap { Int32($0) } ?? 0
            switch words.first {
            case "started": hasStarted = true
            case "failed": hasFailed = true
            case "exited": end = .exited(number)
            case "signaled": end = .signaled(number)
            default: break
            }
        }
        return true
    }
}
