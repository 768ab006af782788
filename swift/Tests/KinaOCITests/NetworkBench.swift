import CKinaLinux
import KinaCore
import Testing

@testable import KinaOCI

/// A KINA_HOME of its own with pinned network namespaces, gone with everything in it when the test ends.
final class NetworkBench {
    let context: Context
    let networks: OCINetworks
    let call: Call
    private var connected: [OCINetworks.Endpoint] = []
    private var namespaces: [String] = []

    init() throws {
        var options = RuntimeOptions()
        options.home = "/tmp/kina-test-\(Identifier.random(8))"
        context = try Context(options)
        networks = try OCINetworks(context)
        call = try Call(timeoutMs: 60_000)
    }

    /// Runs the test; what it leaves is removed also when it throws.
    static func run(_ body: (NetworkBench) throws -> Void) throws {
        let bench = try NetworkBench()
        do { try body(bench) } catch {
            bench.tearDown()
            throw error
        }
        bench.tearDown()
    }

    func tearDown() {
        for endpoint in connected { try? networks.disconnect(endpoint.container, .unbounded) }
        for path in namespaces {
            _ = kina_linux_unmount(path)
            unlink(path)
        }
        for network in (try? networks.list().networks) ?? [] {
            for container in Set(network.leases.values) { try? networks.release(container) }
            try? networks.delete(network.id, call)
        }
        try? Files.removeTree(context.run)
        try? Files.removeTree(context.home)
    }

    func container() -> String { Identifier.random() }

    func namespace() throws -> String {
        let path = "\(context.run)/\(Identifier.random(8)).net"
        try checkLinux("pin", kina_linux_pin_netns(path))
        namespaces.append(path)
        return path
    }

    /// A container's endpoint with addresses and ports leased.
    func endpoint(
        _ name: String, on attachments: [NetworkAttachmentSpec] = [], ports: [PortSpec] = []
    ) throws -> OCINetworks.Endpoint {
        let id = container()
        let addresses = try networks.lease(id, attachments, call)
        let names = addresses.enumerated().map { index, address in
            (address.networkID, [name] + (attachments.isEmpty ? [] : attachments[index].aliases))
        }
        return OCINetworks.Endpoint(
            container: id, names: Dictionary(uniqueKeysWithValues: names), addresses: addresses,
            ports: try networks.leasePorts(id, ports, call), netns: try namespace())
    }

    func connect(_ endpoint: OCINetworks.Endpoint) throws {
        connected.append(endpoint)
        try networks.connect(endpoint, call)
    }

    /// Runs a program of busybox in a namespace.
    @discardableResult
    func inside(_ endpoint: OCINetworks.Endpoint, _ arguments: String..., within ms: Int64 = 5000) throws
        -> Command.Output
    {
        try Command("/usr/bin/nsenter", ["--net=\(endpoint.netns)", context.tools.busybox] + arguments)
            .run(call.within(ms: ms))
    }

    func pings(_ endpoint: OCINetworks.Endpoint, _ target: String) throws -> Bool {
        try inside(endpoint, "ping", "-c", "1", "-W", "1", target).status.isSuccess
    }

    /// None when nobody answers within a second.
    func resolve(_ endpoint: OCINetworks.Endpoint, _ name: String, server: String? = nil) throws -> [String] {
        let server = server ?? endpoint.addresses[0].gateway
        let asked = try? inside(endpoint, "nslookup", "-type=a", name, server, within: 1000)
        guard let output = asked?.text else { return [] }
        let answer = output.split(separator: "\n").map(String.init)
        guard let start = answer.firstIndex(where: { $0.hasPrefix("Name:") }) else { return [] }
        return answer[start...].filter { $0.hasPrefix("Address") }.compactMap {
            $0.split(separator: " ").last.map(String.init)
        }
    }

    func rules() throws -> [String] {
        let text = try Command(context.tools.iptables + "-save", []).run(call).text
        return text.split(separator: "\n").map(String.init)
    }

    /// Whatever on the host names this network or this container.
    func traces(_ network: NetworkStatus, _ containers: [String]) throws -> [String] {
        let veths = containers.map { "kv\($0.prefix(12))" }
        let links = NetworkLink.names().filter { link in
            link == network.interface || veths.contains { link.hasPrefix($0) }
        }
        let rules = try rules().filter { line in
            ([network.id, String(network.id.prefix(8))] + containers).contains { line.contains($0) }
        }
        let processes = try resolvers(network)
        let files = Files.exists(NetworkPaths(context, network.id).run) ? [NetworkPaths(context, network.id).run] : []
        return links + rules + processes + files
    }

    /// What is left of a network and its containers when both are deleted.
    func remains(_ network: NetworkStatus, _ containers: [String]) throws -> [String] {
        for container in containers { try networks.release(container) }
        if (try? networks.get(network.id)) != nil { try networks.delete(network.id, call) }
        return try traces(network, containers)
    }

    /// The pids of the network's name servers.
    func resolvers(_ network: NetworkStatus) throws -> [String] {
        try Files.list("/proc").filter { Int32($0) != nil }.filter {
            (try? Files.readText("/proc/\($0)/cmdline"))?.contains(network.id) == true
        }
    }
}
