import CKinaLinux
import KinaCore
import KinaOCI
import Synchronization
import Testing

@testable import KinaRemote
@testable import KinaServer

/// A home with a server of its own in this process; both go with the object.
final class Served: Sendable {
    let options: RuntimeOptions
    let place: ServerPlace
    private let stop: (read: FileDescriptor, write: FileDescriptor)
    private let end = Flag()
    static let canRun = geteuid() == 0 && Command.find("runc") != nil && Command.find("conmon") != nil

    static func newOptions() -> RuntimeOptions {
        signal(SIGPIPE, SIG_IGN)  // as kina-vmd does
        var options = RuntimeOptions()
        options.home = "/tmp/kina-server-\(Identifier.random(8))"
        return options
    }

    init(idleSeconds: Int = 60) throws {
        options = Self.newOptions()
        place = ServerPlace(try Home(options.home))
        stop = try FileDescriptor.pipe()
        let server = try Server(options, .whileUsed(idleSeconds: idleSeconds)) { [options] in try OCIBackend(options) }
        let held = Held(server)
        try startThread { [end, stop] in
            do { try held.server.run(stop: stop.read.raw) } catch { Issue.record(error) }
            end.set()
        }
    }

    deinit {
        try? shutDown()
        Self.remove(options)
    }

    static func remove(_ options: RuntimeOptions) {
        guard let home = try? Home(options.home) else { return }
        try? Files.removeTree(home.runDirectory)
        try? Files.removeTree(home.path)
    }

    var hasEnded: Bool { end.isSet }

    func shutDown() throws {
        try writeAll(stop.write.raw, [1])
        try waitForEnd()
    }

    func waitForEnd() throws {
        let call = try Call(timeoutMs: 20_000)
        while !hasEnded { try call.sleep(ms: 5, for: "the server to end") }
    }

    func backend() throws -> RemoteBackend { try RemoteBackend(options) }

    /// A connection below RemoteBackend, that can say anything.
    func raw() throws -> Raw { try Raw(place) }
}

final class Flag: Sendable {
    private let value = Mutex(false)
    var isSet: Bool { value.withLock { $0 } }
    func set() { value.withLock { $0 = true } }
}

/// A server is one thread's: here the one that it is handed to.
private final class Held: @unchecked Sendable {
    let server: Server
    init(_ server: Server) { self.server = server }
}

func startThread(_ body: @escaping @Sendable () -> Void) throws {
    let box = Unmanaged.passRetained(Body(body))
    var thread = pthread_t()
    let failed = pthread_create(
        &thread, nil,
        { raw in
            guard let raw else { return nil }
            Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run()
            return nil
        }, box.toOpaque())
    try #require(failed == 0)
    pthread_detach(thread)
}

private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Says what it likes to a server.
final class Raw {
    let socket: Socket
    private var reader = FrameReader()

    init(_ place: ServerPlace) throws {
        socket = try Socket.create()
        try socket.connect(to: place.socket)
    }

    func send(_ bytes: [UInt8], _ descriptors: [Int32] = []) throws {
        try socket.send(bytes, descriptors, Call(timeoutMs: 5_000), for: "the server to listen")
    }

    func greet() throws {
        try send(try Frame.bytes(.hello, Hello(RuntimeOptions())))
        #expect(try next()?.kind == .welcome)
    }

    /// nil: the server has closed.
    func next() throws -> Frame? {
        let call = try Call(timeoutMs: 10_000)
        while true {
            if let frame = try reader.next() { return frame }
            try call.waitReadable(socket.fd.raw, for: "the server to answer")
            if try socket.receive(into: &reader) == .end { return nil }
        }
    }

    func request(_ request: any Request, _ descriptors: [Int32?] = [], timeoutMs: Int64 = -1) throws {
        let (envelope, passing) = Envelope.packing(request, descriptors, try Call(timeoutMs: timeoutMs))
        try send(try Frame.bytes(.request, envelope, descriptors: passing.count), passing)
    }
}

/// An image of busybox, made once a home.
func makeImage(_ backend: any Backend) throws -> String {
    let root = "/tmp/kina-server-root-\(Identifier.random(8))"
    defer { try? Files.removeTree(root) }
    try Files.makeDirectories("\(root)/bin", mode: 0o755)
    let busybox = try Files.read(try #require(Command.find("busybox")))
    try Files.writeAtomically("\(root)/bin/busybox", busybox, mode: 0o755, sync: false)
    for applet in ["sh", "sleep", "cat", "true"] { symlink("busybox", "\(root)/bin/\(applet)") }
    let request = #"{"reference": "localhost/served:1", "directory": "\#(root)", "config": {"env": {"PATH": "/bin"}}}"#
    let call = try Call(timeoutMs: 60_000)
    return try backend.images.import(
        try JSON.decode(ImageImportRequest.self, from: request, what: "request"), from: nil, call
    ).reference
}

func isolated(_ image: String, _ command: [String]) -> ContainerSpec {
    var spec = ContainerSpec(image: image)
    spec.command = command
    spec.sandbox.namespaces.network = NamespacesSpec.Network.none
    return spec
}
