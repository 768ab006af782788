/// One reading of a log.
package struct LogSession {
    package let files: LogFiles
    package let request: LogRequest

    package init(_ files: LogFiles, _ request: LogRequest) {
        self.files = files
        self.request = request
    }

    package func run(_ writer: inout LogWriter, end: FileDescriptor?, _ call: Call) throws {
        let open = try files.open()
        guard let current = open.last else { return }
        let tail = try request.tail.map { lines in try LogTail(open, lines: lines) { writer.selects($0) } }
        var base: Int64 = 0
        for older in open.dropLast() {
            let size = Int64(try attempt("lseek") { lseek(older.raw, 0, SEEK_END) })
            guard try copy(older, base: base, tail, &writer) else { return }
            base += size
        }
        guard let end else {
            _ = try copy(current, base: base, tail, &writer)
            return
        }
        try follow(current, base: base, tail, end, &writer, call)
    }

    /// To the file's present end. false: nothing more is wanted.
    private func copy(_ file: FileDescriptor, base: Int64, _ tail: LogTail?, _ writer: inout LogWriter) throws -> Bool {
        var offset = max(0, (tail?.first ?? 0) - base)
        try attempt("lseek") { lseek(file.raw, off_t(offset), SEEK_SET) }
        var reader = LineReader(file)
        let more = try reader.lines { line in
            defer { offset += Int64(line.count) + 1 }
            return try writer.add(line, tail, at: base + offset)
        }
        return try writer.flush() && more
    }

    private func follow(
        _ opened: FileDescriptor, base: Int64, _ tail: LogTail?, _ end: FileDescriptor, _ writer: inout LogWriter,
        _ call: Call
    ) throws {
        var offset = max(0, (tail?.first ?? 0) - base)
        let wanted = FileIdentity(opened.raw)
        var file = try GrowingFile(files.current) { fd in
            // Replaced since: the new file is read from its start, and no record of it is before the tail.
            if FileIdentity(fd.raw) != wanted {
                offset = 1 << 62
            } else {
                try attempt("lseek") { lseek(fd.raw, off_t(offset), SEEK_SET) }
            }
        }
        var over = false
        while true {
            let more = try file.lines { line in
                defer { offset += Int64(line.count) + 1 }
                return try writer.add(line, tail, at: base &+ offset)
            }
            guard try writer.flush(), more, !over else { return }
            files.settle()
            over = try wait(file, end, writer, call)
        }
    }

    /// True: whatever is there now is the last.
    private func wait(_ file: GrowingFile, _ end: FileDescriptor, _ writer: LogWriter, _ call: Call) throws -> Bool {
        var entries = [file.pollable, pollfd(fd: end.raw, events: Int16(POLLIN), revents: 0)] + writer.hangups
        guard let until = request.until else {
            try call.poll(&entries, for: writer.waitedFor)
            return entries[1].revents != 0 || !writer.noteHangups(Array(entries[2...]))
        }
        let left = until - Clock.now()
        if left <= 0 { return true }
        do {
            try call.within(ms: min(left / 1_000_000 + 1, 1 << 40)).poll(&entries, for: writer.waitedFor)
        } catch let error as KinaError where error.code == .deadlineExceeded {
            try call.check(writer.waitedFor)
            return true
        }
        return entries[1].revents != 0 || !writer.noteHangups(Array(entries[2...]))
    }
}

/// Selects records, joins the parts of lines, and writes them in pieces worth a system call.
package struct LogWriter {
    private struct Sink {
        var output: Output?
        var buffer: [UInt8] = []
        /// A line whose end has not come yet.
        var isInLine = false
        /// The line's first part was before `since`: nor are its others wanted.
        var skipsLine = false
    }

    package let waitedFor: String
    private let request: LogRequest
    private let call: Call
    private var out: Sink
    private var err: Sink
    /// Both streams go to one file, where their order must stay.
    private let isOneFile: Bool
    private static let worthwhile = 1 << 16

    package init(_ request: LogRequest, _ streams: Streams, _ call: Call, name: String) {
        self.request = request
        self.call = call
        waitedFor = "the log of container '\(name)'"
        let wants = { (stream: LogRequest.Stream) in request.streams.isEmpty || request.streams.contains(stream) }
        out = Sink(output: wants(.stdout) ? streams.stdout.map { Output($0) } : nil)
        err = Sink(output: wants(.stderr) ? streams.stderr.map { Output($0) } : nil)
        isOneFile =
            if let out = streams.stdout, let err = streams.stderr { FileIdentity(out) == FileIdentity(err) } else {
                false
            }
    }

    /// For the tail: whether a record is asked for.
    package func selects(_ record: CRIRecord) -> Bool {
        guard (record.stream == .stdout ? out : err).output != nil else { return false }
        guard request.since != nil || request.until != nil, let time = record.time else { return true }
        return time >= request.since ?? .min && time <= request.until ?? .max
    }

    /// false: nothing after it is wanted.
    package mutating func add(_ line: ArraySlice<UInt8>, _ tail: LogTail?, at offset: Int64) throws -> Bool {
        guard let record = CRIRecord(line), tail?.includes(record.stream, at: offset) ?? true else { return true }
        if let until = request.until, let time = record.time, time > until { return false }
        if isOneFile { _ = try record.stream == .stdout ? flush(&err) : flush(&out) }
        return try record.stream == .stdout ? add(record, &out) : add(record, &err)
    }

    private func add(_ record: CRIRecord, _ sink: inout Sink) throws -> Bool {
        guard let output = sink.output, !output.isGone else { return !isGone }
        if !sink.isInLine {
            sink.skipsLine = request.since.map { record.time ?? .max < $0 } ?? false
            if request.timestamps, !sink.skipsLine {
                sink.buffer += record.stamp
                sink.buffer.append(0x20)
            }
        }
        sink.isInLine = record.isPartial
        if !sink.skipsLine {
            sink.buffer += record.text
            if !record.isPartial { sink.buffer.append(0x0A) }
        }
        return sink.buffer.count < Self.worthwhile ? true : try flush(&sink)
    }

    /// false: nobody reads any more.
    package mutating func flush() throws -> Bool {
        _ = try flush(&out)
        _ = try flush(&err)
        return !isGone
    }

    private func flush(_ sink: inout Sink) throws -> Bool {
        if sink.buffer.isEmpty { return !isGone }
        if let output = sink.output { try output.write(sink.buffer, call, for: "the reader of \(waitedFor)") }
        sink.buffer.removeAll(keepingCapacity: true)
        return !isGone
    }

    private var outputs: [Output] { [out.output, err.output].compactMap(\.self) }
    private var isGone: Bool { outputs.allSatisfy(\.isGone) }

    /// For `Call.poll`; one that is gone would be ready for ever.
    package var hangups: [pollfd] { outputs.map { $0.isGone ? pollfd(fd: -1, events: 0, revents: 0) : $0.hangup } }

    /// false when nobody is left.
    package func noteHangups(_ entries: [pollfd]) -> Bool {
        for (output, entry) in zip(outputs, entries) { output.noteHangup(entry) }
        return !isGone
    }
}
