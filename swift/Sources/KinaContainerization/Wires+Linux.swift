#if Containerization && os(Linux)
    import Containerization
    import ContainerizationExtras
    import KinaCore

    /// A bridge of the host's, and a TAP device on it for each virtual machine. Both need root.
    struct PlatformWires: NetworkWires {
        private let bridge: BridgeManager
        private let fence: Fence
        private var taps: [String: TAPDevice] = [:]

        static func interface(of record: NetworkRecord) -> String { "kvm\(record.id.prefix(8))" }

        private static func bridge(of record: NetworkRecord) throws -> BridgeManager {
            BridgeManager(
                name: interface(of: record), subnet: try CIDRv4(record.subnet),
                gateway: try ContainerizationExtras.IPv4Address(record.gateway), mtu: UInt32(record.mtu),
                enableNAT: !record.isInternal)
        }

        private static func fence(of record: NetworkRecord) -> Fence {
            Fence(interface(of: record), isInternal: record.isInternal)
        }

        /// TAP devices go with their process; a bridge and its rules do not.
        static func endOrphan(_ record: NetworkRecord) throws {
            do {
                try bridge(of: record).delete()
                try fence(of: record).lower()
            } catch {
                throw KinaError(guest: error, "removing what was left of network '\(record.name)'")
            }
        }

        init(_ record: NetworkRecord) throws {
            bridge = try Self.bridge(of: record)
            fence = Self.fence(of: record)
            do {
                try bridge.create()
                do { try fence.raise() } catch { throw undo(error) { try bridge.delete() } }
            } catch {
                throw KinaError(guest: error, "bringing network '\(record.name)' up")
            }
        }

        mutating func plug(_ container: String, _ address: AddressStatus, mtu: Int) throws -> any Interface {
            do {
                // The machine's own address, not the device's: an address that is used again keeps its neighbours'
                // ARP entries true.
                let number = try KinaCore.IPv4Address(address.address, field: "address").value
                let tap = try TAPDevice(
                    name: "kvt\(String(number, radix: 16))", bridge: bridge.name, mtu: UInt32(mtu))
                taps[container + address.networkID] = tap
                return TAPInterface(
                    tapName: tap.name, ipv4Address: try CIDRv4("\(address.address)/\(address.prefixLength)"),
                    ipv4Gateway: try ContainerizationExtras.IPv4Address(address.gateway),
                    macAddress: try MACAddress(address.mac), mtu: UInt32(mtu))
            } catch {
                throw KinaError(guest: error, "plugging container \(container) into network '\(address.network)'")
            }
        }

        mutating func unplug(_ container: String) {
            for (key, tap) in taps where key.hasPrefix(container) {
                tap.close()
                taps[key] = nil
            }
        }

        func tearDown() throws {
            do {
                try bridge.delete()
                try fence.lower()
            } catch { throw KinaError(guest: error, "removing bridge \(bridge.name)") }
        }

        /// The host's own: nothing answers names on the bridge.
        static func nameservers(gateway: String) -> [String] {
            let text = (try? Files.readText("/etc/resolv.conf")) ?? ""
            return text.split(separator: "\n").compactMap { line in
                let words = line.split(whereSeparator: \.isWhitespace)
                guard words.count > 1, words[0] == "nameserver" else { return nil }
                // One on the host's loopback can't be reached from a machine.
                return words[1].hasPrefix("127.") || words[1].contains(":") ? nil : String(words[1])
            }
        }
    }

    enum HostRoutes {
        /// What the host's routes lead to, without the default one.
        static func subnets() -> [IPv4Subnet] {
            let text = (try? Files.readText("/proc/net/route")) ?? ""
            return text.split(separator: "\n").dropFirst().compactMap { line in
                let fields = line.split(separator: "\t")
                guard fields.count > 7, let destination = UInt32(fields[1], radix: 16),
                    let mask = UInt32(fields[7], radix: 16), mask != 0
                else { return nil }
                // The kernel prints the words as they lie in memory, in network order.
                return IPv4Subnet(
                    containing: KinaCore.IPv4Address(UInt32(bigEndian: destination)),
                    prefix: UInt32(bigEndian: mask).nonzeroBitCount)
            }
        }
    }
#endif
