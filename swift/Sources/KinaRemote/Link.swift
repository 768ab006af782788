import KinaCore
import Synchronization

/// The way to a home's server: as many connections as calls are under way, and a few for the next ones.
final class Link: Sendable {
    private let place: ServerPlace
    private let hello: Hello
    private let launcher: Launcher
    private let idle = Mutex<[Connection]>([])

    private static let keptIdle = 4
    /// For functions without a call of their own: they are quick, or the server hangs.
    private static let quickMs: Int64 = 120_000
    private static let startMs: Int64 = 30_000

    init(_ options: RuntimeOptions) throws {
        let home = try Home(options.home)
        var own = options
        own.home = home.path
        own.backend = options.backend == RuntimeOptions.machines ? options.backend : nil
        own.ociRuntime = options.ociRuntime ?? getenv("KINA_OCI_RUNTIME").map { String(cString: $0) }
        place = ServerPlace(home)
        hello = Hello(own)
        launcher = try Launcher(own, place)
    }

    /// Starts the server unless it runs.
    func open(_ call: Call) throws -> RuntimeInfo {
        let connection = try connect(call)
        keep(connection)
        return connection.welcome.info
    }

    func ask<R: Request>(_ request: R, passing: [Int32?] = [], _ call: Call? = nil, watch: Connection.Watch? = nil)
        throws -> R.Answer
    {
        let call = call ?? Call.unbounded.within(ms: Self.quickMs)
        let (envelope, descriptors) = Envelope.packing(request, passing, call)
        let bytes = try Frame.bytes(.request, envelope, descriptors: descriptors.count)
        // A connection that was idle may turn out to have ended; one that is new has just been welcomed.
        for _ in 0...Self.keptIdle {
            let connection = try take() ?? connect(call)
            guard case .answered(let frame) = try connection.ask(R.method, bytes, descriptors, call, watch) else {
                continue
            }
            keep(connection)
            switch frame.kind {
            case .answer: return try JSON.decode(R.Answer.self, from: frame.body, what: R.method.rawValue)
            case .failure: throw try JSON.decode(Failure.self, from: frame.body, what: "failure").error
            default: throw KinaError(.internal, "kina-vmd said \(frame.kind) instead of an answer")
            }
        }
        throw KinaError(.unavailable, "kina-vmd ends as soon as it is asked something", hint: "see \(place.log)")
    }

    private func take() -> Connection? {
        while let connection = idle.withLock({ $0.popLast() }) {
            if !connection.isStale { return connection }
        }
        return nil
    }

    private func keep(_ connection: Connection) {
        idle.withLock { if $0.count < Self.keptIdle { $0.append(connection) } }
    }

    private func connect(_ call: Call) throws -> Connection {
        let bound = call.within(ms: Self.startMs)
        do {
            while true {
                if let connection = try Connection.open(place, hello, bound) { return connection }
                if let connection = try launcher.start(bound, { try Connection.open(place, hello, bound) }) {
                    return connection
                }
            }
        } catch let error as KinaError where error.code == .deadlineExceeded {
            try call.check("kina-vmd to start")
            throw KinaError(.unavailable, "kina-vmd did not start", hint: "see \(place.log)").caused(by: error)
        }
    }
}
