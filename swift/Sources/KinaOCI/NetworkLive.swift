import KinaCore

/// What is live of networks: bridge and rules, which stay until the network is deleted; the resolver, which ends with the
/// last container; and the containers. All of it is in /run and gone after a reboot; the next container brings its
/// network up again from the record.
///
/// Bringing a bridge and rules up and down costs a quarter of a second, mostly waiting for the kernel: a script that runs
/// one container after another must not pay for it each time.
///
/// A container's file in `endpoints` is written before anything of it exists and removed after the last of it is gone.
/// It is written under the network's shared lock; the exclusive lock belongs to who brings the network up or down. So
/// containers connect at the same time, and nobody takes down a network that another is about to use.
struct NetworkLive: Sendable {
    let context: Context
    let resolver: Resolver
    let firewall: Firewall
    let plugin: NetworkPlugin

    init(_ context: Context) {
        self.context = context
        resolver = Resolver(context)
        firewall = Firewall(context)
        plugin = NetworkPlugin(tools: context.tools)
    }

    /// Written when all is up, and removed before anything goes down.
    struct Up: Document {
        var bootID: String
        var interfaceIndex: UInt32
    }

    /// A container on a network, as it was connected.
    struct Endpoint: Document {
        var bootID: String
        var attachment: NetworkPlugin.Attachment
        /// The namespace's inode: a path alone may have become another namespace.
        var namespace: UInt64
        var bridge: NetworkPlugin.Config
        var ports: NetworkPlugin.Config?
        /// All is in place.
        var isComplete = false
    }

    // MARK: - The network

    /// The network's shared lock, with the network up and the endpoint on record.
    func hold(_ record: NetworkRecord, _ endpoint: Endpoint, _ call: Call) throws -> FileLock {
        let paths = NetworkPaths(context, record.id)
        for _ in 0..<8 {
            let shared = try lock(record, shared: true, call)
            try write(endpoint, paths)
            if isUp(record) { return shared }
            shared.unlock()
            let exclusive = try lock(record, shared: false, call)
            defer { exclusive.unlock() }
            if !isUp(record) { try bringUp(record, undoing: !endpoint.isComplete, call) }
        }
        throw KinaError(.unavailable, "network \(record.name) goes down as often as it comes up", hint: "try again")
    }

    /// Brings up again what containers are on and something has ended, like a name server that was killed.
    func repair(_ record: NetworkRecord, _ call: Call) throws -> Bool {
        let paths = NetworkPaths(context, record.id)
        let isBroken = { [self] in
            others(paths, than: nil) > 0 && (!isUp(record) || Resolver.identity(paths.resolverPid) == nil)
        }
        guard isBroken() else { return false }
        let exclusive = try lock(record, shared: false, call)
        defer { exclusive.unlock() }
        guard isBroken() else { return false }
        if !isUp(record) { try bringUp(record, undoing: false, call) }
        try resolver.begin(record, call)?.finish()
        return true
    }

    func lock(_ record: NetworkRecord, shared: Bool, _ call: Call) throws -> FileLock {
        do {
            return try FileLock(
                NetworkPaths(context, record.id).lock, shared: shared, call,
                for: "network \(record.name), which another call is changing")
        } catch let error as Errno where error.code == ENOENT {
            throw KinaError.notFound("network", record.name, hint: "another call has just deleted it")
        }
    }

    /// Without starting a program: this is on every container's way.
    func isUp(_ record: NetworkRecord) -> Bool {
        guard let up = up(record.id), up.bootID == (try? Context.bootID()) else { return false }
        return NetworkLink.index(record.bridge) == up.interfaceIndex && forwards(record)
    }

    private func up(_ id: String) -> Up? {
        guard let bytes = try? Files.read(NetworkPaths(context, id).up) else { return nil }
        return try? JSON.decode(Up.self, from: bytes, what: "network state")
    }

    private static let forwarding = "/proc/sys/net/ipv4/ip_forward"
    private func forwards(_ record: NetworkRecord) -> Bool {
        record.isInternal || (try? Files.readText(Self.forwarding))?.hasPrefix("1") == true
    }

    /// Under the exclusive lock. Repairs what is there in part. Undone when it throws and nobody else is on it, unless
    /// the one who is was connected before.
    private func bringUp(_ record: NetworkRecord, undoing: Bool, _ call: Call) throws {
        let paths = NetworkPaths(context, record.id)
        try NetworkSubnets(context).checkHost(record)
        let (subnet, gateway) = try record.range()
        do {
            try doing("bringing up network \(record.name)") {
                try Files.remove(paths.up)
                if NetworkLink.index(record.bridge) == nil {
                    try NetworkLink.makeBridge(
                        record.bridge, gateway: gateway, netmask: subnet.netmask, mtu: record.mtu)
                }
                if !forwards(record) { try Self.allowForwarding() }
            }
            // One that was left from a bridge of the same name serves nobody.
            try resolver.beginStop(paths.resolverPid)?.finish(call)
            try firewall.install(record, call)
            guard let index = NetworkLink.index(record.bridge) else {
                throw KinaError(.aborted, "bridge \(record.bridge) was removed while it came up", hint: "try again")
            }
            try doing("recording network \(record.name)") {
                let up = Up(bootID: try Context.bootID(), interfaceIndex: index)
                try Files.writeAtomically(paths.up, try JSON.encode(up), sync: false)
            }
        } catch {
            if undoing, others(paths, than: nil) <= 1 {
                try? bringDown(record.id, bridge: record.bridge, Self.cleanup())
            }
            throw error
        }
    }

