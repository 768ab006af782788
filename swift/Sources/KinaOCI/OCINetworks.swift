import KinaCore
import Synchronization

final class OCINetworks: NetworkBackend {
    /// A container's place on its networks.
    struct Endpoint: Sendable {
        var container: String
        /// Network id → what it is called there.
        var names: [String: [String]]
        var addresses: [AddressStatus]
        var ports: [PortSpec]
        /// A pinned network namespace.
        var netns: String
    }
    private let usersBox = Mutex<@Sendable () throws -> [String: [String]]>({ [:] })
    /// Network id → names of the containers on it.
    var users: @Sendable () throws -> [String: [String]] {
        get { usersBox.withLock { $0 } }
        set { usersBox.withLock { $0 = newValue } }
    }

    static let defaultName = "default"

    let context: Context
    let store: Store<NetworkRecord>
    let live: NetworkLive
    let ports: NetworkPorts
    let subnets: NetworkSubnets

    init(_ context: Context) throws {
        self.context = context
        store = try Store(kind: "network", root: context.home)
        live = NetworkLive(context)
        ports = try NetworkPorts(home: context.home)
        subnets = try NetworkSubnets(context)
    }

    // MARK: - Networks

    func create(_ spec: NetworkSpec, _ call: Call) throws -> NetworkStatus {
        try spec.validate()
        let asked = try spec.subnet.map { try IPv4Subnet($0, field: "subnet") }
        // Two that choose at once must choose differently, in this home and in others.
        let lock = try subnets.lock(call)
        defer { lock.unlock() }
        let own = try store.all()
        if let taken = own.first(where: { $0.name == spec.name }) {
            throw KinaError(
                .alreadyExists, "network name '\(spec.name)' is taken by \(taken.id)",
                hint: "choose another name, or delete that network first",
                details: ["field": "name", "value": spec.name, "id": taken.id])
        }
        let subnet: IPv4Subnet
        if let asked {
            try subnets.check(asked, own)
            subnet = asked
        } else {
            let seed = UInt64(Context.hash("\(context.home)/\(spec.name)"), radix: 16) ?? 0
            subnet = try subnets.choose(own, seed: seed)
        }
        let record = NetworkRecord(
            id: Identifier.random(), name: spec.name, subnet: "\(subnet)", gateway: "\(try spec.gateway(in: subnet))",
            isInternal: spec.isInternal, mtu: spec.mtu ?? NetworkSubnets.outsideMTU(), labels: spec.labels,
            createdAt: Clock.now())
        try store.insert(record)
        try subnets.claim(subnet, for: record.id)
        context.journal.append(.network, "create", id: record.id, name: record.name)
        return try status(record)
    }

    private func status(_ record: NetworkRecord) throws -> NetworkStatus {
        NetworkStatus(
            id: record.id, name: record.name, subnet: record.subnet, gateway: record.gateway,
            isInternal: record.isInternal, mtu: record.mtu, interface: record.bridge, labels: record.labels,
            createdAt: record.createdAt, leases: try NetworkLeases(context, record).all())
    }

    func get(_ reference: String) throws -> NetworkStatus { try status(try store.find(reference)) }

    func list() throws -> NetworkList { NetworkList(try store.all().sorted { $0.name < $1.name }.map(status)) }

    func delete(_ reference: String, _ call: Call) throws {
        let record = try store.find(reference)
        let lock = try live.lock(record, shared: false, call)
        defer { lock.unlock() }
        let names = try occupants(record)
        guard names.isEmpty else {
            throw KinaError(
                .failedPrecondition, "network '\(record.name)' is used by \(names.joined(separator: ", "))",
                hint: "delete those containers first",
                details: ["network": record.name, "containers": names.joined(separator: ",")])
        }
        try remove(record, call)
    }

    /// The containers on it: by name, and those that are just being made by id.
    private func occupants(_ record: NetworkRecord) throws -> [String] {
        let names = try users()[record.id] ?? []
        if !names.isEmpty { return names.sorted() }
        return Set(try NetworkLeases(context, record).all().values).filter(hasRecord).sorted()
    }

