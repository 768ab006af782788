#if Containerization
    import Containerization
    import Foundation
    import KinaCore
    import Synchronization

    /// Sends what a guest's process writes to a descriptor of the caller's, at the reader's pace. A reader that is gone
    /// ends it, not the process.
    final class DescriptorWriter: Writer {
        private let own: FileDescriptor
        private let output: Mutex<Output>
        private let call: Call
        /// Writing blocks, and what is left at the process's end must not wait for it.
        private let queue = DispatchQueue(label: "kina.output")
        let backlog = Backlog()

        /// The descriptor is borrowed: a duplicate is kept.
        init(_ borrowed: Int32) throws {
            let own = FileDescriptor(
                try doing("keeping a stream") { try attempt("dup") { fcntl(borrowed, F_DUPFD_CLOEXEC, 3) } })
            self.own = own
            output = Mutex(Output(own.raw))
            call = try Call(timeoutMs: -1)
        }

        func write(_ data: Data) throws {
            backlog.add(data.count)
            queue.async { [self] in
                pass(data)
                backlog.remove(data.count)
            }
        }

        private func pass(_ data: Data) {
            output.withLock { output in
                if output.isGone { return }
                // Cancelled, or not to be written: there is nobody to tell.
                _ = try? output.write(data, call, for: "the reader of a process's output")
            }
        }

        func close() throws {}

        /// Returns when the reader has all that was written, or is let go of.
        func flush() async {
            await withCheckedContinuation { continuation in queue.async { continuation.resume() } }
        }

        /// Lets go of a reader that does not read.
        func abandon() { call.cancel() }
    }

    /// How much is on its way to a reader. A process that runs is kept to the reader's pace, if it is far ahead: one that
    /// waits holds all others of its machine up, whose streams go through one thread of the guest's agent (0.40,
    /// ProcessSupervisor). Of one that has ended all the rest is taken: its guest has closed the streams by then, and a
    /// machine's monitor drops soon what nobody fetched of them (cloud-hypervisor after two seconds,
    /// CONN_SHUTDOWN_TIMEOUT_MS in its vsock).
    final class Backlog: Sendable {
        private static let limit = 4 << 20
        private let condition = NSCondition()
        private nonisolated(unsafe) var size = 0
        private nonisolated(unsafe) var isUnlimited = false
        private nonisolated(unsafe) var whenBehind: (@Sendable () -> Void)?

        /// `action`: once, when the reader has fallen behind.
        func whenBehind(_ action: @escaping @Sendable () -> Void) {
            condition.withLock { whenBehind = action }
        }

        func add(_ count: Int) {
            condition.withLock {
                while size >= Self.limit, !isUnlimited {
                    if condition.wait(until: Date(timeIntervalSinceNow: 0.2)) { continue }
                    whenBehind?()
                    whenBehind = nil
                }
                size += count
            }
        }

        func remove(_ count: Int) {
            condition.withLock {
                size -= count
                condition.broadcast()
            }
        }

        func lift() {
            condition.withLock {
                isUnlimited = true
                condition.broadcast()
            }
        }
    }

    /// A guest's standard input from a descriptor of the caller's: read only as fast as the guest takes it.
    final class DescriptorReader: ReaderStream {
        private let own: FileDescriptor
        private let call: Call
        /// Reading blocks, which Swift's cooperative pool must not.
        private let queue = DispatchQueue(label: "kina.stdin")

        init(_ borrowed: Int32) throws {
            own = FileDescriptor(
                try doing("keeping a stream") { try attempt("dup") { fcntl(borrowed, F_DUPFD_CLOEXEC, 3) } })
            call = try Call(timeoutMs: -1)
        }

        func stream() -> AsyncStream<Data> {
            AsyncStream(
                unfolding: { [self] in
                    await withCheckedContinuation { continuation in
                        queue.async { continuation.resume(returning: self.next()) }
                    }
                }, onCancel: { [call] in call.cancel() })
        }

        /// nil at the end.
        private func next() -> Data? {
            while true {
                do {
                    try call.waitReadable(own.raw, for: "input")
                    guard let bytes = try own.read() else { continue }
                    return bytes.isEmpty ? nil : Data(bytes)
                } catch {
                    return nil
                }
            }
        }

        func abandon() { call.cancel() }
    }

    /// A container's standard input, which whoever is attached writes to.
    final class InputFeed: ReaderStream {
        private let chunks: AsyncStream<Data>
        private let continuation: AsyncStream<Data>.Continuation

        init() { (chunks, continuation) = AsyncStream.makeStream(of: Data.self) }

        func stream() -> AsyncStream<Data> { chunks }
        func write(_ data: Data) { continuation.yield(data) }
        func end() { continuation.finish() }
    }

    /// The streams of one process, let go of at its end.
    struct ProcessStreams: Sendable {
        let stdin: (any ReaderStream)?
        let stdout: (any Writer)?
        let stderr: (any Writer)?

        /// nil is /dev/null in the guest; a terminal has one stream only.
        init(_ streams: Streams, terminal: Bool) throws {
            try self.init(
                stdin: streams.stdin.map { try DescriptorReader($0) },
                stdout: streams.stdout.map { try DescriptorWriter($0) },
                stderr: terminal ? nil : streams.stderr.map { try DescriptorWriter($0) })
        }

        init(stdin: (any ReaderStream)?, stdout: (any Writer)?, stderr: (any Writer)?) {
            self.stdin = stdin
            self.stdout = stdout
            self.stderr = stderr
        }

        private var readers: [DescriptorWriter] { [stdout, stderr].compactMap { $0 as? DescriptorWriter } }

        /// Keeps the process to its readers' pace until it has ended, which `end` waits for: only where one falls behind.
        func pace(until end: @escaping @Sendable () async throws -> Void) {
            for reader in readers {
                reader.backlog.whenBehind { [readers] in
                    Task.detached {
                        try? await end()
                        for reader in readers { reader.backlog.lift() }
                    }
                }
            }
        }

        /// Returns when the readers have all that came, or are let go of.
        func flush() async {
            for reader in readers {
                reader.backlog.lift()
                await reader.flush()
            }
        }

        func abandon() {
            (stdin as? DescriptorReader)?.abandon()
            for reader in readers { reader.abandon() }
        }
    }
#endif