    private static func allowForwarding() throws {
        let file = try FileDescriptor.open(forwarding, O_WRONLY)
        try writeAll(file.raw, [0x31])
    }

    /// Under the exclusive lock, or without a record. Idempotent. Removing a bridge or a rule is mostly waiting for the
    /// kernel: all are begun before any is waited for.
    func bringDown(_ id: String, bridge: String, _ call: Call) throws {
        let paths = NetworkPaths(context, id)
        try doing("taking down network \(id)") { try Files.remove(paths.up) }
        let resolver = resolver.beginStop(paths.resolverPid)
        var failure: (any Error)?
        func part(_ body: () throws -> Void) { do { try body() } catch { failure = failure ?? error } }
        part {
            let rules = try firewall.beginRemoval(id, call)
            part { try doing("removing bridge \(bridge)") { try NetworkLink.removeBridge(bridge) } }
            try rules?.finish(call)
        }
        part { try resolver?.finish(call) }
        if let failure { throw failure }
        try doing("taking down network \(id)") { try Files.removeTree(paths.run) }
    }

    /// For what must be undone although the call has ended: bounded by itself.
    static func cleanup() -> Call { Call.unbounded.within(ms: 30_000) }

    // MARK: - Containers on it

    /// The ids of those that are on the network or were left there.
    func containers(_ id: String) throws -> [String] {
        try doing("reading the endpoints of network \(id)") { try Files.list(NetworkPaths(context, id).endpoints) }
            .filter { !$0.contains(".") }
    }

    private func others(_ paths: NetworkPaths, than container: String?) -> Int {
        ((try? Files.list(paths.endpoints)) ?? []).filter { $0 != container && !$0.contains(".") }.count
    }

    func endpoint(_ id: String, _ container: String) -> Endpoint? {
        guard let bytes = try? Files.read(NetworkPaths(context, id).endpoint(container)) else { return nil }
        return try? JSON.decode(Endpoint.self, from: bytes, what: "endpoint")
    }

    private func write(_ endpoint: Endpoint, _ paths: NetworkPaths) throws {
        try doing("recording an endpoint") {
            try Files.makeDirectories(paths.endpoints)
            try Files.writeAtomically(
                paths.endpoint(endpoint.attachment.container), try JSON.encode(endpoint), sync: false)
        }
    }

    /// Interface, published ports and names; the network is up when it returns. Undone by `detach`, by who called.
    func attach(_ record: NetworkRecord, _ wanted: Endpoint, address: String, names: [String], _ call: Call) throws {
        let container = wanted.attachment.container
        if let known = endpoint(record.id, container) {
            if isConnected(known, like: wanted) {
                let lock = try hold(record, known, call)
                defer { lock.unlock() }
                try resolver.begin(record, call)?.finish()
                return try resolver.setNames(record, container, address: address, names)
            }
            try beginRemoval(known, NetworkPaths(context, record.id)).finish(call)
        }
        let lock = try hold(record, wanted, call)
        defer { lock.unlock() }
        let paths = NetworkPaths(context, record.id)
        var endpoint = wanted
        // Starts while the plugin works.
        let starting = try resolver.begin(record, call)
        let added = Result { try plugin.add(endpoint.bridge, endpoint.attachment, call) }
        try starting?.finish()
        var result = try added.get()
        try nameVeth(&result, endpoint.attachment, call)
        endpoint.bridge.prevResult = result
        if endpoint.ports != nil { endpoint.ports?.prevResult = result }
        if let ports = endpoint.ports {
            try write(endpoint, paths)
            _ = try plugin.add(ports, endpoint.attachment, call)
        }
        try resolver.setNames(record, container, address: address, names)
        endpoint.isComplete = true
        try write(endpoint, paths)
    }

    /// Names of all its networks for a container on several, which is connected to each of them.
    func resolveInside(_ netns: String, _ container: String, _ records: [NetworkRecord]) throws {
        guard records.count > 1 else { return }
        let pidFile = NetworkPaths(context, records[0].id).insideResolverPid(container)
        if Resolver.identity(pidFile) == nil { try resolver.startInside(netns, pidFile: pidFile, records).finish() }
    }

    /// Still as it was made, in the same namespace.
    private func isConnected(_ known: Endpoint, like wanted: Endpoint) -> Bool {
        var bare = known
        bare.bridge.prevResult = nil
        bare.ports?.prevResult = nil
        bare.isComplete = false
        return known.isComplete && bare == wanted && NetworkLink.index(Self.veth(known.attachment)) != nil
    }