    func hasRecord(_ holder: String) -> Bool {
        Files.exists("\(ContainerPaths(context, holder).state)/record.json")
            || Files.exists("\(context.home)/pods/\(holder)/record.json")
    }

    /// Under the exclusive lock, with nobody on it.
    private func remove(_ record: NetworkRecord, _ call: Call) throws {
        for container in try live.containers(record.id) {
            try live.leave(record.id, container, NetworkPaths(context, record.id), call)
        }
        if Files.exists(NetworkPaths(context, record.id).run) {
            try live.bringDown(record.id, bridge: record.bridge, call)
        }
        try store.remove(record.id, name: record.name)
        if let subnet = IPv4Subnet(record.subnet) { try subnets.unclaim(subnet, for: record.id) }
        context.journal.append(.network, "delete", id: record.id, name: record.name)
    }

    // MARK: - A container's addresses and ports

    /// Allocates an address on each network, for the container's whole life. Empty attachments: the default network,
    /// made on first use. Nothing stays allocated when it throws. Repeated for the same container: the same addresses.
    func lease(_ container: String, _ attachments: [NetworkAttachmentSpec], _ call: Call) throws -> [AddressStatus] {
        let wanted = attachments.isEmpty ? [NetworkAttachmentSpec(network: Self.defaultName)] : attachments
        if wanted.count > 16 {
            throw KinaError.invalid("sandbox.networks", "\(wanted.count)", "are too many", hint: "at most 16 networks")
        }
        var taken: [(leases: NetworkLeases, address: String)] = []
        var addresses: [AddressStatus] = []
        do {
            for (index, attachment) in wanted.enumerated() {
                let field = "sandbox.networks[\(index)]"
                for alias in attachment.aliases { try HostName.check(alias, "\(field).aliases") }
                let (leases, address, isNew) = try lease(container, attachment, field, call)
                if isNew { taken.append((leases, address.address)) }
                if addresses.contains(where: { $0.networkID == address.networkID }) {
                    throw KinaError.invalid(
                        "\(field).network", attachment.network, "is given twice", hint: "attach a network once")
                }
                addresses.append(address)
            }
        } catch {
            for (leases, address) in taken { try? leases.free(address) }
            throw error
        }
        return addresses
    }

    private func lease(_ container: String, _ attachment: NetworkAttachmentSpec, _ field: String, _ call: Call) throws
        -> (NetworkLeases, AddressStatus, isNew: Bool)
    {
        while true {
            let record = try network(attachment.network, "\(field).network", call)
            do {
                let lock = try live.lock(record, shared: true, call)
                defer { lock.unlock() }
                let leases = try NetworkLeases(context, record)
                let (address, isNew) = try leases.take(
                    for: container, fixed: attachment.address, field: "\(field).address")
                let status = AddressStatus(
                    network: record.name, networkID: record.id, address: "\(address)",
                    prefixLength: try record.range().subnet.prefix, gateway: record.gateway, mac: address.mac)
                return (leases, status, isNew)
            } catch let error as KinaError where error.code == .notFound && attachment.network == Self.defaultName {
                // Somebody deleted it between the two steps: it is made anew.
                try call.check("the default network")
            }
        }
    }

    private func network(_ reference: String, _ field: String, _ call: Call) throws -> NetworkRecord {
        if let id = try store.id(of: reference), let record = try store.load(id) { return record }
        guard reference == Self.defaultName else {
            var error = KinaError.notFound("network", reference, hint: "create it first, or list the networks")
            error.details["field"] = field
            throw error
        }
        do {
            _ = try create(NetworkSpec(name: Self.defaultName), call)
        } catch let error as KinaError where error.code == .alreadyExists {}
        return try store.find(Self.defaultName)
    }

    /// Resolves host port 0 and checks the others; held for the container's life like addresses.
    func leasePorts(_ container: String, _ ports: [PortSpec], _ call: Call) throws -> [PortSpec] {
        try self.ports.take(ports, for: container, call)
    }

