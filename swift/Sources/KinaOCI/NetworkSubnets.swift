import KinaCore

/// Which addresses of this host are taken: routes, interfaces, resolvers, and the networks of every KINA_HOME.
///
/// A network that is down shows as no route, so homes tell each other about theirs in /run/kina/subnets: a link
/// `<address>-<prefix>` whose text is the network's directory. It is stale when that directory has no record.
struct NetworkSubnets: Sendable {
    private let claims: String
    private let lockFile: String
    private let home: String

    init(_ context: Context) throws {
        let shared = context.run.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
        claims = "\(shared)/subnets"
        lockFile = "\(shared)/subnets.lock"
        home = context.home
        try doing("creating \(claims)") { try Files.makeDirectories(claims) }
    }

    /// Held while a subnet is chosen and until its network's record is written.
    func lock(_ call: Call) throws -> FileLock {
        try doing("locking \(lockFile)") { try FileLock(lockFile, call, for: "another network to be created") }
    }

    func claim(_ subnet: IPv4Subnet, for id: String) throws {
        let link = path(subnet)
        try doing("recording subnet \(subnet)") {
            try Files.remove(link)
            try attempt("symlink \(link)") { symlink("\(home)/networks/\(id)", link) }
        }
    }

    func unclaim(_ subnet: IPv4Subnet, for id: String) throws {
        guard readLink(path(subnet)) == "\(home)/networks/\(id)" else { return }
        try doing("freeing subnet \(subnet)") { try Files.remove(path(subnet)) }
    }

    private func path(_ subnet: IPv4Subnet) -> String { "\(claims)/\(subnet.base)-\(subnet.prefix)" }

    /// A /20 (4093 containers) of 10.192.0.0/11 that nothing on this host uses. Where the search starts depends on
    /// `seed`, so that independent choices rarely meet.
    func choose(_ own: [NetworkRecord], seed: UInt64) throws -> IPv4Subnet {
        let taken = try self.taken(own)
        let pool = IPv4Address(10 << 24 | 192 << 16)
        for step in 0..<512 as Range<UInt64> {
            let slot = UInt32((seed &+ step) % 512)
            let subnet = IPv4Subnet(containing: IPv4Address(pool.value + slot << 12), prefix: 20)
            if !taken.contains(where: { $0.subnet.overlaps(subnet) }) { return subnet }
        }
        throw KinaError(
            .resourceExhausted, "no subnet of 10.192.0.0/11 is free on this host",
            hint: "create a network with a subnet of your choice, or delete networks")
    }

    /// ALREADY_EXISTS for another network, FAILED_PRECONDITION for what else the host uses.
    func check(_ subnet: IPv4Subnet, _ own: [NetworkRecord]) throws {
        guard let clash = try taken(own).first(where: { $0.subnet.overlaps(subnet) }) else { return }
        throw KinaError(
            clash.isNetwork ? .alreadyExists : .failedPrecondition, "subnet \(subnet) overlaps with \(clash.by)",
            hint: "choose another subnet, or leave it out and kina finds a free one",
            details: ["field": "subnet", "value": "\(subnet)", "taken": "\(clash.subnet)"])
    }

    /// What else on this host uses addresses of a network that is about to come up.
    func checkHost(_ record: NetworkRecord) throws {
        let subnet = try record.range().subnet
        let clash = try (Self.routes() + Self.interfaces())
            .first { $0.interface != record.bridge && $0.subnet.overlaps(subnet) }
        guard let clash else { return }
        throw KinaError(
            .failedPrecondition,
            "network \(record.name) (\(subnet)) can't come up: the host now has \(clash.subnet) on \(clash.interface)",
            hint: "remove that route or address, or delete the network and create it with another subnet",
            details: ["subnet": "\(subnet)", "interface": clash.interface])
    }

    private struct Taken {
        var subnet: IPv4Subnet
        var by: String
        var isNetwork = false
    }

