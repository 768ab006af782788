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

        /// The descriptor is borrowed: a duplicate is kept.
        init(_ borrowed: Int32) throws {
            let own = FileDescriptor(
                try doing("keeping a stream") { try attempt("dup") { fcntl(borrowed, F_DUPFD_CLOEXEC, 3) } })
            self.own = own
            output = Mutex(Output(own.raw))
            call = try Call(timeoutMs: -1)
        }

        func write(_ data: Data) throws {
            try output.withLock { output in
                if output.isGone { return }
                do {
                    try output.write(data, call, for: "the reader of a process's output")
                } catch let error as KinaError where error.code == .cancelled {}
            }
        }

        func close() throws {}

        /// Lets go of a reader that does not read.
        func abandon() { call.cancel() }
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

    /// Takes what nobody wants, so that the process does not block on it.
    struct NullWriter: Writer {
        func write(_ data: Data) throws {}
        func close() throws {}
    }

    /// Notes when something was last written, and whether it still is.
    final class WatchedWriter: Writer {
        let inner: any Writer
        private let state = Mutex((isWriting: false, last: ContinuousClock.now))

        init(_ inner: any Writer) { self.inner = inner }

        func write(_ data: Data) throws {
            state.withLock { $0.isWriting = true }
            defer { state.withLock { $0 = (false, .now) } }
            try inner.write(data)
        }

        func close() throws { try inner.close() }

        /// Whether there may be more to come: a reader is waited for, or something came a moment ago.
        func isBusy(within moment: Duration) -> Bool {
            state.withLock { $0.isWriting || $0.last.duration(to: .now) < moment }
        }
    }

    /// The streams of one process, let go of at its end.
    struct ProcessStreams: Sendable {
        let stdin: (any ReaderStream)?
        let stdout: WatchedWriter?
        let stderr: WatchedWriter?

        /// nil is /dev/null in the guest; a terminal has one stream only.
        init(_ streams: Streams, terminal: Bool) throws {
            try self.init(
                stdin: streams.stdin.map { try DescriptorReader($0) },
                stdout: streams.stdout.map { try DescriptorWriter($0) },
                stderr: terminal ? nil : streams.stderr.map { try DescriptorWriter($0) })
        }

        init(stdin: (any ReaderStream)?, stdout: (any Writer)?, stderr: (any Writer)?) {
            self.stdin = stdin
            self.stdout = stdout.map(WatchedWriter.init)
            self.stderr = stderr.map(WatchedWriter.init)
        }

        func abandon() {
            (stdin as? DescriptorReader)?.abandon()
            for writer in [stdout, stderr] { (writer?.inner as? DescriptorWriter)?.abandon() }
        }

        /// Waits for the rest of a process's output, as long as it comes.
        ///
        /// Containerization 0.40 takes the output for whole three seconds after the process's end, whether it is or not: a
        /// reader that takes its time would lose the end. A process of the background may have the stream open for ever.
        func drain(after end: Date) async {
            if (0..<2.5).contains(Date.now.timeIntervalSince(end)) { return }  // whole, or it would have waited
            while [stdout, stderr].contains(where: { $0?.isBusy(within: .seconds(2)) ?? false }) {
                do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
            }
        }
    }
#endif
