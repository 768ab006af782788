import KinaCore
import KinaRemote

/// Serves any backend over a Unix socket to programs of the same user.
///
/// One thread (the caller's) accepts, reads frames and notices who is gone; each request is performed on a thread of
/// the workers. Descriptors go straight through: nothing is copied here. A request's connection is its lifeline: when
/// it ends, the request is cancelled.
public final class Server {
    /// When the server ends by itself, so many seconds after its last client.
    public enum Lifetime: Sendable {
        /// Nothing depends on it.
        case whileUsed(idleSeconds: Int)
        /// Its containers, and the machines of its pods, end with it.
        case whileContainersRun(idleSeconds: Int)

        var idleSeconds: Int {
            switch self {
            case .whileUsed(let seconds), .whileContainersRun(let seconds): seconds
            }
        }
    }

    private let backend: any Backend
    private let hello: Hello
    private let home: FileIdentity?
    private let lifetime: Lifetime
    private let listener: Listener
    private let workers = Workers()
    private var clients: [Client] = []
    private var peers: [pid_t: Peer] = [:]
    private var idleSince = Clock.monotonic()
    /// After accept(2) had no descriptor left: not before this time again.
    private var acceptAfter: Int64 = 0
    private var isRetiring = false
    /// A client sends a request and perhaps a cancel, then waits: more than this at one go would keep the others out.
    private static let burst = 16

    /// Takes the home's one place; `make` opens the backend once that is taken.
    public init(_ options: RuntimeOptions, _ lifetime: Lifetime, _ make: () throws -> any Backend) throws {
        let home = try Home(options.home)
        listener = try Listener(ServerPlace(home))
        self.home = FileIdentity(home.path)
        backend = try make()
        try listener.listen()
        hello = Hello(options)
        self.lifetime = lifetime
    }

    /// Until it has been idle for long enough, or `stop` is readable.
    public func run(stop: Int32?) throws {
        defer { finish() }
        while !isRetiring, try !shouldEnd() {
            let (clients, peers) = (clients, Array(peers.values))
            var entries = ([stop ?? -1, listenerFd] + clients.map(\.fd) + peers.map(\.fd)).map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            if poll(&entries, nfds_t(entries.count), timeoutMs) < 0, errno != EINTR { throw Errno(errno, "poll") }
            if entries[0].revents != 0 { return }
            for (client, entry) in zip(clients, entries[2...]) where entry.revents != 0 { read(client) }
            for (peer, entry) in zip(peers, entries[(2 + clients.count)...]) where entry.revents != 0 { end(peer) }
            forget()
            if entries[1].revents != 0 { accept() }
        }
    }

    private var listenerFd: Int32 { Clock.monotonic() < acceptAfter ? -1 : listener.fd }

    /// -1: until somebody wants something.
    private var timeoutMs: Int32 {
        if Clock.monotonic() < acceptAfter { return 100 }
        if clients.contains(where: \.isWelcome) { return -1 }
        guard isUnused else { return 500 }
        return Int32(clamping: max(0, (idleEnd - Clock.monotonic()) / 1_000_000 + 1))
    }

    private var idleEnd: Int64 { idleSince + Int64(lifetime.idleSeconds) * 1_000_000_000 }

    // MARK: Clients

    private func accept() {
        do {
            while let socket = try listener.accept() { try welcome(socket) }
        } catch {
            // EMFILE and the like: those who wait are taken when others have gone.
            log("accepting a connection: \(error)")
            acceptAfter = Clock.monotonic() + 200_000_000
        }
    }

    private func welcome(_ socket: Socket) throws {
        let who = try socket.peer()
        guard who.isTrusted else {
            let error = KinaError(
                .permissionDenied, "kina-vmd serves user \(geteuid()), not \(who.uid)", hint: "run as the same user")
            if let bytes = try? Frame.bytes(.failure, Failure(error)) {
                try? socket.send(bytes, [], .unbounded.within(ms: 0), for: "a stranger to listen")
            }
            return
        }
        let peer = peers[who.pid] ?? Peer(pid: who.pid)
        if peer.isWatched { peers[who.pid] = peer }
        clients.append(Client(socket, peer))
    }

