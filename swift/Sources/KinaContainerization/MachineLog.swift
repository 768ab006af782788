#if Containerization
    import Containerization
    import Foundation
    import KinaCore
    import Synchronization

    /// Writes a container's log in the CRI format, in at most two files: what `LogFiles` reads.
    final class MachineLog: Sendable {
        private struct State {
            var file: FileDescriptor?
            var size: Int64 = 0
            var stamp = ""
        }

        private let path: String
        private let limit: Int64
        private let state = Mutex(State())

        init(_ path: String, limit: Int64) throws {
            self.path = path
            // Half in each file; never less than a page.
            self.limit = max(limit / 2, 4096)
            let file = try doing("opening \(path)") { try FileDescriptor.open(path, O_WRONLY | O_APPEND | O_CREAT) }
            var info = stat()
            let size = fstat(file.raw, &info) == 0 ? Int64(info.st_size) : 0
            state.withLock {
                $0.file = file
                $0.size = size
            }
        }

        func writer(_ stream: LogRequest.Stream) -> any Writer { LogStream(log: self, stream: stream) }

        /// One record a line; what has no end yet is a partial record, so that a reader sees a prompt at once.
        fileprivate func append(_ data: Data, _ stream: LogRequest.Stream) throws {
            try state.withLock { state in
                state.stamp = Self.stamp(Clock.now())
                var rest = data[...]
                var bytes: [UInt8] = []
                while !rest.isEmpty {
                    let end = rest.firstIndex(of: 0x0A)
                    let line = rest[..<(end ?? rest.endIndex)]
                    bytes += Array("\(state.stamp) \(stream.rawValue) \(end == nil ? "P" : "F") ".utf8)
                    bytes += line
                    bytes.append(0x0A)
                    rest = end.map { rest[rest.index(after: $0)...] } ?? rest[rest.endIndex...]
                    if state.size + Int64(bytes.count) >= limit {
                        try flush(&bytes, &state)
                        try rotate(&state)
                    }
                }
                try flush(&bytes, &state)
            }
        }

        private func flush(_ bytes: inout [UInt8], _ state: inout State) throws {
            guard let file = state.file, !bytes.isEmpty else { return }
            try writeAll(file.raw, bytes)
            state.size += Int64(bytes.count)
            bytes.removeAll(keepingCapacity: true)
        }

        /// The older half makes room at once; the stamp that both files share tells `LogFiles` that they adjoin. There is
        /// a log at any time, and who follows it is told by the new one's coming into its place.
        private func rotate(_ state: inout State) throws {
            let (older, new) = ("\(path).1", "\(path).new")
            unlink(older)
            link(path, older)
            let file = try FileDescriptor.open(new, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC)
            try attempt("rename \(new)") { rename(new, path) }
            state.file = file
            state.size = 0
        }

        private static func stamp(_ time: Int64) -> String {
            var seconds = time_t(time / 1_000_000_000)
            var parts = tm()
            gmtime_r(&seconds, &parts)
            let digits = { (value: Int32, width: Int) in
                let text = String(value)
                return String(repeating: "0", count: max(0, width - text.count)) + text
            }
            let date = "\(parts.tm_year + 1900)-\(digits(parts.tm_mon + 1, 2))-\(digits(parts.tm_mday, 2))"
            let clock = "\(digits(parts.tm_hour, 2)):\(digits(parts.tm_min, 2)):\(digits(parts.tm_sec, 2))"
            return "\(date)T\(clock).\(digits(Int32(time % 1_000_000_000), 9))+00:00"
        }
    }

    private struct LogStream: Writer {
        let log: MachineLog
        let stream: LogRequest.Stream

        func write(_ data: Data) throws { try log.append(data, stream) }
        func close() throws {}
    }
#endif
