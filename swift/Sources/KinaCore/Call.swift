/// Bounds what can last: a deadline, a cancellation from another thread, a place for progress.
public final class Call: Sendable {
    /// Neither deadline, cancellation nor progress.
    public static let unbounded = Call()

    /// CLOCK_MONOTONIC nanoseconds.
    public let deadline: Int64?
    private let cancellation: Latch?
    private let progress: FileDescriptor?
    private let parent: Call?

    private init() {
        deadline = nil
        cancellation = nil
        progress = nil
        parent = nil
    }

    /// timeoutMs negative: no deadline. progressFd is borrowed.
    public init(timeoutMs: Int64, progressFd: Int32? = nil) throws {
        deadline = timeoutMs < 0 ? nil : Clock.monotonic() &+ min(timeoutMs, 1 << 42) * 1_000_000
        cancellation = try Latch()
        parent = nil
        if let progressFd {
            progress = FileDescriptor(try attempt("dup") { fcntl(progressFd, F_DUPFD_CLOEXEC, 3) })
        } else {
            progress = nil
        }
    }

    private init(_ parent: Call, deadline: Int64) {
        self.deadline = parent.deadline.map { min($0, deadline) } ?? deadline
        cancellation = parent.cancellation
        progress = parent.progress
        self.parent = parent
    }

    /// The same call with an earlier end, for a step that must not last.
    public func within(ms: Int64) -> Call { Call(self, deadline: Clock.monotonic() + ms * 1_000_000) }

    public func cancel() { cancellation?.set() }

    public var isCancelled: Bool {
        guard let cancellation else { return false }
        var entry = pollfd(fd: cancellation.fd.raw, events: Int16(POLLIN), revents: 0)
        return systemPoll(&entry, 1, 0) > 0
    }

    /// Throws when the call has ended: CANCELLED or DEADLINE_EXCEEDED, naming what was waited for.
    public func check(_ waitedFor: @autoclosure () -> String) throws {
        if isCancelled { throw KinaError(.cancelled, "cancelled while waiting for \(waitedFor())") }
        if let deadline, Clock.monotonic() >= deadline {
            throw KinaError(
                .deadlineExceeded, "timed out while waiting for \(waitedFor())", hint: "allow more time")
        }
    }

    /// Waits until one of the descriptors is ready (or has hung up) and says which. Throws when the call ends first.
    public func poll(_ entries: inout [pollfd], for waitedFor: @autoclosure () -> String) throws {
        let own = entries.count
        if let cancellation { entries.append(pollfd(fd: cancellation.fd.raw, events: Int16(POLLIN), revents: 0)) }
        defer { entries.removeLast(entries.count - own) }
        while true {
            let ready = systemPoll(&entries, entries.count, remainingMs)
            if ready < 0, errno != EINTR { throw Errno(errno, "poll") }
            if ready > 0, entries[..<own].contains(where: { $0.revents != 0 }) { return }
            try check(waitedFor())
        }
    }

    public func waitReadable(_ fd: Int32, for waitedFor: @autoclosure () -> String) throws {
        var entries = [pollfd(fd: fd, events: Int16(POLLIN), revents: 0)]
        try poll(&entries, for: waitedFor())
    }

    /// Sleeps, unless the call ends first.
    public func sleep(ms: Int64, for waitedFor: @autoclosure () -> String) throws {
        let until = Clock.monotonic() + ms * 1_000_000
        while true {
            let left = until - Clock.monotonic()
            if left <= 0 { return }
            let wait = deadline.map { min(left, max(0, $0 - Clock.monotonic())) } ?? left
            HostSystem.wait(cancellation?.fd.raw ?? -1, ns: wait)
            try check(waitedFor())
        }
    }

    private var remainingMs: Int32 {
        guard let deadline else { return -1 }
        return Int32(clamping: max(0, (deadline - Clock.monotonic() + 999_999) / 1_000_000))
    }

    public var reportsProgress: Bool { progress != nil }
    /// Borrowed, for who passes it on to another process.
    public var progressDescriptor: Int32? { progress?.raw }

    /// One JSON line; a reader that is slow loses it, a reader that is gone is no error.
    public func report(_ event: @autoclosure () -> ProgressEvent) {
        guard let progress, let bytes = try? JSON.encode(event()) else { return }
        var entry = pollfd(fd: progress.raw, events: Int16(POLLOUT), revents: 0)
        guard systemPoll(&entry, 1, 0) > 0, entry.revents & Int16(POLLOUT) != 0 else { return }
        // A pipe takes up to 4096 bytes whole or, as polled, has room; SIGPIPE can't come: Python ignores it, and
        // a host that does not gets it only from its own pipe.
        let line = bytes + [0x0A]
        _ = line.withUnsafeBytes { write(progress.raw, $0.baseAddress, $0.count) }
    }
}
