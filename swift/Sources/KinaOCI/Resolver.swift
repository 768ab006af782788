import CKinaLinux
import KinaCore

/// A network's name service: one dnsmasq on the gateway's address. It reads the containers' names from a directory,
/// where it sees files come, change and go by itself, and asks the host's resolvers for all others.
struct Resolver: Sendable {
    private let context: Context

    init(_ context: Context) { self.context = context }

    /// Starts it unless it runs. `finish` waits until it answers: what else there is to do can be done in between.
    func begin(_ record: NetworkRecord, _ call: Call) throws -> Start? {
        let paths = NetworkPaths(context, record.id)
        if Self.identity(paths.resolverPid) != nil { return nil }
        // Containers come at the same time: one starts it, the others wait for that.
        let lock = try doing("locking \(paths.run)") {
            try FileLock("\(paths.run)/resolver.lock", call, for: "the name server of network \(record.name)")
        }
        if Self.identity(paths.resolverPid) != nil { return nil }
        return try start(record, paths, lock)
    }

    private func start(_ record: NetworkRecord, _ paths: NetworkPaths, _ lock: FileLock) throws -> Start {
        try prepare(paths)
        return try start(Command(context.tools.dnsmasq, arguments(record, paths)), paths.resolverPid, lock)
    }

    /// Where a container on several networks finds its name server: in its own namespace.
    static let insideAddress = "127.0.0.153"

    /// Starts one for a container on several networks, inside of its namespace. The networks' own know one network each,
    /// and a client takes the first one's "no such name" for an answer.
    func startInside(_ netns: String, pidFile: String, _ records: [NetworkRecord]) throws -> Start {
        guard let nsenter = Command.find("nsenter") else {
            throw KinaError(.unavailable, "missing program: nsenter", hint: "apt-get install util-linux")
        }
        try doing("removing \(pidFile)") { try Files.remove(pidFile) }
        let upstream = records.first { !$0.isInternal }.map { ["--server=\($0.gateway)"] } ?? []
        let names = records.flatMap { record in
            ["--hostsdir=\(NetworkPaths(context, record.id).names)", "--rev-server=\(record.subnet)"]
        }
        let arguments =
            Self.common(pidFile) + ["--listen-address=\(Self.insideAddress)", "--no-resolv"] + names + upstream
        return try start(Command(nsenter, ["--net=\(netns)", context.tools.dnsmasq] + arguments), pidFile)
    }

    private func start(_ started: Command, _ pidFile: String, _ lock: FileLock? = nil) throws -> Start {
        var command = started
        // It makes itself a daemon: the process that we wait for ends when its sockets are bound.
        command.diesWithCaller = false
        command.ownSession = true
        let attempt = try Attempt(command)
        return Start(command: command, first: attempt, pidFile: pidFile, lock: lock)
    }

    fileprivate struct Attempt {
        let child: Child
        let errors: FileDescriptor

        init(_ command: Command) throws {
            let (read, write) = try doing("opening a pipe") { try FileDescriptor.pipe() }
            child = try command.spawn(stderr: write.raw)
            errors = read
        }

        /// nil when it runs, else what it said. Milliseconds, so no call cuts it short: a daemon half started could not
        /// be found again.
        func failure() throws -> String? {
            if try child.wait(Call.unbounded.within(ms: 10_000)).isSuccess { return nil }
            // Its pipe's other end went with it, unless a descendant of it holds it: then there is nothing to read.
            var entry = pollfd(fd: errors.raw, events: Int16(POLLIN), revents: 0)
            let said = poll(&entry, 1, 0) > 0 ? (try? errors.read()) ?? [] : []
            return String(decoding: said, as: UTF8.self)
        }
    }

    struct Start {
        fileprivate let command: Command
        fileprivate let first: Attempt
        fileprivate let pidFile: String
        /// Held while it starts.
        fileprivate let lock: FileLock?

        func finish() throws {
            defer { lock?.unlock() }
            var failure = try first.failure()
            // It lists the host's interfaces one after the other, and gives up when one vanishes meanwhile.
            for _ in 0..<4 where failure != nil { failure = try Attempt(command).failure() }
            if let failure {
                throw KinaError(
                    .unavailable, "the name server of the network didn't start: \(failure)",
                    hint: "is something on the host listening on port 53 of every address?")
            }
            guard Resolver.identity(pidFile) != nil else {
                throw KinaError(
                    .unavailable, "the name server of the network ended at once", hint: "see the system's log")
            }
        }
    }

