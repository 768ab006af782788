import KinaCore
import Testing

@testable import KinaOCI

/// A directory that goes with the test.
final class Scratch {
    let path = "/tmp/kina-test-\(Identifier.random(8))"

    init() throws { try Files.makeDirectories(path) }
    deinit { try? Files.removeTree(path) }

    func write(_ name: String, _ text: String) throws -> FileDescriptor {
        try Files.writeAtomically("\(path)/\(name)", Array(text.utf8))
        return try FileDescriptor.open("\(path)/\(name)", O_RDONLY)
    }
}

/// What `body` writes to a pipe that is read to its end.
func written(_ body: (Int32) throws -> Void) throws -> String {
    let pipe = try FileDescriptor.pipe()
    func run(_ write: consuming FileDescriptor) throws { try body(write.raw) }
    try run(pipe.write)
    var bytes: [UInt8] = []
    _ = fcntl(pipe.read.raw, F_SETFL, O_NONBLOCK)
    while let chunk = try pipe.read.read(), !chunk.isEmpty { bytes += chunk }
    return String(decoding: bytes, as: UTF8.self)
}

@Suite struct LogFormat {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("2026-11-24T07:18:52.106357987+00:00", 1_795_504_732_106_357_987),
        ("2026-11-24T08:48:52.1+01:30", 1_795_504_732_100_000_000),
        ("2000-02-29T12:00:00-05:00", 951_843_600_000_000_000),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ])
    func timestampsAreRead(_ text: String, _ expected: Int) {
        #expect(Int64(expected) == RFC3339.nanoseconds(Array(text.utf8)[...]))
    }

    @Test(arguments: [
        "", "2026", "2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z",
        "x026-01-01T00:00:00Z",
    ])
    func otherTextIsNoTimestamp(_ text: String) { #expect(RFC3339.nanoseconds(Array(text.utf8)[...]) == nil) }

    @Test func aRecordKeepsItsBytes() throws {
        let line = Array("2026-11-24T07:18:52.1Z stderr P  a b\r".utf8) + [0, 0xFF]
        let record = try #require(CRIRecord(line[...]))
        #expect(.stderr == record.stream)
        #expect(record.isPartial)
        #expect(Array(" a b\r".utf8) + [0, 0xFF] == Array(record.text))
    }

    @Test(arguments: [
        "", "garbage", "2026-11-24T07:18:52Z stdout", "2026-11-24T07:18:52Z stdin F x",
        "2026-11-24T07:18:52Z stdout Q x", "2026-11-24T07:18:52Z stdout ",
    ])
    func otherLinesAreNoRecords(_ text: String) { #expect(CRIRecord(Array(text.utf8)[...]) == nil) }
}

@Suite struct LogTails {
    private static let stamp = "2026-11-24T07:18:52.000000000Z"

    private func records(_ parts: String...) -> String { parts.map { "\(Self.stamp) \($0)\n" }.joined() }

    /// What the last lines are, by reading only what the tail says.
    private func tail(_ files: [FileDescriptor], _ count: Int, streams: [LogRequest.Stream] = []) throws -> [String] {
        let wants = { (record: CRIRecord) in streams.isEmpty || streams.contains(record.stream) }
        let tail = try LogTail(files, lines: count, matches: wants)
        var found: [String] = [], base: Int64 = 0
        for file in files {
            var offset: Int64 = 0
            try attempt("lseek") { lseek(file.raw, 0, SEEK_SET) }
            var reader = LineReader(file)
            _ = try reader.lines { line in
                if let record = CRIRecord(line), wants(record), tail.includes(record.stream, at: base + offset) {
                    found.append(String(decoding: record.text, as: UTF8.self))
                }
                offset += Int64(line.count) + 1
                return true
            }
            base += offset
        }
        return found
    }

    @Test func countsLinesNotRecords() throws {
        let scratch = try Scratch()
        let file = try scratch.write(
            "log", records("stdout F a", "stdout P b1", "stdout P b2", "stdout F b3", "stdout F c"))
        #expect(["c"] == (try tail([file], 1)))
        #expect(["b1", "b2", "b3", "c"] == (try tail([file], 2)))
        #expect(["a", "b1", "b2", "b3", "c"] == (try tail([file], 3)))
        #expect(["a", "b1", "b2", "b3", "c"] == (try tail([file], 9)))
        #expect([] == (try tail([file], 0)))
    }

    @Test func findsTheFirstPartOfALineBehindTheOtherStream() throws {
        let scratch = try Scratch()
        let file = try scratch.write("log", records("stdout F x", "stdout P a1", "stderr F e", "stdout F a2"))
        #expect(["a1", "a2"] == (try tail([file], 1)))
        #expect(["a1", "e", "a2"] == (try tail([file], 2)))
        #expect(["e"] == (try tail([file], 1, streams: [.stderr])))
    }

    @Test func aLineWithoutItsEndCounts() throws {
        let scratch = try Scratch()
        let file = try scratch.write("log", records("stdout F a", "stdout F b", "stdout P c"))
        #expect(["c"] == (try tail([file], 1)))
        #expect(["b", "c"] == (try tail([file], 2)))
    }

    @Test func reachesIntoTheOlderFile() throws {
        let scratch = try Scratch()
        let older = try scratch.write("log.1", records("stdout F a", "stdout F b"))
        let file = try scratch.write("log", records("stdout F c"))
        #expect(["b", "c"] == (try tail([older, file], 2)))
    }

    @Test func readsAcrossBlocks() throws {
        let scratch = try Scratch()
        let lines = (0..<5000).map { "\(Self.stamp) stdout F line \($0)\n" }.joined()
        let file = try scratch.write("log", lines)
        let found = try tail([file], 3000)
        #expect(3000 == found.count)
        #expect("line 2000" == found.first)
        #expect("line 4999" == found.last)
    }
}

@Suite struct LogWriting {
    private func text(_ request: LogRequest, _ lines: [String]) throws -> String {
        try written { fd in
            var writer = LogWriter(request, Streams(stdout: fd), try Call(timeoutMs: 5000), name: "x")
            for line in lines { if try !writer.add(Array(line.utf8)[...], nil, at: 0) { break } }
            _ = try writer.flush()
        }
    }

    private let lines = [
        "1970-01-01T00:00:01Z stdout P a", "1970-01-01T00:00:02Z stderr F no", "1970-01-01T00:00:02Z stdout F b",
        "1970-01-01T00:00:03Z stdout F c",
    ]

    @Test func joinsParts() throws { #expect("ab\nc\n" == (try text(LogRequest(), lines))) }

    @Test func aLineHasTheTimeOfItsFirstPart() throws {
        var request = LogRequest()
        request.timestamps = true
        #expect("1970-01-01T00:00:01Z ab\n1970-01-01T00:00:03Z c\n" == (try text(request, lines)))
        request.timestamps = false
        request.since = 2_000_000_000
        #expect("c\n" == (try text(request, lines)))
        request.since = nil
        request.until = 2_500_000_000
        #expect("ab\n" == (try text(request, lines)))
    }

    @Test func theSecondNameBecomesTheOlderHalf() throws {
        let scratch = try Scratch()
        let paths = LogFiles(path: "\(scratch.path)/log")
        #expect(!paths.settle())
        let old = "1970-01-01T00:00:01Z stdout F old\n", next = "1970-01-01T00:00:01Z stdout F new\n"
        _ = try scratch.write("log", old)
        #expect(!paths.settle())
        // As conmon does it: a new file, moved into the place of the old one within the same write.
        _ = try scratch.write("log", next)
        #expect(paths.settle())
        #expect(old == (try Files.readText(paths.older)))
        #expect(2 == (try paths.open().count))
        // A burst may have filled and replaced further files in no time: without a common stamp nothing proves otherwise.
        _ = try scratch.write("log", "1970-01-01T00:00:01.1Z stdout F later\n")
        #expect(!paths.settle())
        // Another one: what is in between is lost, so what is before it is not shown.
        try Call.unbounded.sleep(ms: 100, for: "the clock")
        _ = try scratch.write("log", "newer\n")
        #expect(!paths.settle())
        #expect(1 == (try paths.open().count))
    }
}

/// Leaves the object a descriptor to close that nobody else can have.
func closeReader(_ fd: FileDescriptor) throws {
    let null = try FileDescriptor.open("/dev/null", O_RDONLY)
    try attempt("dup2") { dup2(null.raw, fd.raw) }
}

@Suite struct Outputs {
    @Test func aReaderThatIsGoneIsNoError() throws {
        let pipe = try FileDescriptor.pipe()
        let output = Output(pipe.write.raw)
        try closeReader(pipe.read)
        signal(SIGPIPE, SIG_DFL)  // the write below must not end this program
        #expect(try !output.write([1, 2, 3], Call.unbounded, for: "nobody"))
        #expect(output.isGone)
    }

    @Test func aReaderThatDoesNotReadBlocksNoLongerThanTheCall() throws {
        let pipe = try FileDescriptor.pipe()
        let output = Output(pipe.write.raw)
        let error = #expect(throws: KinaError.self) {
            try output.write([UInt8](repeating: 0, count: 1 << 20), Call(timeoutMs: 50), for: "the reader")
        }
        #expect(.deadlineExceeded == error?.code)
        #expect(0 == fcntl(pipe.write.raw, F_GETFL) & O_NONBLOCK)
    }
}
