import KinaCore
import Testing

@testable import KinaOCI

/// Networks, addresses and ports on record; nothing of them is up.
struct NetworkRecordTests {
    private func error(_ body: () throws -> some Any) -> KinaError? {
        do {
            _ = try body()
            return nil
        } catch { return KinaError(error) }
    }

    private func spec(_ name: String, _ subnet: String? = nil, gateway: String? = nil) -> NetworkSpec {
        var spec = NetworkSpec(name: name)
        spec.subnet = subnet
        spec.gateway = gateway
        return spec
    }

    @Test(arguments: ["10.0.0.256", "010.0.0.1", "10.0.0", "", "a.b.c.d", "1.2.3.4.5", "+1.2.3.4"])
    func `not an address`(_ text: String) {
        #expect(IPv4Address(text) == nil)
    }

    @Test func `addresses and subnets`() throws {
        let address = try #require(IPv4Address("10.90.1.5"))
        #expect("\(address)" == "10.90.1.5" && address.mac == "02:6b:0a:5a:01:05")
        let subnet = try IPv4Subnet("10.90.0.0/20", field: "subnet")
        #expect("\(subnet.netmask)" == "255.255.240.0" && "\(subnet.broadcast)" == "10.90.15.255")
        #expect(subnet.contains(address))
        #expect(try subnet.overlaps(#require(IPv4Subnet("10.0.0.0/8"))))
        #expect(try !subnet.overlaps(#require(IPv4Subnet("10.90.16.0/20"))))
        #expect(IPv4Subnet(containing: address, prefix: 0).netmask.value == 0)
    }

    @Test(arguments: [
        ("10.90.1.5/24", KinaError.Code.invalidArgument, "10.90.1.0/24"), ("10.90.1.0/30", .invalidArgument, "/29"),
        ("10.0.0.0/7", .invalidArgument, "/8"), ("fd00::/64", .unimplemented, "IPv6"),
        ("10.90.1.0", .invalidArgument, "/24"),
        ("127.0.0.0/24", .invalidArgument, "127.0.0.0/8"), ("224.1.0.0/24", .invalidArgument, "another meaning"),
        ("10.90.1.0/024", .invalidArgument, "subnet"), ("nonsense", .invalidArgument, "nonsense"),
    ])
    func `bad subnets are refused by name`(_ text: String, _ code: KinaError.Code, _ said: String) throws {
        try NetworkBench.run { bench in
            let error = try #require(error { try bench.networks.create(spec("n", text), bench.call) })
            #expect(error.code == code && error.details["field"] == "subnet" && error.hint != nil)
            #expect("\(error)".contains(said), "\(error)")
            #expect(try bench.networks.list().networks.isEmpty)
        }
    }

    @Test func `bad names, gateways and MTUs are refused`() throws {
        try NetworkBench.run { bench in
            func code(_ spec: NetworkSpec) -> KinaError.Code? {
                error { try bench.networks.create(spec, bench.call) }?.code
            }
            var mtu = spec("n")
            mtu.mtu = 100
            #expect(code(mtu) == .invalidArgument)
            #expect(code(spec("a/b")) == .invalidArgument)
            #expect(code(spec("n", "10.199.7.0/24", gateway: "10.199.8.1")) == .invalidArgument)
            #expect(code(spec("n", "10.199.7.0/24", gateway: "10.199.7.255")) == .invalidArgument)
            #expect(code(spec("n", "10.199.7.0/24", gateway: "fe80::1")) == .unimplemented)
            #expect(try bench.networks.list().networks.isEmpty)
            let network = try bench.networks.create(spec("n", "10.199.7.0/24", gateway: "10.199.7.254"), bench.call)
            #expect(network.gateway == "10.199.7.254" && network.interface == "kina\(network.id.prefix(8))")
            #expect(code(spec("n")) == .alreadyExists)
        }
    }

    @Test func `subnets collide with nothing that the host or another home uses`() throws {
        try NetworkBench.run { bench in
            try NetworkBench.run { other in
                let mine = try bench.networks.create(spec("mine"), bench.call)
                let range = try #require(IPv4Subnet(mine.subnet))
                for route in try NetworkSubnets.routes() { #expect(!route.subnet.overlaps(range)) }
                let inside = "\(range.base)/24"
                let clash = try #require(error { try bench.networks.create(spec("n", inside), bench.call) })
                #expect(clash.code == .alreadyExists && clash.message.contains("mine"))
                let foreign = try #require(error { try other.networks.create(spec("n", inside), other.call) })
                #expect(foreign.code == .alreadyExists && foreign.message.contains("KINA_HOME"))
                for index in 0..<20 {
                    let theirs = try other.networks.create(spec("n\(index)"), other.call)
                    #expect(try !#require(IPv4Subnet(theirs.subnet)).overlaps(range))
                }
                if let route = try NetworkSubnets.routes().first(where: { (9...28).contains($0.subnet.prefix) }) {
                    let host = try #require(
                        error { try bench.networks.create(spec("n", "\(route.subnet)"), bench.call) })
                    #expect([.failedPrecondition, .alreadyExists].contains(host.code))
                    #expect(host.message.contains(route.interface) || host.code == .alreadyExists)
                }
                // What was deleted is free again, and so is what a home left that is gone.
                try bench.networks.delete("mine", bench.call)
                _ = try other.networks.create(spec("taken-over", inside), other.call)
            }
        }
    }

