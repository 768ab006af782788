import CKinaLinux
import KinaCore
import Testing

@testable import KinaOCI

/// Real bridges, rules, name servers and namespaces.
@Suite(.serialized)
struct NetworkConnectTests {
    @Test func `containers reach each other, the host and themselves by address and name, and leave nothing`() throws {
        try NetworkBench.run { bench in
            let web = try bench.endpoint("web"), db = try bench.endpoint("db")
            try bench.connect(web)
            try bench.connect(db)
            let network = try bench.networks.get("default")
            #expect(network.leases.count == 2)
            #expect(try bench.pings(web, db.addresses[0].address))
            #expect(try bench.pings(db, web.addresses[0].address))
            #expect(try bench.pings(web, network.gateway))
            let fromHost = Command(
                bench.context.tools.busybox, ["ping", "-c", "1", "-W", "1", web.addresses[0].address])
            #expect(try fromHost.run(bench.call).status.isSuccess)
            #expect(try bench.resolve(web, "db") == [db.addresses[0].address])
            #expect(try bench.resolve(db, "web") == [web.addresses[0].address])
            #expect(try bench.inside(web, "ip", "link", "show", "eth0").text.contains(web.addresses[0].mac))
            #expect(try bench.inside(web, "ip", "route").text.contains("default via \(network.gateway) dev eth0"))

            try bench.networks.disconnect(db.container, .unbounded)
            #expect(try bench.resolve(web, "db").isEmpty)
            #expect(!(try bench.inside(db, "ip", "link").text.contains("eth0")))
            #expect(NetworkLink.index(network.interface) != nil)
            try bench.networks.disconnect(web.container, .unbounded)
            try bench.networks.disconnect(web.container, .unbounded)

            // The address is the container's until it is released.
            #expect(try bench.networks.lease(web.container, [], bench.call) == web.addresses)
            try bench.connect(web)
            #expect(try bench.pings(web, network.gateway))
            #expect(try bench.remains(network, [web.container, db.container]).isEmpty)
        }
    }

    @Test func `a published port answers on the host, and its rules go with the container`() throws {
        try NetworkBench.run { bench in
            var udp = PortSpec(containerPort: 53)
            udp.`protocol` = .udp
            let keeper = try bench.endpoint("keeper")
            let web = try bench.endpoint("web", ports: [PortSpec(containerPort: 8080), udp])
            try bench.connect(keeper)
            try bench.connect(web)
            let network = try bench.networks.get("default")
            let server = try Command(
                "/usr/bin/nsenter",
                [
                    "--net=\(web.netns)", bench.context.tools.busybox, "nc", "-ll", "-p", "8080", "-e", "/bin/echo",
                    "hello",
                ]
            ).spawn()
            defer {
                server.kill()
                _ = try? server.reap()
            }
            let port = web.ports[0].hostPort
            #expect(port > 0)
            var said = ""
            for _ in 0..<50 where !said.contains("hello") {
                try bench.call.sleep(ms: 20, for: "the server")
                let client = Command(bench.context.tools.busybox, ["nc", "-w", "1", "127.0.0.1", "\(port)"])
                said = try client.run(bench.call).text
            }
            #expect(said == "hello\n")
            // Published on the loopback address only.
            #expect(try !bench.inside(keeper, "nc", "-w", "1", network.gateway, "\(port)").text.contains("hello"))

            try bench.networks.disconnect(web.container, bench.call)
            #expect(try bench.rules().filter { $0.contains(network.id) && $0.contains("dnat") }.isEmpty)
            #expect(try bench.rules().filter { $0.contains(web.addresses[0].address) }.isEmpty)
            #expect(try bench.pings(keeper, network.gateway))
        }
    }

    @Test func `ports and rules go even when the namespace went first`() throws {
        try NetworkBench.run { bench in
            let web = try bench.endpoint("web", ports: [PortSpec(containerPort: 8080)])
            try bench.connect(web)
            let network = try bench.networks.get("default")
            #expect(try !bench.traces(network, [web.container]).isEmpty)
            try checkLinux("unmount", kina_linux_unmount(web.netns))
            unlink(web.netns)
            try bench.networks.disconnect(web.container, bench.call)
            #expect(try bench.remains(network, [web.container]).isEmpty)
        }
    }

