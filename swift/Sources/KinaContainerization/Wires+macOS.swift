#if Containerization && os(macOS)
    import Containerization
    import ContainerizationExtras
    import KinaCore
    import vmnet

    /// A network of vmnet's, which belongs to this process. kina gives the addresses, so vmnet's own DHCP is off.
    @available(macOS 26.0, *)
    struct PlatformWires: NetworkWires {
        // Made once and only handed to Virtualization.framework.
        nonisolated(unsafe) private let network: vmnet_network_ref

        static func interface(of record: NetworkRecord) -> String { "vmnet" }

        init(_ record: NetworkRecord) throws {
            let (subnet, gateway) = try record.range()
            var status = vmnet_return_t.VMNET_FAILURE
            let mode: vmnet.operating_modes_t = record.isInternal ? .VMNET_HOST_MODE : .VMNET_SHARED_MODE
            guard let configuration = vmnet_network_configuration_create(mode, &status) else {
                throw Self.refused(record, "vmnet has no configuration to give", status)
            }
            vmnet_network_configuration_disable_dhcp(configuration)
            var address = in_addr(s_addr: gateway.value.bigEndian)
            var mask = in_addr(s_addr: subnet.netmask.value.bigEndian)
            status = vmnet_network_configuration_set_ipv4_subnet(configuration, &address, &mask)
            guard status == .VMNET_SUCCESS else { throw Self.refused(record, "vmnet refuses the subnet", status) }
            guard let network = vmnet_network_create(configuration, &status), status == .VMNET_SUCCESS else {
                throw Self.refused(record, "vmnet makes no network", status)
            }
            self.network = network
            var given = in_addr(), givenMask = in_addr()
            vmnet_network_get_ipv4_subnet(network, &given, &givenMask)
            // vmnet may choose another subnet than the one asked for: addresses of ours would lead nowhere.
            guard subnet.contains(KinaCore.IPv4Address(UInt32(bigEndian: given.s_addr))) else {
                throw Self.refused(record, "vmnet gave another subnet", status)
            }
        }

        private static func refused(_ record: NetworkRecord, _ why: String, _ status: vmnet_return_t) -> KinaError {
            KinaError(
                .failedPrecondition,
                "network '\(record.name)' (\(record.subnet)) can't come up: \(why) (status \(status))",
                hint: "another program may use these addresses: create a network with another subnet")
        }

        mutating func plug(_ container: String, _ address: AddressStatus, mtu: Int) throws -> any Interface {
            do {
                return VmnetNetwork.Interface(
                    reference: network, ipv4Address: try CIDRv4("\(address.address)/\(address.prefixLength)"),
                    ipv4Gateway: try ContainerizationExtras.IPv4Address(address.gateway),
                    macAddress: try MACAddress(address.mac), mtu: UInt32(mtu))
            } catch {
                throw KinaError(guest: error, "plugging container \(container) into network '\(address.network)'")
            }
        }

        /// vmnet forgets a machine with its end, and a network with the last reference to it.
        mutating func unplug(_ container: String) {}
        func tearDown() throws {}
        static func endOrphan(_ record: NetworkRecord) throws {}

        /// vmnet answers names on the gateway.
        static func nameservers(gateway: String) -> [String] { [gateway] }
    }

    enum HostRoutes {
        /// What the host's own interfaces are on.
        static func subnets() -> [IPv4Subnet] {
            var list: UnsafeMutablePointer<ifaddrs>?
            guard getifaddrs(&list) == 0 else { return [] }
            defer { freeifaddrs(list) }
            return sequence(first: list, next: { $0?.pointee.ifa_next }).compactMap { entry in
                guard let entry, let address = ipv4(entry.pointee.ifa_addr), let mask = ipv4(entry.pointee.ifa_netmask)
                else { return nil }
                return IPv4Subnet(containing: address, prefix: mask.value.nonzeroBitCount)
            }
        }

        private static func ipv4(_ raw: UnsafeMutablePointer<sockaddr>?) -> KinaCore.IPv4Address? {
            guard let raw, raw.pointee.sa_family == sa_family_t(AF_INET) else { return nil }
            return raw.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                KinaCore.IPv4Address(UInt32(bigEndian: $0.pointee.sin_addr.s_addr))
            }
        }
    }
#endif
