import KinaCore

@testable import KinaOCI

/// An image store in a home of its own, gone with the object.
final class ImageFixture: Sendable {
    let home: String
    let context: Context
    let images: OCIImages

    init(unpackLimit: Int64 = 1 << 30, stallMs: Int64 = 60_000) throws {
        home = "/tmp/kina-images-\(Identifier.random(8))"
        var options = RuntimeOptions()
        options.home = home
        options.unpackLimit = unpackLimit
        context = try Context(options)
        images = try OCIImages(context, stallMs: stallMs)
    }

    deinit {
        try? Files.removeTree(home)
        try? Files.removeTree(context.run)
    }

    /// The same store as another process would open it.
    func reopened() throws -> OCIImages { try OCIImages(context) }

    /// Calls with a descriptor of a regular file of these bytes.
    func with<R>(_ bytes: [UInt8], _ body: (Int32) throws -> R) throws -> R {
        let path = "/tmp/kina-file-\(Identifier.random(8))"
        try Files.writeAtomically(path, bytes, sync: false)
        defer { unlink(path) }
        let fd = try FileDescriptor.open(path, O_RDONLY)
        return try withExtendedLifetime(fd) { try body(fd.raw) }
    }

    func empty(_ name: String) throws -> FileDescriptor {
        try FileDescriptor.open("\(home)/\(name)-\(Identifier.random(4))", O_RDWR | O_CREAT)
    }

    @discardableResult
    func importTar(_ entries: [TarEntry], as reference: String, _ config: ImageConfig = ImageConfig()) throws
        -> ImageStatus
    {
        var request = try JSON.decode(
            ImageImportRequest.self, from: #"{"reference": "\#(reference)"}"#, what: "request")
        request.config = config
        return try with(TarEntry.archive(entries)) { try images.import(request, from: $0, .unbounded) }
    }

    func pull(_ reference: String, _ call: Call = .unbounded) throws -> ImageStatus {
        try images.pull(ImagePullRequest(reference: reference), call)
    }

    /// What is on disk beside records and locks.
    var remains: [String] {
        get throws {
            let blobs = try Files.list("\(home)/images/blobs/sha256")
            let trees = try Files.list("\(home)/images/rootfs").filter { !$0.hasSuffix(".lock") }
            return try (blobs + trees + Files.list("\(home)/tmp")).sorted()
        }
    }
}

/// An entry of a tar, hostile ones too: programs that write tars refuse to.
struct TarEntry {
    var name: String
    var type: Character = "0"
    var link = ""
    var content: [UInt8] = []
    var mode: UInt32 = 0o644

    static func file(_ name: String, _ text: String = "content\n") -> TarEntry {
        TarEntry(name: name, content: Array(text.utf8))
    }
    static func directory(_ name: String) -> TarEntry { TarEntry(name: name, type: "5", mode: 0o755) }
    static func symlink(_ name: String, _ target: String) -> TarEntry { TarEntry(name: name, type: "2", link: target) }
    static func hardLink(_ name: String, _ target: String) -> TarEntry { TarEntry(name: name, type: "1", link: target) }

    /// A POSIX ustar archive.
    static func archive(_ entries: [TarEntry]) -> [UInt8] {
        entries.flatMap(\.bytes) + [UInt8](repeating: 0, count: 1024)
    }

    private var bytes: [UInt8] {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, _ offset: Int) {
            for (index, byte) in text.utf8.enumerated() { header[offset + index] = byte }
        }
        func octal(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: digits - text.count) + text
        }
        put(name, 0)
        put(octal(UInt64(mode), 7), 100)
        put(octal(0, 7), 108)
        put(octal(0, 7), 116)
        put(octal(UInt64(content.count), 11), 124)
        put(octal(1_700_000_000, 11), 136)
        put("        ", 148)
        put(String(type), 156)
        put(link, 157)
        put("ustar\u{0}00", 257)
        if type == "3" {
            put(octal(1, 7), 329)
            put(octal(3, 7), 337)
        }
        put(octal(header.reduce(0) { $0 + UInt64($1) }, 6) + "\u{0} ", 148)
        return header + content + [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }
}

/// Debian's docker-registry on a free port of the loopback interface.
final class RegistryFixture: Sendable {
    let address: String
    private let directory: String
    private let child: Child

    /// nil where it is not installed.
    init?() throws {
        guard let program = Command.find("docker-registry") else { return nil }
        directory = "/tmp/kina-registry-\(Identifier.random(8))"
        try Files.makeDirectories(directory)
        let port = try Listener().port  // free again when the listener is gone
        address = "127.0.0.1:\(port)"
        let configuration = """
            {"version": 0.1, "storage": {"filesystem": {"rootdirectory": "\(directory)"}},
             "http": {"addr": "\(address)"}, "log": {"level": "error"}}
            """
        try Files.writeAtomically("\(directory)/config.yml", Array(configuration.utf8))
        var command = Command(program, ["serve", "\(directory)/config.yml"])
        command.diesWithCaller = false
        child = try command.spawn()
        let call = try Call(timeoutMs: 10_000)
        while !Self.answers(port) { try call.sleep(ms: 20, for: "the registry") }
    }

    deinit {
        child.kill()
        _ = try? child.reap()
        try? Files.removeTree(directory)
    }

    private static func answers(_ port: UInt16) -> Bool {
        let fd = FileDescriptor(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        return Listener.withAddress(port) { connect(fd.raw, $0, $1) } == 0
    }
}

/// A TCP port where connections are taken and nothing is ever said.
final class Listener: Sendable {
    let port: UInt16
    private let fd: FileDescriptor

    init() throws {
        fd = FileDescriptor(try attempt("socket") { socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) })
        let raw = fd.raw
        try attempt("bind") { Self.withAddress(0) { bind(raw, $0, $1) } }
        try attempt("listen") { listen(raw, 16) }
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) { pointer in
            _ = try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                try attempt("getsockname") { getsockname(raw, pointer, &length) }
            }
        }
        port = UInt16(bigEndian: address.sin_port)
    }

    static func withAddress<R>(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
