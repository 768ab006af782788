import KinaCore
import KinaRemote

/// What a server's process does, from its first word to its end.
struct Serving {
    private let ready: Readiness

    /// `ready` is taken over: whoever started the server reads there how that went.
    init(ready: Int32?) { self.ready = Readiness(ready.map { FileDescriptor($0) }) }

    /// `decode` is part of it: whoever started the server hears of options that can't be read, too.
    func run(
        _ decode: () throws -> (options: RuntimeOptions, stop: Int32?), _ lifetime: (Int) -> Server.Lifetime,
        _ open: (RuntimeOptions) throws -> any Backend
    ) throws {
        do {
            let (options, stop) = try decode()
            let server = try Server(options, lifetime(try idleSeconds())) { try open(options) }
            try ready.tell(Done())
            try doing("serving") { try server.run(stop: stop) }
        } catch {
            try? ready.tell(Failure(error))
            throw error
        }
    }

    /// $KINA_SERVER_IDLE: seconds.
    private func idleSeconds() throws -> Int {
        guard let text = getenv("KINA_SERVER_IDLE").map({ String(cString: $0) }) else { return 10 }
        guard let seconds = Int(text), (1...86400).contains(seconds) else {
            throw KinaError.invalid("KINA_SERVER_IDLE", text, "is not a number of seconds", hint: "use 1 to 86400")
        }
        return seconds
    }
}

/// Tells whoever started the server how that went. Once.
private final class Readiness {
    private var fd: FileDescriptor?

    init(_ fd: FileDescriptor?) { self.fd = fd }

    func tell(_ document: some Encodable) throws {
        guard let fd else { return }
        self.fd = nil
        // Nobody may be listening any more.
        try? writeAll(fd.raw, try JSON.encode(document) + [0x0A])
    }
}
