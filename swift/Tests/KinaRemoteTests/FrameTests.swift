import KinaCore
import Testing

@testable import KinaRemote

struct FrameTests {
    private static let hello = Hello(RuntimeOptions())

    @Test func `a frame comes out as it went in, in whatever pieces it arrives`() throws {
        let bytes = try Frame.bytes(.hello, Self.hello) + Frame.bytes(.cancel, Done())
        for size in [1, 3, 7, 64, bytes.count] {
            var reader = FrameReader()
            var frames: [Frame] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                reader.append(bytes[start..<min(start + size, bytes.count)])
                while let frame = try reader.next() { frames.append(frame) }
            }
            #expect(frames.map(\.kind) == [.hello, .cancel])
            let read = try JSON.decode(Hello.self, from: try #require(frames.first).body, what: "hello")
            #expect(read.version == Kina.version)
        }
    }

    @Test func `a truncated frame is none yet`() throws {
        let bytes = try Frame.bytes(.hello, Self.hello)
        for count in 0..<bytes.count {
            var reader = FrameReader()
            reader.append(bytes[..<count])
            #expect(try reader.next() == nil)
        }
    }

    @Test(
        arguments: [
            [0x47, 0x45, 0x54, 0x20, 0x2F, 0x20, 0x48, 0x54],  // GET / HT
            [0x6B, 0, 0, 0, 0, 0, 0, 0], [0x6B, 99, 0, 0, 0, 0, 0, 0], [0x6B, 1, 0, 1, 0, 0, 0, 0],
            [0x6B, 1, 9, 0, 0, 0, 0, 0], [0x6B, 1, 255, 0, 0, 0, 0, 0],
            [0x6B, 1, 0, 0, 1, 0, 0, 1], [0x6B, 3, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        ] as [[UInt8]])
    func `what is no frame of ours is refused at its header`(_ header: [UInt8]) {
        var reader = FrameReader()
        reader.append(header)
        #expect(throws: KinaError.self) { try reader.next() }
    }

    @Test func `the greatest document fits and one byte more does not`() throws {
        let text = String(repeating: "x", count: Frame.limit - 2)
        #expect(try Frame.bytes(.answer, text).count == Frame.limit + Frame.headerSize)
        let error = #expect(throws: KinaError.self) { try Frame.bytes(.answer, text + "x") }
        #expect(error?.code == .resourceExhausted)
    }

    @Test func `a frame without the descriptors that it announces is refused`() throws {
        var reader = FrameReader()
        reader.append(try Frame.bytes(.request, Done(), descriptors: 1))
        #expect(throws: KinaError.self) { try reader.next() }
        reader = FrameReader()
        reader.append(try Frame.bytes(.request, Done()), [try FileDescriptor.open("/dev/null", O_RDONLY)])
        #expect(throws: KinaError.self) { try reader.next() }
    }

    @Test func `descriptors belong to the frame that they came with, not to one before it`() throws {
        let cancel = try Frame.bytes(.cancel, Done())
        let request = try Frame.bytes(.request, Done(), descriptors: 1)
        let null = { try FileDescriptor.open("/dev/null", O_RDONLY) }
        for kept in [1, Frame.headerSize, request.count] {
            var reader = FrameReader()
            // As recvmsg(2) gives them: bytes without descriptors, and after them the beginning of those with.
            reader.append(cancel + request[..<kept], [try null()])
            #expect(try reader.next()?.descriptors.count == 0)
            if kept < request.count {
                #expect(try reader.next() == nil)
                reader.append(request[kept...])
            }
            #expect(try reader.next()?.descriptors.count == 1)
            #expect(try reader.next() == nil)
        }
        var reader = FrameReader()
        reader.append(cancel + request, [try null(), try null()])
        #expect(try reader.next()?.kind == .cancel)
        #expect(throws: KinaError.self) { try reader.next() }
    }

    @Test func `random bytes never do more than fail`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            var reader = FrameReader()
            var bytes = (0..<Int.random(in: 0...64, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            if Bool.random(using: &generator), !bytes.isEmpty { bytes[0] = 0x6B }
            reader.append(bytes)
            while let frame = try? reader.next() { #expect(frame.body.count <= 64) }
        }
    }

    @Test func `every method has one request type, and names itself`() {
        for method in Method.allCases { #expect(method.request.method == method) }
        #expect(Set(Method.allCases.map { "\($0.request)" }).count == Method.allCases.count)
    }

    @Test func `an envelope keeps its request, its bounds and which descriptor is which`() throws {
        let pipe = try FileDescriptor.pipe()
        let call = try Call(timeoutMs: 60_000, progressFd: pipe.write.raw)
        var spec = ProcessSpec(args: ["sh"])
        spec.timeoutMs = 7
        let request = ProcessCreate(container: "box", spec: spec)
        let (envelope, passing) = Envelope.packing(request, [nil, pipe.write.raw, pipe.write.raw], call)
        #expect(passing.count == 2)  // output and error are one; progress is a duplicate
        let read = try JSON.decode(Envelope.self, from: try JSON.encode(envelope), what: "request")
        #expect(read.deadline == call.deadline)
        #expect((read.request as? ProcessCreate)?.spec == spec)
        let arrived = [pipe.write, pipe.read]
        let streams = try read.passed(arrived).streams
        #expect(streams.stdin == nil && streams.stdout == pipe.write.raw && streams.stderr == pipe.write.raw)
        #expect(try read.call(arrived).reportsProgress)
    }

    @Test(arguments: [
        #"{"method": "no", "arguments": {}, "descriptors": []}"#,
        #"{"method": "imageGet", "arguments": {}, "descriptors": []}"#,
        #"{"method": "imageGet", "arguments": {"reference": "x"}}"#, #"{"descriptors": []}"#, "[]", "", "\u{0}",
    ])
    func `an envelope that is none is an error`(_ text: String) {
        #expect(throws: KinaError.self) { try JSON.decode(Envelope.self, from: text, what: "request") }
    }

    @Test func `a descriptor that did not come is an error`() throws {
        for places in ["[3]", "[-1]", "[9223372036854775807]"] {
            let text = #"{"method": "imageGet", "arguments": {"reference": "x"}, "descriptors": \#(places)}"#
            let envelope = try JSON.decode(Envelope.self, from: text, what: "request")
            #expect(throws: KinaError.self) { try envelope.passed([]) }
        }
    }

    @Test func `an error crosses whole`() throws {
        let error = KinaError(.dataLoss, "lost", hint: "look", details: ["a": "b"])
        let read = try JSON.decode(Failure.self, from: try JSON.encode(Failure(error)), what: "failure").error
        #expect(read.code == error.code && read.message == "lost" && read.hint == "look" && read.details == ["a": "b"])
        for code in KinaError.Code.allCases { #expect(Failure(KinaError(code, "x")).error.code == code) }
        let unknown = try JSON.decode(
            Failure.self, from: #"{"code": 99, "message": "x", "details": {}}"#, what: "failure")
        #expect(unknown.error.code == .unknown)
    }

    @Test func `figures cross whole, and absent ones stay absent`() {
        var sample = Statistics(timestampNs: 1)
        #expect(SampleRecord(bytes(sample)).sample.cpuNs == nil)
        #expect(SampleRecord(bytes(sample)).sample.network == nil)
        sample.cpuModesNs = (2, 3)
        sample.memory = (4, 5)
        sample.network = (6, 7, 8, 9)
        sample.blockIO = (10, 11)
        sample.oomKills = .max
        let read = SampleRecord(bytes(sample)).sample
        #expect(read.timestampNs == 1 && read.cpuNs == nil && read.memoryLimit == nil && read.oomKills == .max)
        #expect(read.cpuModesNs! == (2, 3) && read.memory! == (4, 5))
        #expect(read.network! == (6, 7, 8, 9) && read.blockIO! == (10, 11))
    }

    private func bytes(_ sample: Statistics) -> [UInt8] { SampleRecord(sample).bytes }
}
