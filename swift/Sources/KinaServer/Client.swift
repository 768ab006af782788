import KinaCore
import KinaRemote
import Synchronization

/// A connection. The server's thread reads, a worker answers: one request at a time is under way.
final class Client: Sendable {
    let peer: Peer
    private let socket: Socket
    private let state = Mutex(State())
    /// How long a client may take to read an answer.
    private static let patienceMs: Int64 = 30_000

    private struct State {
        var reader = FrameReader()
        var isWelcome = false
        var isClosed = false
        var job: Job?
    }

    init(_ socket: Socket, _ peer: Peer) {
        self.socket = socket
        self.peer = peer
    }

    var fd: Int32 { socket.fd.raw }
    var isClosed: Bool { state.withLock { $0.isClosed } }
    var isWelcome: Bool {
        get { state.withLock { $0.isWelcome && !$0.isClosed } }
        set { state.withLock { $0.isWelcome = newValue } }
    }

    /// nil: nothing whole is there. The end closes this side too.
    func receive() throws -> Frame? {
        if let frame = try state.withLock({ try $0.reader.next() }) { return frame }
        switch try state.withLock({ try socket.receive(into: &$0.reader) }) {
        case .some: return try state.withLock { try $0.reader.next() }
        case .nothing: return nil
        case .end:
            close()
            return nil
        }
    }

    func begin(_ frame: Frame) throws -> Job {
        try state.withLock { state in
            guard state.job == nil else {
                throw KinaError(.invalidArgument, "a request came before the answer to the one before it")
            }
            let job = Job(self, frame)
            state.job = job
            return job
        }
    }

    func cancel() { state.withLock { $0.job }?.cancel() }

    /// Gives an answer; from now on the next request may come.
    func answer(_ bytes: [UInt8]) {
        let isClosed = state.withLock { state in
            state.job = nil
            return state.isClosed
        }
        if isClosed { return }
        do {
            try socket.send(bytes, [], Call.unbounded.within(ms: Self.patienceMs), for: "a client to read its answer")
        } catch {
            // It is gone, or does not read. Both sides see the end.
            socket.shutDown()
        }
    }

    /// From the server's thread, which never waits.
    func send(_ kind: Frame.Kind, _ document: some Encodable) throws {
        try socket.send(try Frame.bytes(kind, document), [], .unbounded.within(ms: 0), for: "a client to listen")
    }

    /// Says why, if it listens, and closes.
    func refuse(_ error: any Error) {
        if state.withLock({ $0.job == nil }) { try? send(.failure, Failure(error)) }
        close()
    }

    func close() {
        let job = state.withLock { state in
            state.isClosed = true
            return state.job
        }
        job?.cancel()
        socket.shutDown()
    }
}

/// One request under way.
final class Job: Sendable {
    private let client: Client
    private let state: Mutex<State>

    private struct State {
        /// Taken by who performs it: its descriptors are to go with it.
        var frame: Frame?
        var call: Call?
        var isCancelled = false
    }

    init(_ client: Client, _ frame: Frame) {
        self.client = client
        state = Mutex(State(frame: frame))
    }

    func cancel() {
        state.withLock { state in
            state.isCancelled = true
            state.call?.cancel()
        }
    }

    func run(on backend: any Backend) { client.answer(Self.bytes { try perform(on: backend) }) }
    func fail(_ error: KinaError) { client.answer(Self.bytes { throw error }) }

    private static func bytes(_ body: () throws -> [UInt8]) -> [UInt8] {
        do { return try body() } catch {
            // A failure is short: it always fits.
            return (try? Frame.bytes(.failure, Failure(error))) ?? []
        }
    }

    /// The descriptors are closed here on return, before the answer: who waits for a stream's end must not wait for us.
    private func perform(on backend: any Backend) throws -> [UInt8] {
        guard let frame = state.withLock({ $0.frame.take() }) else { throw KinaError(.internal, "nothing to perform") }
        let envelope = try JSON.decode(Envelope.self, from: frame.body, what: "request")
        let call = try doing("preparing a call") { try envelope.call(frame.descriptors) }
        begin(call)
        defer { state.withLock { $0.call = nil } }
        try call.check("the call to begin")
        return try answer(envelope.request, on: backend, try envelope.passed(frame.descriptors), call)
    }

    private func begin(_ call: Call) {
        state.withLock { state in
            state.call = call
            if state.isCancelled { call.cancel() }
        }
    }

    private func answer<R: Request>(_ request: R, on backend: any Backend, _ passed: Passed, _ call: Call) throws
        -> [UInt8]
    {
        let answer = try request.perform(on: backend, passed, call)
        if let creation = request as? ProcessCreate, let id = answer as? String {
            try client.peer.own(OwnedProcess(container: creation.container, id: id), backend)
        } else if let deletion = request as? ProcessDelete {
            client.peer.disown(deletion.process)
        }
        return try Frame.bytes(.answer, answer)
    }
}
