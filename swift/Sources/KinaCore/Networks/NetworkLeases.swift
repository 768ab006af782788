/// Addresses of one network, each a link `<address>` whose text is the container's id: symlink(2) is atomic, so two
/// containers never get one address.
package struct NetworkLeases: Sendable {
    package let record: NetworkRecord
    package let directory: String
    private let subnet: IPv4Subnet
    private let gateway: IPv4Address

    package init(_ record: NetworkRecord, directory: String) throws {
        self.record = record
        self.directory = directory
        (subnet, gateway) = try record.range()
    }

    /// Address → container.
    package func all() throws -> [String: String] {
        try doing("reading the leases of network \(record.name)") {
            try Files.list(directory).reduce(into: [:]) { leases, address in
                leases[address] = readLink("\(directory)/\(address)")
            }
        }
    }

    /// The container's address, and whether it is new. A fixed one must be free or its own already.
    package func take(for container: String, fixed: String?, field: String) throws -> (
        address: IPv4Address, isNew: Bool
    ) {
        let held = try all().first { $0.value == container }.flatMap { IPv4Address($0.key) }
        try doing("creating \(directory)") { try Files.makeDirectories(directory) }
        if let fixed {
            let address = try check(fixed, field)
            if held == address { return (address, false) }
            if held == nil, try claim(address, for: container) { return (address, true) }
            throw taken(address, field, held)
        }
        if let held { return (held, false) }
        // From a place that the container's id decides: an address that was just freed is not the next one given.
        let count = subnet.hosts.upperBound - subnet.hosts.lowerBound + 1
        let start = UInt32(truncatingIfNeeded: UInt64(container, radix: 16) ?? 0) % count
        for step in 0..<count {
            let address = IPv4Address(subnet.hosts.lowerBound + (start + step) % count)
            if address != gateway, try claim(address, for: container) { return (address, true) }
        }
        throw KinaError(
            .resourceExhausted, "network \(record.name) (\(subnet)) has no free address",
            hint: "delete containers, or create a network with a larger subnet", details: ["network": record.name])
    }

    package func free(_ address: String) throws {
        try doing("freeing \(address)") { try Files.remove("\(directory)/\(address)") }
    }

    private func claim(_ address: IPv4Address, for container: String) throws -> Bool {
        let link = "\(directory)/\(address)"
        if symlink(container, link) == 0 { return true }
        let code = errno
        if code == EEXIST { return false }
        throw KinaError(Errno(code, "symlink \(link)"), "leasing \(address)")
    }

    private func check(_ text: String, _ field: String) throws -> IPv4Address {
        let address = try IPv4Address(text, field: field)
        guard subnet.contains(address), subnet.hosts.contains(address.value) else {
            throw KinaError.invalid(
                field, text, "is not an address for a container in network \(record.name)",
                hint: "use \(IPv4Address(subnet.hosts.lowerBound)) to \(IPv4Address(subnet.hosts.upperBound))")
        }
        if address == gateway {
            throw KinaError.invalid(
                field, text, "is the gateway of network \(record.name)", hint: "use another address")
        }
        return address
    }

    private func taken(_ address: IPv4Address, _ field: String, _ held: IPv4Address?) -> KinaError {
        if let held {
            return KinaError(
                .failedPrecondition, "\(field): the container already has \(held) on network \(record.name)",
                hint: "delete the container and create it with the other address")
        }
        let holder = readLink("\(directory)/\(address)") ?? "another container"
        return KinaError(
            .alreadyExists, "\(field) '\(address)' is taken by container \(holder)",
            hint: "use another address, or delete that container",
            details: ["field": field, "value": "\(address)", "container": holder])
    }
}
