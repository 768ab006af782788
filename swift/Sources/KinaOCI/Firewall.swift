import KinaCore

/// A network's rules: two chains of its own in the filter table, and what leads there, all of it named by its id.
///
/// One iptables-restore sets everything at once; setting it again changes nothing. What a container publishes is
/// portmap's. The chains answer for traffic that comes from or goes to the network's bridge; they come first in
/// FORWARD and INPUT, so that a host that drops by default (Docker, ufw) still lets it through.
struct Firewall: Sendable {
    private let tools: Tools

    init(_ context: Context) { tools = context.tools }

    func install(_ record: NetworkRecord, _ call: Call) throws {
        let stale = try jumps(record.id, call)
        var script: [(table: String, lines: [String])] = []
        for (table, rules) in try Self.rules(record) {
            let chains = rules.filter { $0.hasPrefix(":") }, rest = rules.filter { !$0.hasPrefix(":") }
            script.append((table, chains + (stale[table] ?? []) + rest))
        }
        try check(try beginRestore(script).finish(call), "iptables-restore")
    }

    /// Starts the removal; nil when there is nothing to remove.
    func beginRemoval(_ id: String, _ call: Call) throws -> Removal? {
        let stale = try jumps(id, call)
        guard !stale.isEmpty else { return nil }
        let chains = Self.chains(id)
        // Declaring a chain empties it, and makes it if need be.
        let filter = chains.map { ":\($0) - [0:0]" } + (stale["filter"] ?? []) + chains.map { "-X \($0)" }
        let others = stale.filter { $0.key != "filter" }.map { (table: $0.key, lines: $0.value) }
        return Removal(firewall: self, running: try beginRestore([("filter", filter)] + others))
    }

    /// The rules in the host's own chains that name this network, by table, each as the line that deletes it.
    private func jumps(_ id: String, _ call: Call) throws -> [String: [String]] {
        var table = "", found: [String: [String]] = [:]
        let output = try Command(tools.iptables + "-save", []).run(call)
        try check(output, "iptables-save")
        for line in output.text.split(separator: "\n") {
            if line.first == "*" {
                table = String(line.dropFirst())
            } else if line.hasPrefix("-A "), line.contains(Self.comment(id)) {
                found[table, default: []].append("-D" + line.dropFirst(2))
            }
        }
        return found
    }

    struct Removal {
        fileprivate let firewall: Firewall
        fileprivate let running: Command.Running

        func finish(_ call: Call) throws { try firewall.check(try running.finish(call), "iptables-restore") }
    }

    private func beginRestore(_ script: [(table: String, lines: [String])]) throws -> Command.Running {
        let text = script.map { (["*\($0.table)"] + $0.lines + ["COMMIT", ""]).joined(separator: "\n") }.joined()
        return try Command(tools.iptables + "-restore", ["--noflush", "--wait", "10"]).begin(input: Array(text.utf8))
    }

    private func check(_ output: Command.Output, _ program: String) throws {
        guard output.status.isSuccess else {
            throw KinaError(
                .internal, "\(program) failed: \(output.errorText)",
                hint: "check that the kernel has iptables (nf_tables) and the addrtype, conntrack and comment matches",
                details: ["exitCode": "\(output.status.code)"])
        }
    }

    static func comment(_ id: String) -> String { "kina:\(id)" }
    private static func chains(_ id: String) -> [String] { ["KINA-F-\(id.prefix(8))", "KINA-I-\(id.prefix(8))"] }

    /// By table.
    static func rules(_ record: NetworkRecord) throws -> [(String, [String])] {
        let (subnet, gateway) = try record.range()
        let bridge = record.bridge
        let comment = "-m comment --comment \(comment(record.id))"
        let forward = chains(record.id)[0], input = chains(record.id)[1]
        let filter = [
            ":\(forward) - [0:0]", ":\(input) - [0:0]",
            "-I FORWARD 1 -o \(bridge) \(comment) -j \(forward)",
            "-I FORWARD 1 -i \(bridge) \(comment) -j \(forward)",
            // Name service is for the network's own containers, whatever the host's policy; and no other network's
            // containers reach the host through this network's gateway.
            "-I INPUT 1 -i kina+ -d \(gateway)/32 \(comment) -j \(input)",
            // portmap lets 127.0.0.0/8 cross the bridge so that the host's 127.0.0.1 can be published: only answers may.
            "-I INPUT 1 -i \(bridge) -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED \(comment) -j DROP",
            "-A \(input) -i \(bridge) -p udp -m udp --dport 53 -j ACCEPT",
            "-A \(input) -i \(bridge) -p tcp -m tcp --dport 53 -j ACCEPT",
            "-A \(input) -i \(bridge) -j RETURN",
            "-A \(input) -j DROP",
            // Only with br_netfilter do frames between two of its ports come here.
            "-A \(forward) -i \(bridge) -o \(bridge) -j ACCEPT",
        ]
        let reach =
            record.isInternal
            ? ["-A \(forward) -j DROP"]
            : [
                // Published ports, from anywhere.
                "-A \(forward) -m conntrack --ctstate DNAT -j ACCEPT",
                "-A \(forward) -i \(bridge) -o kina+ -j DROP",
                "-A \(forward) -i kina+ -o \(bridge) -j DROP",
                "-A \(forward) -i \(bridge) -j ACCEPT",
                "-A \(forward) -o \(bridge) -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            ]
        let nat = record.isInternal ? [] : ["-A POSTROUTING -s \(subnet) ! -o \(bridge) \(comment) -j MASQUERADE"]
        return [("filter", filter + reach), ("nat", nat)]
    }
}