    @Test func `a home that is gone holds no subnet`() throws {
        try NetworkBench.run { bench in
            try NetworkBench.run { other in
                let network = try other.networks.create(spec("n"), other.call)
                try Files.removeTree(other.context.home)
                _ = try bench.networks.create(spec("n", network.subnet), bench.call)
            }
        }
    }

    @Test func `two that make the default network at once make one`() async throws {
        let bench = try NetworkBench()
        defer { bench.tearDown() }
        let context = bench.context, call = bench.call
        let leases = try await withThrowingTaskGroup(of: [AddressStatus].self) { group in
            // Objects of their own, as in processes of their own: they share the disk only.
            for _ in 0..<8 {
                group.addTask { try OCINetworks(context).lease(Identifier.random(), [], call) }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(try bench.networks.list().networks.map(\.name) == ["default"])
        #expect(Set(leases.map(\.networkID)).count == 1)
        #expect(Set(leases.map(\.address)).count == 8)
        #expect(try bench.networks.get("default").leases.count == 8)
    }

    @Test func `an address is leased once, and again to its container only`() throws {
        try NetworkBench.run { bench in
            _ = try bench.networks.create(spec("n", "10.199.9.0/24"), bench.call)
            func lease(_ container: String, _ address: String?) throws -> String {
                try bench.networks.lease(
                    container, [NetworkAttachmentSpec(network: "n", address: address)], bench.call)[0].address
            }
            let one = bench.container(), two = bench.container()
            #expect(try lease(one, "10.199.9.77") == "10.199.9.77")
            #expect(try lease(one, "10.199.9.77") == "10.199.9.77")
            #expect(try lease(one, nil) == "10.199.9.77")
            let taken = try #require(error { try lease(two, "10.199.9.77") })
            #expect(taken.code == .alreadyExists && taken.message.contains(one))
            #expect(error { try lease(one, "10.199.9.78") }?.code == .failedPrecondition)
            for bad in ["10.199.9.0", "10.199.9.255", "10.199.9.1", "10.199.10.5", "x"] {
                let error = try #require(error { try lease(two, bad) })
                #expect(error.code == .invalidArgument && error.details["field"] == "sandbox.networks[0].address")
            }
            #expect(error { try lease(two, "fd00::5") }?.code == .unimplemented)
            try bench.networks.release(one)
            try bench.networks.release(one)
            #expect(try lease(two, "10.199.9.77") == "10.199.9.77")
        }
    }

    @Test func `a full network says so`() throws {
        try NetworkBench.run { bench in
            _ = try bench.networks.create(spec("small", "10.199.11.0/29"), bench.call)
            let attachment = [NetworkAttachmentSpec(network: "small")]
            let addresses = try (0..<5).map { _ in
                try bench.networks.lease(bench.container(), attachment, bench.call)[0].address
            }
            #expect(Set(addresses) == Set((2...6).map { "10.199.11.\($0)" }))
            let full = try #require(error { try bench.networks.lease(bench.container(), attachment, bench.call) })
            #expect(full.code == .resourceExhausted && full.message.contains("small"))
        }
    }

    @Test func `what fails leases nothing`() throws {
        try NetworkBench.run { bench in
            _ = try bench.networks.create(spec("n"), bench.call)
            let id = bench.container()
            let wrong: [([NetworkAttachmentSpec], KinaError.Code)] = [
                ([.init(network: "n"), .init(network: "missing")], .notFound),
                ([.init(network: "n"), .init(network: "n")], .invalidArgument),
                ([.init(network: "n", aliases: ["bad name"])], .invalidArgument),
                ([.init(network: "n", aliases: ["evil\n10.0.0.1"])], .invalidArgument),
                ([.init(network: "../n")], .invalidArgument),
            ]
            for (attachments, code) in wrong {
                #expect(error { try bench.networks.lease(id, attachments, bench.call) }?.code == code)
                #expect(try bench.networks.get("n").leases.isEmpty)
            }
        }
    }

    @Test func `a network with containers is not deleted`() throws {
        try NetworkBench.run { bench in
            let network = try bench.networks.create(spec("n"), bench.call)
            bench.networks.users = { [network.id: ["web", "db"]] }
            let error = try #require(error { try bench.networks.delete("n", bench.call) })
            #expect(error.code == .failedPrecondition && error.message.contains("db, web") && error.hint != nil)
            bench.networks.users = { [:] }
            try bench.networks.delete("n", bench.call)
            #expect(self.error { try bench.networks.delete("n", bench.call) }?.code == .notFound)
            #expect(self.error { try bench.networks.get("n") }?.code == .notFound)
        }
    }

    @Test func `host ports`() throws {
        try NetworkBench.run { bench in
            let one = bench.container(), two = bench.container()
            func take(_ container: String, _ ports: PortSpec...) throws -> [PortSpec] {
                try bench.networks.leasePorts(container, ports, bench.call)
            }
            func port(_ host: Int, _ address: String = "127.0.0.1", _ proto: PortSpec.`Protocol` = .tcp) -> PortSpec {
                var port = PortSpec(containerPort: 80, hostPort: host)
                port.hostAddress = address
                port.`protocol` = proto
                return port
            }
            let free = try take(one, port(0))[0].hostPort
            #expect(free > 1023)
            #expect(try take(one, port(0))[0].hostPort == free, "asked again, the same answer")
            #expect(try take(two, port(0))[0].hostPort != free)
            #expect(error { try take(two, port(free)) }?.code == .alreadyExists)
            #expect(error { try take(two, port(free, "0.0.0.0")) }?.code == .alreadyExists)
            _ = try take(two, port(free, "127.0.0.1", .udp))
            _ = try take(two, port(free, "127.0.0.2"))
            let every = try take(one, port(0, "0.0.0.0"))[0].hostPort
            #expect(error { try take(two, port(every, "127.0.0.7")) }?.code == .alreadyExists)
            for (bad, field) in [
                (port(70000), "hostPort"), (port(-1), "hostPort"), (port(1, "localhost"), "hostAddress"),
                (PortSpec(containerPort: 0), "containerPort"), (port(0, "192.0.2.55"), "ports"),
            ] {
                let error = try #require(error { try take(two, bad) })
                #expect(error.code == .invalidArgument && error.details["field"]?.hasSuffix(field) == true, "\(error)")
            }
            let before = try bench.networks.ports.all().count
            #expect(error { try take(two, port(0, "127.0.0.3"), port(every)) }?.code == .alreadyExists)
            #expect(try bench.networks.ports.all().count == before, "all or none")
            try bench.networks.release(one)
            _ = try take(two, port(every, "0.0.0.0"))
        }
    }

    @Test func `a port that another program has is not published`() throws {
        try NetworkBench.run { bench in
            let listener = FileDescriptor(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
            var name = sockaddr_in(try #require(IPv4Address("127.0.0.1")))
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutablePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = bind(listener.raw, $0, size)
                    _ = listen(listener.raw, 1)
                    _ = getsockname(listener.raw, $0, &size)
                }
            }
            let taken = Int(UInt16(bigEndian: name.sin_port))
            let spec = PortSpec(containerPort: 80, hostPort: taken)
            let error = try #require(error { try bench.networks.leasePorts(bench.container(), [spec], bench.call) })
            #expect(error.code == .alreadyExists && error.message.contains("\(taken)"))
            #expect(try bench.networks.ports.all().isEmpty)
        }
    }

    @Test func `resolv conf`() throws {
        try NetworkBench.run { bench in
            let addresses = try bench.networks.lease(bench.container(), [], bench.call)
            var dns = DNSSpec()
            #expect(try bench.networks.resolvConf(addresses, dns) == "nameserver \(addresses[0].gateway)\n")
            let host = try bench.networks.resolvConf([], dns)
            #expect(host.split(separator: "\n").allSatisfy { $0.hasPrefix("nameserver ") && !$0.contains(" 127.") })
            dns.servers = ["192.0.2.53", "2001:db8::53"]
            dns.search = ["a.example", "b.example"]
            dns.options = ["ndots:2"]
            #expect(
                try bench.networks.resolvConf(addresses, dns)
                    == "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example b.example\noptions ndots:2\n")
            dns.servers = ["dns.example"]
            #expect(
                error { try bench.networks.resolvConf(addresses, dns) }?.details["field"] == "sandbox.dns.servers[0]")
            dns.servers = []
            dns.search = ["a\nnameserver 6.6.6.6"]
            #expect(error { try bench.networks.resolvConf(addresses, dns) }?.code == .invalidArgument)
        }
    }

    @Test func `the routing table as the kernel writes it`() throws {
        let routes = try NetworkSubnets.routes(), interfaces = try NetworkSubnets.interfaces()
        for address in interfaces where address.subnet.prefix < 32 {
            #expect(routes.contains { $0.subnet == address.subnet && $0.interface == address.interface })
        }
    }
}
