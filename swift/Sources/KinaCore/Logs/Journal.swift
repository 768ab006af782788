/// The events of a KINA_HOME: a file of JSON lines that every process appends to, and reads as it grows.
public struct Journal: Sendable {
    /// Bytes after which a new file is begun; one older one is kept.
    package static let limit = 4 << 20
    /// PIPE_BUF, and what one write(2) puts into a file unbroken.
    package static let longestLine = 4096

    private let path: String
    private var older: String { "\(path).1" }

    package init(_ path: String) { self.path = path }

    /// Appends one line. An event that can't be written must not fail what it tells of.
    package func append(
        _ kind: Event.Kind, _ action: String, id: String, name: String, _ attributes: [String: String] = [:]
    ) {
        var event = Event(time: Clock.now(), kind: kind, action: action, id: id, name: name, attributes: attributes)
        guard var line = try? JSON.encode(event) else { return }
        if line.count >= Self.longestLine {
            event.attributes = ["truncated": "true"]
            guard let shorter = try? JSON.encode(event), shorter.count < Self.longestLine else { return }
            line = shorter
        }
        line.append(0x0A)
        guard let fd = try? FileDescriptor.open(path, O_WRONLY | O_APPEND | O_CREAT) else { return }
        _ = line.withUnsafeBytes { write(fd.raw, $0.baseAddress, $0.count) }
        var info = stat()
        if fstat(fd.raw, &info) == 0, info.st_size > Self.limit { rotate() }
    }

    /// Whoever comes first does it; the others go on.
    private func rotate() {
        guard let lock = try? FileDescriptor.open("\(path).lock", O_RDWR | O_CREAT),
            flock(lock.raw, LOCK_EX | LOCK_NB) == 0
        else { return }
        var info = stat()
        guard stat(path, &info) == 0, info.st_size > Self.limit else { return }
        // The new file is there before it takes its place: readers never find none.
        let next = "\(path).next"
        guard (try? FileDescriptor.open(next, O_WRONLY | O_CREAT | O_TRUNC)) != nil else { return }
        unlink(older)
        if link(path, older) == 0 { rename(next, path) }
    }

    /// Writes matching events as JSON lines until the call ends, the filter's end has come, or the reader is gone.
    package func follow(_ filter: EventFilter, to fd: Int32, _ call: Call) throws {
        let output = Output(fd)
        let selection = Selection(filter)
        try doing("reading the events in \(path)") {
            _ = try FileDescriptor.open(path, O_WRONLY | O_CREAT)
            if filter.since != nil, let old = try? FileDescriptor.open(older, O_RDONLY) {
                var reader = LineReader(old)
                guard try copy(selection, to: output, call, from: { try reader.lines($0) }) else { return }
            }
            var file = try GrowingFile(path) { fd in
                if filter.since == nil { try attempt("lseek") { lseek(fd.raw, 0, SEEK_END) } }
            }
            while try copy(selection, to: output, call, from: { try file.lines($0) }) {
                guard try wait(file, output, until: filter.until, call) else { return }
            }
        }
    }

    /// false: nothing more is wanted.
    private func copy(
        _ selection: Selection, to output: Output, _ call: Call,
        from source: ((ArraySlice<UInt8>) throws -> Bool) throws -> Bool
    ) throws -> Bool {
        var buffer: [UInt8] = []
        let more = try source { line in
            if !selection.includes(line) { return true }
            buffer += line
            buffer.append(0x0A)
            if buffer.count < 1 << 16 { return true }
            defer { buffer.removeAll(keepingCapacity: true) }
            return try output.write(buffer, call, for: "the reader of the events")
        }
        return try output.write(buffer, call, for: "the reader of the events") && more
    }

    /// false: the reader is gone or the time has come.
    private func wait(_ file: GrowingFile, _ output: Output, until: Int64?, _ call: Call) throws -> Bool {
        var entries = [file.pollable, output.hangup]
        do {
            if let until {
                let left = until - Clock.now()
                if left <= 0 { return false }
                try call.within(ms: min(left / 1_000_000 + 1, 1 << 40)).poll(&entries, for: "events")
            } else {
                try call.poll(&entries, for: "events")
            }
        } catch let error as KinaError where error.code == .deadlineExceeded && until.map({ $0 <= Clock.now() }) == true
        {
            // A last look, then the end.
            return true
        }
        output.noteHangup(entries[1])
        return !output.isGone
    }

    private struct Selection {
        let filter: EventFilter
        let takesAll: Bool

        init(_ filter: EventFilter) {
            self.filter = filter
            takesAll = filter.since == nil && filter.until == nil && filter.kinds.isEmpty && filter.references.isEmpty
        }

        /// A line that can't be read is nobody's event.
        func includes(_ line: ArraySlice<UInt8>) -> Bool {
            if takesAll { return true }
            guard let event = try? JSON.decode(Event.self, from: line, what: "event") else { return false }
            return event.time >= filter.since ?? .min && event.time <= filter.until ?? .max
                && (filter.kinds.isEmpty || filter.kinds.contains(event.kind))
                && (filter.references.isEmpty || filter.references.contains { $0 == event.id || $0 == event.name })
        }
    }
}
