import KinaCore

/// Where a network's files are.
struct NetworkPaths: Sendable {
    /// In KINA_HOME: what outlives a reboot.
    let state: String
    /// In /run: what is live.
    let run: String

    init(_ context: Context, _ id: String) {
        state = "\(context.home)/networks/\(id)"
        run = "\(Self.running(context))/\(id)"
    }

    static func running(_ context: Context) -> String { "\(context.run)/n" }

    var lock: String { "\(state)/lock" }
    /// `<address>`, a link whose text is the container's id.
    var leases: String { "\(state)/leases" }
    /// What was brought up, written when all of it was.
    var up: String { "\(run)/up" }
    /// One file a connected container: its plugins' configuration.
    var endpoints: String { "\(run)/endpoints" }
    func endpoint(_ container: String) -> String { "\(endpoints)/\(container)" }
    /// dnsmasq's --hostsdir: one file a container.
    var names: String { "\(run)/names" }
    /// Of the name server inside a container's namespace, when this is the first of several networks.
    func insideResolverPid(_ container: String) -> String { "\(run)/\(container).pid" }
    var resolverPid: String { "\(run)/dnsmasq.pid" }
}

extension NetworkLeases {
    init(_ context: Context, _ record: NetworkRecord) throws {
        try self.init(record, directory: NetworkPaths(context, record.id).leases)
    }
}