    /// The plugin gives the host's end a random name; ours says whose it is.
    private func nameVeth(
        _ result: inout NetworkPlugin.Result, _ attachment: NetworkPlugin.Attachment, _ call: Call
    ) throws {
        guard
            let position = result.interfaces?.firstIndex(where: {
                $0.name.hasPrefix("veth") && ($0.sandbox ?? "").isEmpty
            })
        else { return }
        let name = Self.veth(attachment)
        // The kernel takes a namespace's interfaces down some time after the namespace itself.
        let bound = call.within(ms: 10_000)
        while NetworkLink.index(name) != nil {
            try bound.sleep(ms: 10, for: "interface \(name) of an earlier run to go")
        }
        try doing("naming the interface of \(attachment.container)") {
            try NetworkLink.rename(result.interfaces?[position].name ?? "", to: name)
        }
        result.interfaces?[position].name = name
    }

    /// At most 15 bytes: "kv", 12 of the container's id, the interface's number in hexadecimal.
    static func veth(_ attachment: NetworkPlugin.Attachment) -> String {
        let number = Int(attachment.interface.drop { !$0.isNumber }) ?? 0
        return "kv\(attachment.container.prefix(12))\(String(number, radix: 16))"
    }

    /// The opposite of `attach`; ends the resolver with the last container. Idempotent.
    func detach(_ id: String, _ record: NetworkRecord?, _ container: String, _ call: Call) throws {
        let paths = NetworkPaths(context, id)
        guard Files.exists(paths.run) else { return }
        guard let record else {
            // The network's record is gone: nobody can come, and there is no lock to hold.
            try leave(id, container, paths, call)
            if others(paths, than: nil) == 0 { try bringDown(id, bridge: "kina\(id.prefix(8))", call) }
            return
        }
        // Most often it is clear beforehand who is the last.
        var lock = try lock(record, shared: others(paths, than: container) > 0, call)
        if others(paths, than: container) > 0 {
            try leave(id, container, paths, call)
            lock.unlock()
            if others(paths, than: nil) > 0 { return }
            lock = try self.lock(record, shared: false, call)
        }
        defer { lock.unlock() }
        guard others(paths, than: container) == 0 else { return }
        let resolver = resolver.beginStop(paths.resolverPid)
        try leave(id, container, paths, call)
        try resolver?.finish(call)
    }

    /// What a cut-off `detach` may leave: true when there was a name server for nobody.
    func endIdleResolver(_ record: NetworkRecord, _ call: Call) throws -> Bool {
        let paths = NetworkPaths(context, record.id)
        guard Files.exists(paths.run) else { return false }
        let lock = try lock(record, shared: false, call)
        defer { lock.unlock() }
        guard others(paths, than: nil) == 0, let stopping = resolver.beginStop(paths.resolverPid) else { return false }
        try stopping.finish(call)
        return true
    }

    func leave(_ id: String, _ container: String, _ paths: NetworkPaths, _ call: Call) throws {
        try beginLeaving(id, container, paths).finish(call)
        try doing("forgetting \(container)") { try Files.remove(paths.endpoint(container)) }
    }

    /// A container's interface and published ports on their way out.
    struct Leaving {
        fileprivate var deletions: [NetworkPlugin.Deletion] = []
        fileprivate var resolver: Resolver.Stop?

        func finish(_ call: Call) throws {
            var failure: (any Error)?
            do { try resolver?.finish(call) } catch { failure = error }
            for deletion in deletions { do { try deletion.finish(call) } catch { failure = failure ?? error } }
            if let failure { throw failure }
        }
    }

    private func beginLeaving(_ id: String, _ container: String, _ paths: NetworkPaths) throws -> Leaving {
        try doing("removing the names of \(container)") { try Files.remove("\(paths.names)/\(container)") }
        return try endpoint(id, container).map { try beginRemoval($0, paths) } ?? Leaving()
    }

    /// Of another boot nothing is left; of another namespace only what is outside of it.
    private func beginRemoval(_ endpoint: Endpoint, _ paths: NetworkPaths) throws -> Leaving {
        guard endpoint.bootID == (try Context.bootID()) else { return Leaving() }
        var leaving = Leaving()
        leaving.resolver = resolver.beginStop(paths.insideResolverPid(endpoint.attachment.container))
        if Self.namespace(endpoint.attachment.netns) == endpoint.namespace {
            leaving.deletions.append(try plugin.beginDelete(endpoint.bridge, endpoint.attachment))
        }
        if let ports = endpoint.ports {
            leaving.deletions.append(try plugin.beginDelete(ports, endpoint.attachment))
        }
        return leaving
    }

    static func namespace(_ path: String) -> UInt64 {
        var info = stat()
        return NetworkPlugin.isNamespace(path) && stat(path, &info) == 0 ? UInt64(info.st_ino) : 0
    }
}
