import KinaCore

/// One connection to a server that has said welcome. One thread uses it at a time; `Link` sees to that.
final class Connection: @unchecked Sendable {
    let welcome: Welcome
    private let socket: Socket
    private var reader = FrameReader()
    private let place: ServerPlace

    /// How long a server may take for what needs no time: to say welcome, and to be done with what was cancelled.
    private static let welcomeMs: Int64 = 10_000
    private static let cleanUpMs: Int64 = 90_000

    /// nil: nobody listens there, or who did has just left.
    static func open(_ place: ServerPlace, _ hello: Hello, _ call: Call) throws -> Connection? {
        let bound = call.within(ms: welcomeMs)
        do {
            let socket = try Socket.create()
            guard try connect(socket, place, bound) else { return nil }
            guard try socket.peer().isTrusted else {
                throw KinaError(
                    .permissionDenied, "\(place.socket) is served by another user", hint: "remove \(place.directory)")
            }
            return try Connection(socket, place, hello, bound)
        } catch let error as Errno {
            throw KinaError(error, "connecting to kina-vmd")
        } catch let error as KinaError where error.code == .deadlineExceeded {
            try call.check("kina-vmd to answer")
            throw KinaError(
                .unavailable, "kina-vmd takes connections on \(place.socket) and does not answer",
                hint: "its pid is in \(place.lock): see whether it is stopped, or end it")
        }
    }

    private static func connect(_ socket: Socket, _ place: ServerPlace, _ call: Call) throws -> Bool {
        while true {
            do {
                try socket.connect(to: place.socket)
                return true
            } catch let error as Errno where error.code == ENOENT || error.code == ECONNREFUSED {
                return false
            } catch let error as Errno where error.code == EAGAIN {
                try call.sleep(ms: 5, for: "kina-vmd to take one more connection")
            }
        }
    }

    private init?(_ socket: Socket, _ place: ServerPlace, _ hello: Hello, _ call: Call) throws {
        self.socket = socket
        self.place = place
        do {
            try socket.send(try Frame.bytes(.hello, hello), [], call, for: "kina-vmd to say welcome")
        } catch let error as Errno where [EPIPE, ECONNRESET].contains(error.code) {
            return nil
        }
        guard let frame = try Self.next(socket, &reader, call, for: "kina-vmd to say welcome") else { return nil }
        switch frame.kind {
        case .welcome: welcome = try JSON.decode(Welcome.self, from: frame.body, what: "welcome")
        case .failure: throw try JSON.decode(Failure.self, from: frame.body, what: "failure").error
        default: throw KinaError(.internal, "kina-vmd said \(frame.kind) instead of welcome")
        }
    }

    /// A server that has ended meanwhile shows as readable.
    var isStale: Bool {
        var entry = pollfd(fd: socket.fd.raw, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) != 0
    }

    /// What a request watches beside its answer. `onReadable` says whether it wants more; when not, the request is
    /// cancelled, which may be long before the server would notice by itself.
    struct Watch {
        let fd: Int32
        let onReadable: () throws -> Bool
    }

    enum Outcome {
        /// The server had ended before it could have begun: another one may be asked the same.
        case neverBegun
        case answered(Frame)
    }

    /// Sends a request and waits for its answer. After an error the connection is of no use any more.
    func ask(_ method: Method, _ bytes: [UInt8], _ passing: [Int32], _ call: Call, _ watch: Watch?) throws -> Outcome {
        let waitedFor = "kina-vmd to perform \(method.rawValue)"
        do {
            do {
                try socket.send(bytes, passing, call, for: waitedFor)
            } catch let error as Errno where [EPIPE, ECONNRESET].contains(error.code) {
                return .neverBegun
            }
            guard let frame = try answer(call, watch, for: waitedFor) else { throw hasEnded(during: method) }
            return .answered(frame)
        } catch let error as Errno {
            throw KinaError(error, "asking kina-vmd for \(method.rawValue)")
        }
    }

    private func answer(_ call: Call, _ watch: Watch?, for waitedFor: String) throws -> Frame? {
        var watch = watch
        do {
            return try answer(&watch, call, for: waitedFor)
        } catch let end as KinaError where end.code == .deadlineExceeded || end.code == .cancelled {
            // The server has the same deadline. What it had begun it undoes now, which we wait for: its answer says
            // how it went.
            if end.code == .cancelled { cancel() }
            let bound = Call.unbounded.within(ms: Self.cleanUpMs)
            do { return try answer(&watch, bound, for: waitedFor) } catch let late as KinaError
                where late.code == .deadlineExceeded
            {
                throw end.caused(by: late)
            }
        }
    }

    private func answer(_ watch: inout Watch?, _ call: Call, for waitedFor: String) throws -> Frame? {
        while let watched = watch {
            if let frame = try reader.next() { return frame }
            var entries = [socket.fd.raw, watched.fd].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            try call.poll(&entries, for: waitedFor)
            if entries[1].revents != 0, try !watched.onReadable() {
                watch = nil
                cancel()
            }
            if entries[0].revents != 0, try socket.receive(into: &reader) == .end { return nil }
        }
        return try Self.next(socket, &reader, call, for: waitedFor)
    }

    private func cancel() {
        let bound = Call.unbounded.within(ms: Self.welcomeMs)
        try? socket.send(try Frame.bytes(.cancel, Done()), [], bound, for: "kina-vmd to hear of the cancellation")
    }

    private static func next(
        _ socket: Socket, _ reader: inout FrameReader, _ call: Call, for waitedFor: String
    ) throws -> Frame? {
        while true {
            if let frame = try reader.next() { return frame }
            try call.waitReadable(socket.fd.raw, for: waitedFor)
            if try socket.receive(into: &reader) == .end { return nil }
        }
    }

    private func hasEnded(during method: Method) -> KinaError {
        KinaError(
            .unavailable, "kina-vmd (pid \(welcome.pid)) ended while it performed \(method.rawValue)",
            hint: "try again: the next call starts it anew. What it last said is in \(place.log)",
            details: ["method": method.rawValue, "pid": "\(welcome.pid)", "log": place.log])
    }
}
