/// An IPv4 address in host byte order.
package struct IPv4Address: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var value: UInt32

    package init(_ value: UInt32) { self.value = value }

    /// Dotted decimal, without leading zeros (some programs read those as octal).
    package init?(_ text: String) {
        guard let value = IPv4.parse(text) else { return nil }
        self.value = value
    }

    /// A value that a user gave; IPv6 gets a message of its own.
    package init(_ text: String, field: String) throws {
        if text.contains(":") { throw Self.noIPv6(field, text) }
        guard let address = IPv4Address(text) else {
            throw KinaError.invalid(field, text, "is not an IPv4 address", hint: "write it like 10.90.1.5")
        }
        self = address
    }

    package static func noIPv6(_ field: String, _ text: String) -> KinaError {
        KinaError(
            .unimplemented, "\(field) '\(text)': IPv6 networks are not supported yet",
            hint: "use an IPv4 address or subnet, like 10.90.1.0/24", details: ["field": field, "value": text])
    }

    package var bytes: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
    package var description: String { bytes.map(String.init).joined(separator: ".") }
    /// Locally administered and derived: the address that is used again keeps its neighbours' ARP entries true.
    package var mac: String {
        "02:6b:" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
    package static func < (a: IPv4Address, b: IPv4Address) -> Bool { a.value < b.value }
}

/// A range of addresses that starts where its prefix says.
package struct IPv4Subnet: Hashable, Sendable, CustomStringConvertible {
    package let base: IPv4Address
    package let prefix: Int

    /// The range of that size that holds the address.
    package init(containing address: IPv4Address, prefix: Int) {
        self.prefix = prefix
        base = IPv4Address(address.value & Self.mask(prefix))
    }

    /// As kina writes it itself.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(String(parts[0])), let prefix = Int(parts[1]),
            (0...32).contains(prefix)
        else { return nil }
        self.init(containing: address, prefix: prefix)
        if base != address { return nil }
    }

    /// A value that a user gave.
    package init(_ text: String, field: String) throws {
        if text.contains(":") { throw IPv4Address.noIPv6(field, text) }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(String(parts[0])), let prefix = Int(parts[1]),
            String(prefix) == parts[1]
        else {
            throw KinaError.invalid(field, text, "is not an IPv4 subnet", hint: "write it like 10.90.1.0/24")
        }
        guard (8...29).contains(prefix) else {
            throw KinaError.invalid(field, text, "must have a prefix of /8 to /29", hint: "a /24 holds 253 containers")
        }
        self.init(containing: address, prefix: prefix)
        if base != address {
            throw KinaError.invalid(field, text, "is an address inside a subnet", hint: "did you mean \(self)?")
        }
        if let reserved = Self.reserved.first(where: overlaps) {
            throw KinaError.invalid(
                field, text, "overlaps with \(reserved), which has another meaning",
                hint: "choose from 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16")
        }
    }

    /// This host, loopback, link-local, multicast and what is above it.
    private static let reserved = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"]
        .compactMap { IPv4Subnet($0) }

    private static func mask(_ prefix: Int) -> UInt32 { prefix == 0 ? 0 : ~0 << UInt32(32 - prefix) }

    package var netmask: IPv4Address { IPv4Address(Self.mask(prefix)) }
    package var broadcast: IPv4Address { IPv4Address(base.value | ~netmask.value) }
    /// Addresses that hosts can have.
    package var hosts: ClosedRange<UInt32> { base.value + 1...broadcast.value - 1 }
    package func contains(_ address: IPv4Address) -> Bool { address.value & netmask.value == base.value }
    package func overlaps(_ other: IPv4Subnet) -> Bool { contains(other.base) || other.contains(base) }
    package var description: String { "\(base)/\(prefix)" }
}
