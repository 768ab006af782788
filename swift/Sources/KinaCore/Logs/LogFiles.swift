/// A container's log on disk: `log`, and `log.1` with what came before.
///
/// When conmon's limit (--log-size-max, half of spec.logLimit) is reached, conmon puts an empty file in the place of
/// `log`, and the old one would be gone. So `log.1` is a second name for the file being written: once conmon has begun
/// a new one, it is the older half. Nobody of ours is there when conmon begins yet another; then `log.1` no longer adjoins
/// `log`, and is given up rather than shown with a hole after it. Both together never exceed the limit.
package struct LogFiles {
    package let current: String
    package var older: String { "\(current).1" }

    package init(path: String) { current = path }

    /// For conmon's --log-size-max.
    package static func sizeLimit(_ spec: ContainerSpec) -> Int64 { max(spec.logLimit / 2, 4096) }

    /// Brings the second name in order. Called whenever kina touches a container's log. True: the older half is there.
    @discardableResult
    package func settle() -> Bool {
        guard let now = FileIdentity(path: current) else { return false }
        if let before = FileIdentity(path: older) {
            if before == now { return false }
            if adjoins { return true }
            unlink(older)
        }
        link(current, older)
        return false
    }

    /// Whether `log` was begun when the last record went into `log.1`: conmon does both within one write. A burst may
    /// fill and replace whole files in that time; then only a stamp that the two share, that of one read from the
    /// container's pipe, proves it.
    private var adjoins: Bool {
        var info = stat()
        let begun = HostSystem.birthTime(of: current)
        guard stat(older, &info) == 0, begun > 0 else { return false }
        let ended = Int64(info.modified.tv_sec) * 1_000_000_000 + Int64(info.modified.tv_nsec)
        guard abs(begun - ended) <= Self.coincidence, let last = Self.time(older, ofLast: true) else { return false }
        if last == Self.time(current, ofLast: false) { return true }
        return Self.time(older, ofLast: false).map { last - $0 > Self.burst } ?? false
    }

    /// File times are as coarse as the kernel's tick, 10 ms at most.
    private static let coincidence: Int64 = 50_000_000
    /// What was filled more slowly was not followed by another as large within `coincidence`.
    private static let burst: Int64 = 1_000_000_000

    /// The time of a file's first or last record.
    private static func time(_ path: String, ofLast: Bool) -> Int64? {
        guard let fd = try? FileDescriptor.open(path, O_RDONLY) else { return nil }
        if ofLast, lseek(fd.raw, -(1 << 16), SEEK_END) < 0 { lseek(fd.raw, 0, SEEK_SET) }
        guard let bytes = try? fd.read(1 << 16) else { return nil }
        let lines = bytes.split(separator: 0x0A)
        return (ofLast ? lines.last : lines.first).flatMap { CRIRecord($0)?.time }
    }

    /// Descriptors of what there is, older first.
    package func open() throws -> [FileDescriptor] {
        let older = settle() ? try? FileDescriptor.open(older, O_RDONLY) : nil
        do {
            return [older, try FileDescriptor.open(current, O_RDONLY)].compactMap(\.self)
        } catch let error as Errno where error.code == ENOENT {
            return []
        }
    }
}

/// Where the last lines of a log begin, found from the end: a long log is not read.
package struct LogTail {
    /// A record counts from this byte of the joined files on; one value a stream, since streams interleave parts of lines.
    package private(set) var starts: [LogRequest.Stream: Int64] = [:]

    private struct Candidate {
        var stream: LogRequest.Stream
        var offset: Int64
    }

    /// How much further back the first parts of a line are looked for behind other streams' records.
    private static let reach: Int64 = 1 << 20

    /// `matches` says whether a record belongs to what is asked for.
    package init(_ files: [FileDescriptor], lines wanted: Int, matches: (CRIRecord) -> Bool) throws {
        let sizes = try files.map { file in Int64(try attempt("lseek") { lseek(file.raw, 0, SEEK_END) }) }
        let total = sizes.reduce(0, +)
        for stream in [LogRequest.Stream.stdout, .stderr] { starts[stream] = total }
        if wanted <= 0 { return }
        var lines = 0, complete = total
        /// Streams whose oldest wanted line may have further parts before it.
        var open: Set<LogRequest.Stream> = []
        var ended: Set<LogRequest.Stream> = []
        try BackwardRecords(files, sizes).forEach { record, offset in
            guard matches(record) else { return true }
            let stream = record.stream
            // The end of a line, or parts at the very end of the log that have none yet.
            if !record.isPartial || !ended.contains(stream) {
                open.remove(stream)
                ended.insert(stream)
                if lines < wanted {
                    lines += 1
                    open.insert(stream)
                    if lines == wanted { complete = offset }
                }
            }
            if open.contains(stream) { starts[stream] = offset }
            return lines < wanted || (!open.isEmpty && complete - offset < Self.reach)
        }
    }

    package func includes(_ stream: LogRequest.Stream, at offset: Int64) -> Bool { offset >= starts[stream] ?? 0 }
    package var first: Int64 { starts.values.min() ?? 0 }
}

/// The records of files from the last to the first.
private struct BackwardRecords {
    let files: [FileDescriptor]
    let sizes: [Int64]
    private static let block: Int64 = 1 << 16

    init(_ files: [FileDescriptor], _ sizes: [Int64]) {
        self.files = files
        self.sizes = sizes
    }

    /// `body` gets each record with its offset in the joined files, until it says false.
    func forEach(_ body: (CRIRecord, Int64) throws -> Bool) throws {
        var base = sizes.reduce(0, +)
        for (file, size) in zip(files, sizes).reversed() {
            base -= size
            guard try records(of: file, size, { try body($0, base + $1) }) else { return }
        }
    }

    private func records(of file: FileDescriptor, _ size: Int64, _ body: (CRIRecord, Int64) throws -> Bool) throws
        -> Bool
    {
        var end = size
        /// The beginning of a line whose first bytes are in the block before.
        var carried: [UInt8] = []
        while end > 0 {
            let begin = max(0, end - Self.block)
            let bytes = try read(file, begin, Int(end - begin)) + carried
            var stop = bytes.count
            while let newline = bytes[..<stop].lastIndex(of: 0x0A) {
                let line = bytes[(newline + 1)..<stop]
                if let record = CRIRecord(line), try !body(record, begin + Int64(newline) + 1) { return false }
                stop = newline
            }
            carried = Array(bytes[..<stop])
            end = begin
        }
        if let record = CRIRecord(carried[...]) { return try body(record, 0) }
        return true
    }

    private func read(_ file: FileDescriptor, _ offset: Int64, _ count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = try attempt("pread") { pread(file.raw, buffer.baseAddress, count, off_t(offset)) }
        }
    }
}