    @Test func `networks are apart: no packets and no names between them`() throws {
        try NetworkBench.run { bench in
            _ = try bench.networks.create(NetworkSpec(name: "red"), bench.call)
            _ = try bench.networks.create(NetworkSpec(name: "blue"), bench.call)
            let red = try bench.endpoint("one", on: [NetworkAttachmentSpec(network: "red")])
            let blue = try bench.endpoint("two", on: [NetworkAttachmentSpec(network: "blue")])
            let both = try bench.endpoint(
                "three",
                on: [NetworkAttachmentSpec(network: "red"), NetworkAttachmentSpec(network: "blue", aliases: ["third"])])
            for endpoint in [red, blue, both] { try bench.connect(endpoint) }
            #expect(try !bench.pings(red, blue.addresses[0].address))
            #expect(try !bench.pings(blue, red.addresses[0].address))
            #expect(try !bench.pings(red, blue.addresses[0].gateway))
            #expect(try bench.resolve(red, "two").isEmpty)
            #expect(try bench.resolve(red, "two", server: blue.addresses[0].gateway).isEmpty)
            #expect(try bench.pings(both, red.addresses[0].address))
            #expect(try bench.pings(both, blue.addresses[0].address))
            #expect(try bench.resolve(blue, "third") == [both.addresses[1].address])
            #expect(try bench.resolve(red, "third").isEmpty)
            // On several networks, the names of all of them.
            let inside = Resolver.insideAddress
            #expect(try bench.networks.resolvConf(both.addresses, DNSSpec()) == "nameserver \(inside)\n")
            #expect(try bench.resolve(both, "one", server: inside) == [red.addresses[0].address])
            #expect(try bench.resolve(both, "two", server: inside) == [blue.addresses[0].address])
            #expect(try bench.resolve(both, "nobody", server: inside).isEmpty)
            #expect(try bench.resolve(red, "three") == [both.addresses[0].address])
            #expect(
                try bench.inside(both, "ip", "route").text.split(separator: "\n").filter { $0.hasPrefix("default") }
                    .count == 1)
            let networks = try bench.networks.list().networks
            for endpoint in [both, red, blue] { try bench.networks.disconnect(endpoint.container, bench.call) }
            for network in networks {
                #expect(try bench.remains(network, [red, blue, both].map(\.container)).isEmpty)
            }
        }
    }

    /// A second "machine": a namespace that a veth joins to the host, which knows nothing of kina's networks.
    @Test func `the outside is reached in the host's name, but not from an internal network`() throws {
        try NetworkBench.run { bench in
            var closed = NetworkSpec(name: "closed")
            closed.isInternal = true
            _ = try bench.networks.create(closed, bench.call)
            let inner = try bench.endpoint("inner", on: [NetworkAttachmentSpec(network: "closed")])
            let mate = try bench.endpoint("mate", on: [NetworkAttachmentSpec(network: "closed")])
            let open = try bench.endpoint("open")
            for endpoint in [inner, mate, open] { try bench.connect(endpoint) }

            let outside = try bench.namespace()
            func ip(_ arguments: String...) throws {
                let output = try Command(try #require(Command.find("ip")), arguments).run(bench.call)
                try #require(output.status.isSuccess, "\(output.errorText)")
            }
            // Another run of the tests on this machine chooses another one.
            let range = IPv4Address(198 << 24 | 18 << 16 | UInt32.random(in: 0..<0x8000) << 2)
            let near = "\(IPv4Address(range.value + 1))", away = "\(IPv4Address(range.value + 2))"
            let link = "kvx\(Identifier.random(8))"
            try ip("link", "add", link, "type", "veth", "peer", "name", "\(link)p")
            defer { try? ip("link", "del", link) }
            try ip("addr", "add", "\(near)/30", "dev", link)
            try ip("link", "set", link, "up")
            let enter = try Command(
                "/usr/bin/nsenter",
                [
                    "--net=\(outside)", bench.context.tools.busybox, "sleep", "60",
                ]
            ).spawn()
            defer {
                enter.kill()
                _ = try? enter.reap()
            }
            for _ in 0..<100 where NetworkLive.namespace("/proc/\(enter.pid)/ns/net") != NetworkLive.namespace(outside)
            {
                try bench.call.sleep(ms: 5, for: "nsenter")
            }
            try ip("link", "set", "\(link)p", "netns", "\(enter.pid)")
            let far = OCINetworks.Endpoint(
                container: "", names: [:], addresses: [], ports: [], netns: outside)
            try bench.inside(far, "ip", "addr", "add", "\(away)/30", "dev", "\(link)p")
            try bench.inside(far, "ip", "link", "set", "\(link)p", "up")

            // The kernel takes up to a second to see that the test's own link is up.
            var isReached = false
            for _ in 0..<5 where !isReached { isReached = try bench.pings(open, away) }
            #expect(isReached)
            #expect(try !bench.pings(inner, away))
            #expect(try bench.pings(inner, mate.addresses[0].address))
            #expect(try bench.resolve(inner, "mate") == [mate.addresses[0].address])
            #expect(try bench.inside(inner, "ip", "route").text.contains("default") == false)
        }
    }

    @Test func `a killed name server is there again with the next container`() throws {
        try NetworkBench.run { bench in
            let one = try bench.endpoint("one"), two = try bench.endpoint("two")
            try bench.connect(one)
            let network = try bench.networks.get("default")
            let pidFile = NetworkPaths(bench.context, network.id).resolverPid
            let killed = try #require(Resolver.identity(pidFile))
            kill(killed.pid, SIGKILL)
            while killed.isAlive { try bench.call.sleep(ms: 1, for: "it to die") }
            #expect(try bench.resolve(one, "one").isEmpty)
            try bench.connect(two)
            #expect(try bench.resolve(one, "one") == [one.addresses[0].address])
            #expect(try bench.resolve(one, "two") == [two.addresses[0].address])
            let second = try #require(Resolver.identity(pidFile))
            #expect(second != killed)
            kill(second.pid, SIGKILL)
            while second.isAlive { try bench.call.sleep(ms: 1, for: "it to die") }
            try bench.networks.repair(bench.call)
            #expect(try bench.resolve(one, "two") == [two.addresses[0].address])
        }
    }

    @Test func `the name server works as its own user`() throws {
        try NetworkBench.run { bench in
            let one = try bench.endpoint("one")
            try bench.connect(one)
            let pidFile = NetworkPaths(bench.context, try bench.networks.get("default").id).resolverPid
            let identity = try #require(Resolver.identity(pidFile))
            let status = try Files.readText("/proc/\(identity.pid)/status")
            let uid = try #require(status.split(separator: "\n").first { $0.hasPrefix("Uid:") })
            #expect(!uid.split(separator: "\t").contains("0"))
            // Detached: neither the terminal's signals nor our end reach it.
            #expect(getsid(identity.pid) != getsid(0))
        }
    }

    @Test func `connecting again changes nothing`() throws {
        try NetworkBench.run { bench in
            let one = try bench.endpoint("one", ports: [PortSpec(containerPort: 80)])
            try bench.connect(one)
            let network = try bench.networks.get("default")
            let before = try bench.traces(network, [one.container])
            #expect(before.contains(network.interface) && before.contains { $0.contains("dnat") })
            try bench.connect(one)
            #expect(try bench.traces(network, [one.container]) == before)
            #expect(try bench.pings(one, one.addresses[0].gateway))
        }
    }

    @Test func `after a reboot all is built again from the record`() throws {
        try NetworkBench.run { bench in
            let one = try bench.endpoint("one", ports: [PortSpec(containerPort: 80)])
            try bench.connect(one)
            let network = try bench.networks.get("default")
            // What a reboot takes: interfaces, rules, processes, namespaces; and /run, unless it is on a disk.
            try bench.networks.disconnect(one.container, bench.call)
            try bench.networks.live.bringDown(network.id, bridge: network.interface, bench.call)
            try checkLinux("unmount", kina_linux_unmount(one.netns))
            unlink(one.netns)
            let paths = NetworkPaths(bench.context, network.id)
            try Files.makeDirectories(paths.endpoints)
            let old = NetworkLive.Up(bootID: "another", interfaceIndex: 1)
            try Files.writeAtomically(paths.up, try JSON.encode(old))
            try checkLinux("pin", kina_linux_pin_netns(one.netns))
            try bench.connect(one)
            #expect(try bench.networks.get("default").leases == network.leases)
            #expect(try bench.resolve(one, "one") == [one.addresses[0].address])
        }
    }

    @Test func `bridge and rules stay for the next container, the name server does not`() throws {
        try NetworkBench.run { bench in
            let one = try bench.endpoint("one"), two = try bench.endpoint("two")
            try bench.connect(one)
            try bench.connect(two)
            let network = try bench.networks.get("default")
            let rules = try bench.rules().filter { $0.contains(network.id) }
            try bench.networks.disconnect(one.container, bench.call)
            #expect(try bench.resolvers(network).count == 1)
            try bench.networks.disconnect(two.container, bench.call)
            #expect(try bench.resolvers(network).isEmpty)
            #expect(NetworkLink.index(network.interface) != nil)
            #expect(try bench.rules().filter { $0.contains(network.id) } == rules)
            #expect(try bench.remains(network, [one.container, two.container]).isEmpty)
        }
    }

    @Test func `what can't be connected leaves nothing`() throws {
        try NetworkBench.run { bench in
            let one = try bench.endpoint("one")
            var broken = one
            broken.netns = "/dev/null"
            #expect(throws: KinaError.self) { try bench.connect(broken) }
            // The second network is gone: the first one's interface must go as well.
            _ = try bench.networks.create(NetworkSpec(name: "gone"), bench.call)
            var two = try bench.endpoint(
                "two", on: [NetworkAttachmentSpec(network: "default"), NetworkAttachmentSpec(network: "gone")])
            two.addresses[1].networkID = "0123456789abcdef"
            #expect(throws: KinaError.self) { try bench.connect(two) }
            let cancelled = try Call(timeoutMs: -1)
            cancelled.cancel()
            #expect(throws: KinaError.self) { try bench.networks.connect(one, cancelled) }
            let network = try bench.networks.get("default")
            #expect(try bench.remains(network, [one.container, two.container]).isEmpty)
        }
    }

    @Test func `many containers at once, all reachable, nothing left`() async throws {
        let bench = try NetworkBench()
        defer { bench.tearDown() }
        let endpoints = try (0..<24).map { try bench.endpoint("c\($0)") }
        let networks = bench.networks, call = bench.call
        #expect(Set(endpoints.map { $0.addresses[0].address }).count == 24)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for endpoint in endpoints { group.addTask { try networks.connect(endpoint, call) } }
            try await group.waitForAll()
        }
        let network = try networks.get("default")
        for endpoint in endpoints {
            #expect(try bench.pings(endpoints[0], endpoint.addresses[0].address))
            #expect(try bench.resolve(endpoint, "c7") == [endpoints[7].addresses[0].address])
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for endpoint in endpoints { group.addTask { try networks.disconnect(endpoint.container, call) } }
            try await group.waitForAll()
        }
        #expect(try bench.remains(network, endpoints.map(\.container)).isEmpty)
    }

    @Test func `prune ends what belongs to no container`() throws {
        try NetworkBench.run { bench in
            let lost = try bench.endpoint("lost", ports: [PortSpec(containerPort: 80)])
            let kept = try bench.endpoint("kept")
            try bench.connect(lost)
            try bench.connect(kept)
            let network = try bench.networks.get("default")
            var result = PruneResult()
            try bench.networks.prune(unused: false, labels: [:], live: [kept.container], &result, bench.call)
            #expect(result.leftovers.count == 3, "lease, port and endpoint: \(result.leftovers)")
            #expect(try bench.networks.get("default").leases == [kept.addresses[0].address: kept.container])
            #expect(try bench.resolve(kept, "lost").isEmpty)
            #expect(try bench.resolve(kept, "kept") == [kept.addresses[0].address])
            #expect(try bench.rules().filter { $0.contains(lost.container) }.isEmpty)
            result = PruneResult()
            try bench.networks.prune(unused: true, labels: [:], live: [], &result, bench.call)
            #expect(result.networks == ["default"])
            #expect(try bench.remains(network, [lost.container, kept.container]).isEmpty)
            result = PruneResult()
            try bench.networks.prune(unused: true, labels: [:], live: [], &result, bench.call)
            #expect(result == PruneResult())
        }
    }

    /// kill -9 in the middle: an endpoint on record, and of what it names only a part.
    @Test func `a half-made endpoint is cleaned up`() throws {
        try NetworkBench.run { bench in
            let half = try bench.endpoint("half")
            try bench.connect(half)
            let network = try bench.networks.get("default")
            let paths = NetworkPaths(bench.context, network.id)
            var record = try #require(bench.networks.live.endpoint(network.id, half.container))
            record.isComplete = false
            record.bridge.prevResult = nil
            try Files.writeAtomically(paths.endpoint(half.container), try JSON.encode(record))
            try bench.connect(half)
            #expect(try bench.pings(half, network.gateway))
            try Files.remove(paths.up)
            try bench.networks.disconnect(half.container, bench.call)
            #expect(try bench.remains(network, [half.container]).isEmpty)
        }
    }
}