    /// Tells the one that wrote this pid file to end; nil when there is none.
    func beginStop(_ pidFile: String) -> Stop? {
        guard let identity = Self.identity(pidFile), let pidfd = open(identity) else { return nil }
        _ = kina_linux_pidfd_send_signal(pidfd.raw, SIGTERM)
        return Stop(pidfd: pidfd)
    }

    struct Stop {
        fileprivate let pidfd: FileDescriptor

        /// Waits until it has ended, and kills it when it won't.
        func finish(_ call: Call) throws {
            let what = "a network's name server to end"
            do {
                try call.within(ms: 2000).waitReadable(pidfd.raw, for: what)
            } catch {
                _ = kina_linux_pidfd_send_signal(pidfd.raw, SIGKILL)
                try call.check(what)
                try call.within(ms: 5000).waitReadable(pidfd.raw, for: what)
            }
        }
    }

    /// The pid's start time is looked at after the descriptor was opened: from then on it can't be someone else's.
    private func open(_ identity: ProcessIdentity) -> FileDescriptor? {
        let raw = kina_linux_pidfd_open(identity.pid)
        guard raw >= 0 else { return nil }
        let pidfd = FileDescriptor(raw)
        return identity.isAlive ? pidfd : nil
    }

    /// The one that wrote this pid file, if it lives; a pid that has become another program's is not it.
    static func identity(_ pidFile: String) -> ProcessIdentity? {
        guard let text = try? Files.readText(pidFile), let pid = Int32(text.split(separator: "\n").first ?? ""),
            let identity = ProcessIdentity(pid: pid),
            let arguments = try? Files.readText("/proc/\(pid)/cmdline"), arguments.contains(pidFile)
        else { return nil }
        return identity
    }

    /// dnsmasq works as its own user: it must be able to reach its directory, and can see nothing else.
    private func prepare(_ paths: NetworkPaths) throws {
        try doing("preparing \(paths.names)") {
            try Files.makeDirectories(paths.names)
            var directory = paths.run
            while directory.hasPrefix("/run/kina") {
                try attempt("chmod \(directory)") { chmod(directory, 0o711) }
                directory = String(directory[..<(directory.lastIndex(of: "/") ?? directory.startIndex)])
            }
            try attempt("chmod \(paths.names)") { chmod(paths.names, 0o755) }
            try Files.remove(paths.resolverPid)
        }
    }

    private func arguments(_ record: NetworkRecord, _ paths: NetworkPaths) -> [String] {
        Self.common(paths.resolverPid) + [
            "--interface=\(record.bridge)", "--except-interface=lo", "--hostsdir=\(paths.names)",
            "--rev-server=\(record.subnet)",
            // An internal network has no way out, not even by name service.
            record.isInternal ? "--no-resolv" : "--resolv-file=/etc/resolv.conf",
        ]
    }

    private static func common(_ pidFile: String) -> [String] {
        [
            "--conf-file=/dev/null", "--pid-file=\(pidFile)", "--bind-interfaces", "--no-hosts",
            // Names of containers change: nobody is to remember them.
            "--local-ttl=0",
            // A name without a dot is a container's or nobody's, and so are (--rev-server) the networks' addresses:
            // asking outside would hang where there is no outside. The networks have no IPv6 to answer with.
            "--domain-needed", "--filter-AAAA",
        ]
    }

    /// The names of one container; empty removes them.
    func setNames(_ record: NetworkRecord, _ container: String, address: String, _ names: [String]) throws {
        let paths = NetworkPaths(context, record.id)
        let file = "\(paths.names)/\(container)"
        try doing("naming \(container)") {
            if names.isEmpty { return try Files.remove(file) }
            // Written beside the directory, so that dnsmasq never reads half of it.
            let temporary = "\(paths.run)/\(container).names"
            try Files.writeAtomically(
                temporary, Array("\(address) \(names.joined(separator: " "))\n".utf8), mode: 0o644, sync: false)
            try attempt("chmod \(temporary)") { chmod(temporary, 0o644) }  // whatever the umask
            try attempt("rename \(file)") { rename(temporary, file) }
        }
    }

    /// The host's real name servers: systemd-resolved's stub on loopback is no use inside a container.
    static func hostServers() -> [String] {
        let servers = servers(of: "/etc/resolv.conf")
        let usable = servers.filter { !$0.hasPrefix("127.") && $0 != "::1" }
        return usable.isEmpty ? Self.servers(of: "/run/systemd/resolve/resolv.conf") : usable
    }

    private static func servers(of file: String) -> [String] {
        guard let text = try? Files.readText(file) else { return [] }
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            return words.count >= 2 && words[0] == "nameserver" ? String(words[1]) : nil
        }
    }
}
