import KinaCore

/// The CNI plugins: `bridge` (with `static` addresses, which are kina's) and `portmap`.
struct NetworkPlugin: Sendable {
    let tools: Tools

    /// What a plugin is given. Kept as it was for ADD: portmap's DEL removes nothing, and says nothing, without it.
    struct Config: Document {
        // All plugins since 0.8 know this version.
        var cniVersion = "0.4.0"
        var name: String
        var type: String
        // bridge
        var bridge: String?
        var isGateway: Bool?
        var ipMasq: Bool?
        var hairpinMode: Bool?
        var mtu: Int?
        var ipam: IPAM?
        // portmap
        var snat: Bool?
        var capabilities: [String: Bool]?
        var runtimeConfig = RuntimeConfig()
        var prevResult: Result?

        init(_ type: String, network: String) {
            self.type = type
            name = "kina-\(network)"
        }
    }

    struct IPAM: Document {
        struct Address: Document {
            var address: String
            var gateway: String
        }
        var type = "static"
        var addresses: [Address]
        var routes: [Route]
    }

    struct Route: Document {
        var dst: String
        var gw: String?
    }

    struct RuntimeConfig: Document {
        var mac: String?
        var portMappings: [PortMapping]?
    }

    struct PortMapping: Document {
        var hostPort: Int
        var containerPort: Int
        var `protocol`: String
        var hostIP: String
    }

    /// Of version 0.4.0, with what kina uses.
    struct Result: Document {
        struct Interface: Document {
            var name: String
            var mac: String?
            var sandbox: String?
        }
        struct IP: Document {
            var version: String?
            var interface: Int?
            var address: String
            var gateway: String?
        }
        var cniVersion: String
        var interfaces: [Interface]?
        var ips: [IP]?
        var routes: [Route]?
    }

    private struct Failure: Decodable {
        var msg: String
        var details: String?
    }

    /// One container on one network.
    struct Attachment: Document {
        var container: String
        var netns: String
        var interface: String
    }

    /// Returns the plugin's result.
    func add(_ config: Config, _ attachment: Attachment, _ call: Call) throws -> Result {
        let output = try begin("ADD", config, attachment, netns: attachment.netns).finish(call)
        try Self.check("ADD", config.type, output)
        return try JSON.decode(Result.self, from: output.stdout, what: "result of CNI plugin \(config.type)")
    }

    /// Starts it: what plugins remove keeps the kernel waiting, so several do better at once.
    func beginDelete(_ config: Config, _ attachment: Attachment) throws -> Deletion {
        // Without its namespace the plugins still remove what they made outside of it.
        let netns = Self.isNamespace(attachment.netns) ? attachment.netns : ""
        return Deletion(type: config.type, running: try begin("DEL", config, attachment, netns: netns))
    }

    struct Deletion {
        fileprivate let type: String
        fileprivate let running: Command.Running

        func finish(_ call: Call) throws { try NetworkPlugin.check("DEL", type, try running.finish(call)) }
    }

    private func begin(_ verb: String, _ config: Config, _ attachment: Attachment, netns: String) throws
        -> Command.Running
    {
        let environment = [
            "CNI_COMMAND": verb, "CNI_CONTAINERID": attachment.container, "CNI_NETNS": netns,
            "CNI_IFNAME": attachment.interface, "CNI_PATH": tools.cni, "PATH": Command.searchPath,
        ]
        return try Command("\(tools.cni)/\(config.type)", [], environment: environment)
            .begin(input: try JSON.encode(config))
    }

    private static func check(_ verb: String, _ type: String, _ output: Command.Output) throws {
        if output.status.isSuccess { return }
        let failure = try? JSON.decode(Failure.self, from: output.stdout, what: "error")
        let said = failure.map { [$0.msg, $0.details ?? ""].filter { !$0.isEmpty }.joined(separator: ": ") }
        throw KinaError(
            .internal, "CNI plugin \(type) \(verb): \(said ?? output.errorText)",
            hint: "is the package containernetworking-plugins whole, and the kernel able to make veth and bridges?",
            details: ["plugin": type, "exitCode": "\(output.status.code)"])
    }

    /// A file that a namespace is mounted on, not the empty file that is left of it.
    static func isNamespace(_ path: String) -> Bool {
        var info = stat(), own = stat()
        return stat(path, &info) == 0 && stat("/proc/self/ns/net", &own) == 0 && info.st_dev == own.st_dev
    }
}
