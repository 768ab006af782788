/// What kina knows about a network: bridge, rules, resolver and leases are rebuilt from it.
package struct NetworkRecord: Record {
    package var schema = 1
    package var id: String
    package var name: String
    package var subnet: String
    package var gateway: String
    package var isInternal: Bool
    package var mtu: Int
    package var labels: [String: String]
    package var createdAt: Int64

    package init(
        id: String, name: String, subnet: String, gateway: String, isInternal: Bool, mtu: Int, labels: [String: String],
        createdAt: Int64
    ) {
        self.id = id
        self.name = name
        self.subnet = subnet
        self.gateway = gateway
        self.isInternal = isInternal
        self.mtu = mtu
        self.labels = labels
        self.createdAt = createdAt
    }

    /// The host's bridge.
    package var bridge: String { "kina\(id.prefix(8))" }

    package func range() throws -> (subnet: IPv4Subnet, gateway: IPv4Address) {
        guard let subnet = IPv4Subnet(subnet), let gateway = IPv4Address(gateway) else {
            throw KinaError(
                .dataLoss, "the record of network \(name) names no subnet: \(subnet), \(gateway)",
                hint: "delete the network and create it again")
        }
        return (subnet, gateway)
    }
}

extension NetworkSpec {
    /// The host's address on it: the first one, unless the spec says otherwise.
    package func gateway(in subnet: IPv4Subnet) throws -> IPv4Address {
        let first = IPv4Address(subnet.hosts.lowerBound)
        guard let text = gateway else { return first }
        let gateway = try IPv4Address(text, field: "gateway")
        guard subnet.contains(gateway), subnet.hosts.contains(gateway.value) else {
            throw KinaError.invalid(
                "gateway", text, "is not an address inside \(subnet)",
                hint: self.subnet == nil ? "give the subnet too" : "use \(first)")
        }
        return gateway
    }
}