    /// Frees addresses and ports. Idempotent.
    func release(_ container: String) throws {
        for record in try store.all() {
            let leases = try NetworkLeases(context, record)
            for (address, holder) in try leases.all() where holder == container { try leases.free(address) }
        }
        try ports.release(container)
    }

    // MARK: - Connecting

    /// Bridge, rules, DNS, interfaces, ports: all that makes the endpoint live; repairs what a reboot took. Undone when it throws.
    func connect(_ endpoint: Endpoint, _ call: Call) throws {
        guard NetworkPlugin.isNamespace(endpoint.netns) else {
            throw KinaError(.failedPrecondition, "'\(endpoint.netns)' is not a network namespace")
        }
        do {
            // While the container was stopped, another program may have come to listen there.
            for (index, port) in endpoint.ports.enumerated() {
                let field = "sandbox.ports[\(index)].hostPort"
                try NetworkPorts.probe(port, IPv4Address(port.hostAddress, field: field), field)
            }
            let records = try endpoint.addresses.map { try store.find($0.networkID) }
            // The default route leads to the first network that has a way out.
            let outside = records.firstIndex { !$0.isInternal }
            for (index, (record, address)) in zip(records, endpoint.addresses).enumerated() {
                let wanted = try self.endpoint(
                    endpoint, index, record, address, isDefault: index == outside, publishes: index == (outside ?? 0))
                let names = endpoint.names[record.id] ?? []
                try live.attach(record, wanted, address: address.address, names: names, call)
            }
            try live.resolveInside(endpoint.netns, endpoint.container, records)
        } catch {
            do {
                try disconnect(endpoint.container, NetworkLive.cleanup())
            } catch let undo {
                throw KinaError(error).caused(by: undo)
            }
            throw error
        }
    }

    /// Brings networks that containers are on up again where something of them has ended. Cheap when all is well.
    func repair(_ call: Call) throws {
        for id in try doing("listing networks", { try Files.list(NetworkPaths.running(context)) }) {
            if let record = try store.load(id) { _ = try live.repair(record, call) }
        }
    }

    private func endpoint(
        _ endpoint: Endpoint, _ index: Int, _ record: NetworkRecord, _ address: AddressStatus, isDefault: Bool,
        publishes: Bool
    ) throws -> NetworkLive.Endpoint {
        var bridge = NetworkPlugin.Config("bridge", network: record.id)
        bridge.bridge = record.bridge
        bridge.isGateway = false
        bridge.ipMasq = false
        bridge.mtu = record.mtu
        let ports = publishes ? endpoint.ports : []
        // Only for a container that reaches itself through its published port: it reflects broadcasts as well.
        bridge.hairpinMode = !ports.isEmpty
        bridge.runtimeConfig.mac = address.mac
        bridge.ipam = NetworkPlugin.IPAM(
            addresses: [.init(address: "\(address.address)/\(address.prefixLength)", gateway: record.gateway)],
            routes: isDefault ? [.init(dst: "0.0.0.0/0", gw: record.gateway)] : [])
        var portmap: NetworkPlugin.Config?
        if !ports.isEmpty {
            var config = NetworkPlugin.Config("portmap", network: record.id)
            config.snat = true
            config.capabilities = ["portMappings": true]
            config.runtimeConfig.portMappings = ports.map {
                .init(
                    hostPort: $0.hostPort, containerPort: $0.containerPort, protocol: $0.`protocol`.rawValue,
                    hostIP: $0.hostAddress)
            }
            portmap = config
        }
        return NetworkLive.Endpoint(
            bootID: try Context.bootID(),
            attachment: .init(container: endpoint.container, netns: endpoint.netns, interface: "eth\(index)"),
            namespace: NetworkLive.namespace(endpoint.netns), bridge: bridge, ports: portmap)
    }