    private func taken(_ own: [NetworkRecord]) throws -> [Taken] {
        var taken = own.compactMap { record in
            IPv4Subnet(record.subnet).map { Taken(subnet: $0, by: "network '\(record.name)' (\($0))", isNetwork: true) }
        }
        taken += try doing("reading \(claims)") { try foreign() }
        let bridges = Set(own.map(\.bridge))
        taken += (try Self.routes() + Self.interfaces()).filter { !bridges.contains($0.interface) }
            .map { Taken(subnet: $0.subnet, by: "\($0.subnet) on the host's interface \($0.interface)") }
        taken += Resolver.hostServers().compactMap(IPv4Address.init).map {
            Taken(subnet: IPv4Subnet(containing: $0, prefix: 32), by: "the host's name server \($0)")
        }
        return taken
    }

    /// The networks of other homes, and ours that a crash left without a record out of the way.
    private func foreign() throws -> [Taken] {
        try Files.list(claims).compactMap { name in
            guard let directory = readLink("\(claims)/\(name)"), !directory.hasPrefix("\(home)/networks/") else {
                return nil
            }
            guard Files.exists("\(directory)/record.json") else {
                try Files.remove("\(claims)/\(name)")
                return nil
            }
            return IPv4Subnet(name.replacingDash()).map {
                Taken(subnet: $0, by: "network \($0) of another KINA_HOME (\(directory))", isNetwork: true)
            }
        }
    }

    /// The main routing table without default routes.
    static func routes() throws -> [(subnet: IPv4Subnet, interface: String)] {
        let text = try doing("reading the host's routes") { try Files.readText("/proc/net/route") }
        return text.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
            guard fields.count > 7, let destination = UInt32(fields[1], radix: 16),
                let mask = UInt32(fields[7], radix: 16), mask != 0
            else { return nil }
            // The kernel prints the words as they lie in memory, in network order.
            let prefix = UInt32(bigEndian: mask).nonzeroBitCount
            let address = IPv4Address(UInt32(bigEndian: destination))
            return (IPv4Subnet(containing: address, prefix: prefix), String(fields[0]))
        }
    }

    /// The interfaces' addresses with their subnets, loopback's left out.
    static func interfaces() throws -> [(subnet: IPv4Subnet, interface: String)] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else {
            throw KinaError(Errno(errno, "getifaddrs"), "reading the host's addresses")
        }
        defer { freeifaddrs(list) }
        var found: [(subnet: IPv4Subnet, interface: String)] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = ipv4(entry.pointee.ifa_addr), let mask = ipv4(entry.pointee.ifa_netmask) else {
                continue
            }
            let name = String(cString: entry.pointee.ifa_name)
            if name != "lo" {
                found.append((IPv4Subnet(containing: address, prefix: mask.value.nonzeroBitCount), name))
            }
        }
        return found
    }

    private static func ipv4(_ raw: UnsafeMutablePointer<sockaddr>?) -> IPv4Address? {
        guard let raw, raw.pointee.sa_family == sa_family_t(AF_INET) else { return nil }
        return raw.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
            IPv4Address(UInt32(bigEndian: $0.pointee.sin_addr.s_addr))
        }
    }

    /// The MTU of the interface that leads outside, so that nothing has to be fragmented there.
    static func outsideMTU() -> Int {
        let lines = (try? Files.readText("/proc/net/route"))?.split(separator: "\n").dropFirst() ?? []
        let outside = lines.map { $0.split(separator: "\t") }.first { $0.count > 7 && $0[1] == "00000000" }
        return outside.flatMap { NetworkLink.mtu(String($0[0])) } ?? 1500
    }
}

extension String {
    /// `10.90.1.0-24` as `10.90.1.0/24`: a file's name has no slash.
    fileprivate func replacingDash() -> String { String(map { $0 == "-" ? "/" : $0 }) }
}
