import KinaCore
import KinaOCI
import Synchronization
import Testing

@testable import KinaRemote
@testable import KinaServer

/// A real server with the OCI backend behind it.
@Suite(.enabled(if: Served.canRun), .serialized)
struct ServerTests {
    // MARK: Who and what may come in

    @Test func `everything of it is the user's alone`() throws {
        let served = try Served()
        _ = try served.backend()
        func mode(_ path: String) -> mode_t {
            var info = stat()
            return lstat(path, &info) == 0 ? info.st_mode & 0o7777 : 0
        }
        #expect(mode(served.place.directory) == 0o700)
        for file in [served.place.socket, served.place.lock] { #expect(mode(file) == 0o600) }
    }

    @Test func `garbage is answered with a failure, and the others go on`() throws {
        let served = try Served()
        let backend = try served.backend()
        let garbage: [[UInt8]] = [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [0x6B, 9, 0, 0, 0, 0, 0, 0], [0x6B, 1, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F],
            [UInt8](repeating: 0, count: 4096), try Frame.bytes(.cancel, Done()), try Frame.bytes(.answer, Done()),
            try Frame.bytes(.request, Done()), try Frame.bytes(.hello, [1, 2, 3]),
        ]
        for bytes in garbage {
            let raw = try served.raw()
            try raw.send(bytes)
            let frame = try #require(try raw.next())
            #expect(frame.kind == .failure)
            #expect(try JSON.decode(Failure.self, from: frame.body, what: "failure").error.code == .invalidArgument)
            #expect(try raw.next() == nil)
            #expect(try backend.containers.list(ContainerFilter()).containers.isEmpty)
        }
    }

    @Test func `random frames after a greeting do not harm it`() throws {
        let served = try Served()
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<100 {
            let raw = try served.raw()
            try raw.greet()
            let body = (0..<Int.random(in: 0...200, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            let kind = UInt8.random(in: 0...8, using: &generator)
            try? raw.send([0x6B, kind, 0, 0, UInt8(body.count), 0, 0, 0] + body)
            if kind == Frame.Kind.request.rawValue { #expect(try raw.next()?.kind == .failure) }
        }
        #expect(try served.backend().volumes.list().volumes.isEmpty)
    }

    @Test func `a request that can't be read leaves the connection usable`() throws {
        let served = try Served()
        let raw = try served.raw()
        try raw.greet()
        try raw.send(try Frame.bytes(.request, ["method": "nothing"]))
        #expect(try raw.next()?.kind == .failure)
        try raw.request(VolumeListing())
        #expect(try raw.next()?.kind == .answer)
    }

    @Test func `another version is told from the first frame, whatever else it says`() throws {
        let served = try Served()
        let backend = try served.backend()
        let raw = try served.raw()
        let body = Array(#"{"version": "99.0", "options": {"home": "/x", "madeUpLater": [1]}, "more": 1}"#.utf8)
        try raw.send([0x6B, Frame.Kind.hello.rawValue, 0, 0, UInt8(body.count), 0, 0, 0] + body)
        let frame = try #require(try raw.next())
        let error = try JSON.decode(Failure.self, from: frame.body, what: "failure").error
        #expect(error.code == .failedPrecondition && error.message.contains(Kina.version) && error.hint != nil)
        #expect(try backend.networks.list().networks.isEmpty)
    }

    @Test func `other options are refused while somebody uses it, and replace it when nobody does`() throws {
        let served = try Served()
        var other = served.options
        other.unpackLimit = 1 << 20
        var backend: RemoteBackend? = try served.backend()
        let error = #expect(throws: KinaError.self) { try RemoteBackend(other) }
        #expect(error?.code == .failedPrecondition && error?.message.contains("unpackLimit") == true)
        _ = backend
        backend = nil
        setenv("KINA_SERVER_IDLE", "1", 1)
        defer { unsetenv("KINA_SERVER_IDLE") }
        let replacement = try RemoteBackend(other)
        #expect(replacement.info.backend == "oci")
        try served.waitForEnd()
    }

    @Test func `a home that was removed and made anew gets a server of its own`() throws {
        let served = try Served()
        _ = try served.backend().volumes.list()
        try Files.removeTree(try Home(served.options.home).path)
        setenv("KINA_SERVER_IDLE", "1", 1)
        defer { unsetenv("KINA_SERVER_IDLE") }
        #expect(try served.backend().volumes.list().volumes.isEmpty)
        try served.waitForEnd()
    }

    // MARK: Calls

    @Test func `errors keep their code, message, hint and details`() throws {
        let served = try Served()
        let backend = try served.backend()
        let direct = try OCIBackend(served.options)
        let far = #expect(throws: KinaError.self) { try backend.containers.get("nobody") }
        let near = #expect(throws: KinaError.self) { try direct.containers.get("nobody") }
        #expect(far?.code == near?.code && far?.message == near?.message && far?.hint == near?.hint)
        #expect(far?.details == near?.details && far?.details.isEmpty == false)
    }

    @Test func `streams go straight through, and end when the container does`() throws {
        let served = try Served()
        let backend = try served.backend()
        let image = try makeImage(backend)
        let (input, output) = (try FileDescriptor.pipe(), try FileDescriptor.pipe())
        try writeAll(input.write.raw, Array("there and back".utf8))
        close(dup2(open("/dev/null", O_RDONLY), input.write.raw))  // the writing end's end; the number stays valid
        let status = try backend.containers.run(
            isolated(image, ["sh", "-c", "cat; exit 7"]), Streams(stdin: input.read.raw, stdout: output.write.raw),
            Call(timeoutMs: 30_000))
        #expect(status.exitCode == 7)
        close(dup2(open("/dev/null", O_RDONLY), output.write.raw))
        #expect(try output.read.read() == Array("there and back".utf8))
        #expect(try output.read.read() == [])
        #expect(try backend.containers.list(ContainerFilter()).containers.isEmpty)
    }

    @Test func `a deadline and a cancellation end a call in the server, with all that it had begun`() throws {
        let served = try Served()
        let backend = try served.backend()
        let image = try makeImage(backend)
        let late = #expect(throws: KinaError.self) {
            try backend.containers.run(isolated(image, ["sleep", "60"]), Streams(), Call(timeoutMs: 700))
        }
        #expect(late?.code == .deadlineExceeded)
        #expect(try backend.containers.list(ContainerFilter()).containers.isEmpty)

        let call = try Call(timeoutMs: 30_000)
        try startThread {
            while (try? backend.containers.list(ContainerFilter()).containers.first?.state) != .running {
                usleep(10_000)
            }
            call.cancel()
        }
        let cancelled = #expect(throws: KinaError.self) {
            try backend.containers.run(isolated(image, ["sleep", "60"]), Streams(), call)
        }
        #expect(cancelled?.code == .cancelled)
        #expect(try backend.containers.list(ContainerFilter()).containers.isEmpty)
    }

    @Test func `a client that vanishes takes its call along`() throws {
        let served = try Served()
        let backend = try served.backend()
        let image = try makeImage(backend)
        var raw: Raw? = try served.raw()
        try raw?.greet()
        try raw?.request(ContainerRun(spec: isolated(image, ["sleep", "60"])), [nil, nil, nil])
        try waitUntil("it runs") { try backend.containers.list(ContainerFilter()).containers.first?.state == .running }
        raw = nil
        try waitUntil("it is gone") { try backend.containers.list(ContainerFilter()).containers.isEmpty }
    }

    @Test func `a client that does not read its answer keeps nobody waiting`() throws {
        let served = try Served()
        let backend = try served.backend()
        // More requests than answers fit into the socket: the second of a pair on one connection is refused anyway, so
        // each has its own.
        var slow: [Raw] = []
        for _ in 0..<20 {
            let raw = try served.raw()
            try raw.greet()
            try raw.request(ImageListing())
            slow.append(raw)
        }
        let begin = Clock.monotonic()
        for _ in 0..<20 { _ = try backend.images.list() }
        #expect(Clock.monotonic() - begin < 10_000_000_000)
        for raw in slow { #expect(try raw.next()?.kind == .answer) }
    }

    @Test func `a second request before the answer ends the connection and the call`() throws {
        let served = try Served()
        let raw = try served.raw()
        try raw.greet()
        var filter = EventFilter()
        filter.kinds = [.volume]
        let null = try FileDescriptor.open("/dev/null", O_WRONLY)
        try raw.request(Events(filter: filter), [null.raw])
        try raw.request(VolumeListing())
        #expect(try raw.next() == nil)
    }

    @Test func `a hundred clients are served at once`() throws {
        let served = try Served()
        let done = Mutex(0)
        for _ in 0..<100 {
            try startThread {
                do {
                    let raw = try served.raw()
                    try raw.greet()
                    for _ in 0..<5 {
                        try raw.request(VolumeListing())
                        guard try raw.next()?.kind == .answer else { return }
                    }
                    done.withLock { $0 += 1 }
                } catch { Issue.record(error) }
            }
        }
        try waitUntil("all are done") { done.withLock { $0 } == 100 }
    }

    @Test func `figures come at once, and no later than the last one that is wanted`() throws {
        let served = try Served()
        let backend = try served.backend()
        let image = try makeImage(backend)
        let call = try Call(timeoutMs: 60_000)
        let box = try backend.containers.create(isolated(image, ["sleep", "60"]), call)
        _ = try backend.containers.start(box.id, call)
        defer { try? backend.containers.delete(box.id, force: true, call) }
        for (count, interval) in [(1, Int64(3_600_000_000_000)), (500, 0), (5, 10_000_000)] {
            var samples: [Statistics] = []
            try backend.containers.statistics(box.id, intervalNs: interval, call) { sample in
                samples.append(sample)
                return samples.count < count
            }
            #expect(samples.count == count)
            #expect(samples.allSatisfy { $0.memory != nil && $0.pids != nil })
            #expect(samples.map(\.timestampNs) == samples.map(\.timestampNs).sorted())
        }
        // The connection is as good as new afterwards.
        #expect(try backend.containers.get(box.id).state == .running)
    }

    // MARK: Ends

    @Test func `it ends by itself when nobody uses it, and only then`() throws {
        let served = try Served(idleSeconds: 1)
        var backend: RemoteBackend? = try served.backend()
        usleep(1_500_000)
        #expect(!served.hasEnded)
        #expect(try backend?.volumes.list().volumes.isEmpty == true)
        backend = nil
        try served.waitForEnd()
        #expect(!Files.exists(served.place.socket))
    }

    @Test func `a silent connection does not keep it`() throws {
        let served = try Served(idleSeconds: 1)
        let raw = try served.raw()
        try served.waitForEnd()
        #expect(try raw.next() == nil)
    }

    @Test func `when it is told to end, calls under way are cancelled and say so`() throws {
        let served = try Served()
        let backend = try served.backend()
        let error = Mutex<KinaError?>(nil)
        let null = try FileDescriptor.open("/dev/null", O_WRONLY)
        try startThread {
            do { try backend.events(EventFilter(), to: null.raw, try Call(timeoutMs: 30_000)) } catch let thrown {
                error.withLock { $0 = KinaError(thrown) }
            }
        }
        usleep(200_000)
        try served.shutDown()
        try waitUntil("the call has ended") { error.withLock { $0 } != nil }
        #expect(error.withLock { $0?.code } == .unavailable)
        #expect(error.withLock { $0?.message.contains("events") } == true)
    }

    @Test func `one home has one server`() throws {
        let served = try Served()
        let error = #expect(throws: KinaError.self) {
            try Server(served.options, .whileUsed(idleSeconds: 1)) { try OCIBackend(served.options) }
        }
        #expect(error?.code == .alreadyExists)
        #expect(try served.backend().info.home == Home(served.options.home).path)
    }
}

func waitUntil(_ what: String, _ condition: () throws -> Bool) throws {
    let call = try Call(timeoutMs: 20_000)
    while try !condition() { try call.sleep(ms: 10, for: what) }
}