    /// The opposite, for all networks that the container is on record for, whatever its own record says. Idempotent, works
    /// without the namespace, and takes a network's bridge and DNS with its last container. The first failure is thrown
    /// when all was tried.
    func disconnect(_ container: String, _ call: Call) throws {
        var failure: (any Error)?
        for id in try doing("listing networks", { try Files.list(NetworkPaths.running(context)) }) {
            guard Files.exists(NetworkPaths(context, id).endpoint(container)) else { continue }
            do {
                try live.detach(id, try store.load(id), container, call)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    /// The text of a container's /etc/resolv.conf.
    func resolvConf(_ addresses: [AddressStatus], _ dns: DNSSpec) throws -> String {
        for (index, server) in dns.servers.enumerated() where IPv4Address(server) == nil && !Self.isIPv6(server) {
            throw KinaError.invalid(
                "sandbox.dns.servers[\(index)]", server, "is not an address", hint: "like 10.0.0.53")
        }
        for (field, values) in [("search", dns.search), ("options", dns.options)] {
            for (index, value) in values.enumerated() where value.isEmpty || value.contains(where: \.isWhitespace) {
                throw KinaError.invalid("sandbox.dns.\(field)[\(index)]", value, "must be one word")
            }
        }
        var servers = dns.servers
        if servers.isEmpty {
            servers = addresses.isEmpty ? Resolver.hostServers() : addresses.map(\.gateway)
            if addresses.count > 1 { servers = [Resolver.insideAddress] }
        }
        var lines = servers.map { "nameserver \($0)" }
        if !dns.search.isEmpty { lines.append("search \(dns.search.joined(separator: " "))") }
        if !dns.options.isEmpty { lines.append("options \(dns.options.joined(separator: " "))") }
        return lines.map { $0 + "\n" }.joined()
    }

    private static func isIPv6(_ text: String) -> Bool {
        var address = in6_addr()
        return inet_pton(AF_INET6, text, &address) == 1
    }

    // MARK: - Pruning

    /// Deletes networks without containers (when `unused`) and what crashes left: interfaces, rules, leases, resolvers.
    func prune(unused: Bool, labels: [String: String], live: Set<String>, _ result: inout PruneResult, _ call: Call)
        throws
    {
        let isGone: (String) -> Bool = { [self] in !live.contains($0) && !hasRecord($0) }
        for record in try store.all() {
            let leases = try NetworkLeases(context, record)
            for (address, holder) in try leases.all() where isGone(holder) {
                try leases.free(address)
                result.leftovers.append("lease of \(address) on network \(record.name)")
            }
        }
        for lease in try ports.all() where isGone(lease.container) {
            try ports.free(lease)
            result.leftovers.append("lease of port \(lease.port)/\(lease.proto.rawValue) on \(lease.address)")
        }
        for id in try doing("listing networks", { try Files.list(NetworkPaths.running(context)) }) {
            try sweep(id, isGone, &result, call)
        }
        if unused { try pruneUnused(labels, &result, call) }
        result.leftovers += try doing("sweeping networks") { try store.sweep() }
    }

    /// What is live of one network and belongs to no container.
    private func sweep(_ id: String, _ isGone: (String) -> Bool, _ result: inout PruneResult, _ call: Call) throws {
        let record = try store.load(id)
        let containers = try live.containers(id)
        for container in containers where isGone(container) {
            try live.detach(id, record, container, call)
            result.leftovers.append("endpoint of \(container) on network \(record?.name ?? id)")
        }
        if let record {
            if try live.repair(record, call) {
                result.leftovers.append("network \(record.name), which was down under its containers")
            }
            if try live.endIdleResolver(record, call) {
                result.leftovers.append("name server of network \(record.name)")
            }
        } else if containers.isEmpty {
            try live.detach(id, nil, "", call)
            result.leftovers.append("bridge, rules and name server of network \(id)")
        }
    }

    private func pruneUnused(_ labels: [String: String], _ result: inout PruneResult, _ call: Call) throws {
        for record in try store.all() where record.hasLabels(labels) {
            do {
                try delete(record.id, call)
                result.networks.append(record.name)
            } catch let error as KinaError where error.code == .failedPrecondition || error.code == .notFound {}
        }
    }
}

extension NetworkRecord {
    /// An empty value asks for the label's presence.
    func hasLabels(_ wanted: [String: String]) -> Bool { labels.contain(wanted) }
}