    private func read(_ client: Client) {
        do {
            var count = 0
            while let frame = try client.receive() {
                try handle(frame, from: client)
                count += 1
                if count > Self.burst { throw KinaError(.resourceExhausted, "too many frames at once") }
            }
        } catch {
            client.refuse(error)
        }
    }

    private func handle(_ frame: Frame, from client: Client) throws {
        switch (frame.kind, client.isWelcome) {
        case (.hello, false): try greet(client, try JSON.decode(Hello.self, from: frame.body, what: "hello"))
        case (.request, true): try begin(frame, of: client)
        case (.cancel, true): client.cancel()
        default: throw KinaError(.invalidArgument, "a frame of kind \(frame.kind) is not expected here")
        }
    }

    private func greet(_ client: Client, _ other: Hello) throws {
        guard hello.fits(other), home == FileIdentity(backend.info.home) else {
            // Who was here first decides, for as long as somebody is.
            if !clients.contains(where: \.isWelcome), isUnused {
                isRetiring = true
                return client.close()
            }
            throw KinaError(
                .failedPrecondition,
                "kina-vmd (pid \(getpid()), version \(hello.version)) serves this home, or one that was in its place, "
                    + "with other options: ociRuntime \(hello.options.ociRuntime ?? "default"), unpackLimit "
                    + "\(hello.options.unpackLimit)",
                hint: "use the same version and options in every program, or another KINA_HOME")
        }
        try client.send(.welcome, Welcome(backend.info))
        client.isWelcome = true
    }

    private func begin(_ frame: Frame, of client: Client) throws {
        let job = try client.begin(frame)
        let started = workers.perform { [backend] in job.run(on: backend) }
        if !started {
            job.fail(KinaError(.resourceExhausted, "kina-vmd performs too many calls at once", hint: "wait for some"))
        }
    }

    // MARK: Ends

    /// A program is gone: with it go its requests and the processes that it started.
    private func end(_ peer: Peer) {
        peers[peer.pid] = nil
        for client in clients where client.peer === peer { client.close() }
        endProcesses(of: peer)
    }

    private func endProcesses(of peer: Peer) {
        let processes = peer.end()
        if processes.isEmpty { return }
        let started = workers.perform { [backend] in
            for process in processes {
                do { try backend.processes.delete(process.container, process.id) } catch {
                    log("ending process \(process.id): \(error)")
                }
            }
        }
        if !started { log("\(processes.count) processes of a program that has gone are left") }
    }

    /// Closed clients, and peers that nothing is known of any more.
    private func forget() {
        for client in clients where client.isClosed && !client.peer.isWatched { endProcesses(of: client.peer) }
        clients.removeAll { $0.isClosed }
        if clients.contains(where: \.isWelcome) { idleSince = Clock.monotonic() }
        for peer in peers.values where !peer.hasProcesses && !clients.contains(where: { $0.peer === peer }) {
            peers[peer.pid] = nil
        }
    }

    private var isUnused: Bool { workers.isIdle && peers.values.allSatisfy { !$0.hasProcesses } }

    private func shouldEnd() throws -> Bool {
        guard !clients.contains(where: \.isWelcome) else { return false }
        guard isUnused else {
            idleSince = Clock.monotonic()
            return false
        }
        guard Clock.monotonic() >= idleEnd else { return false }
        if case .whileContainersRun = lifetime {
            var running = ContainerFilter()
            running.states = [.running, .paused]
            guard try !backend.holdsMachines && backend.containers.list(running).containers.isEmpty else {
                idleSince = Clock.monotonic()
                return false
            }
        }
        return true
    }

    /// Nobody can connect any more; what is under way is cancelled and has a while to clean up.
    private func finish() {
        listener.close()
        for client in clients { client.close() }
        workers.finish(seconds: 60)
    }
}

/// Which directory is at a path: a home that was removed and made anew is another one.
private struct FileIdentity: Equatable {
    private let device: dev_t
    private let inode: ino_t
    /// Numbers of inodes are used again at once.
    private let birth: Int64

    init?(_ path: String) {
        var info = stat()
        guard stat(path, &info) == 0 else { return nil }
        device = info.st_dev
        inode = info.st_ino
        birth = HostSystem.birthTime(of: path)
    }
}

/// To standard error: a file of the run directory, or the terminal of who looks.
func log(_ text: String) {
    let line = Array("kina-vmd[\(getpid())]: \(text)\n".utf8)
    try? writeAll(2, line)
}
