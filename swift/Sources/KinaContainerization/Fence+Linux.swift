#if Containerization && os(Linux)
    import KinaCore

    /// What keeps a network of machines apart from the host's other networks, and an internal one from all else.
    /// Containerization leaves to the host's policy what is forwarded between bridges, which mostly lets it pass.
    struct Fence: Sendable {
        private let rules: [String]

        init(_ bridge: String, isInternal: Bool) {
            let closed =
                isInternal
                ? ["-i \(bridge)", "-o \(bridge)"]
                : ["-i \(bridge) -o kvm+", "-i \(bridge) -o kina+", "-i kina+ -o \(bridge)"]
            // Netfilter sees what stays on the bridge, too, where bridge-nf-call-iptables is set.
            rules = ["-i \(bridge) -o \(bridge) -j ACCEPT"] + closed.map { "\($0) -j DROP" }
        }

        /// Before all other rules, in this order.
        func raise() throws {
            let output = try restore(rules.reversed().map { "-I FORWARD 1 \($0)" })
            guard output.status.isSuccess else {
                throw KinaError(
                    .internal, "iptables-restore failed: \(output.errorText)",
                    hint: "check that the kernel has iptables (nf_tables)",
                    details: ["exitCode": "\(output.status.code)"])
            }
        }

        /// Idempotent.
        func lower() throws {
            if try restore(rules.map { "-D FORWARD \($0)" }).status.isSuccess { return }
            // One restores all or nothing: some are gone.
            for rule in rules { _ = try restore(["-D FORWARD \(rule)"]) }
        }

        private func restore(_ lines: [String]) throws -> Command.Output {
            guard let program = Command.find("iptables-restore") else {
                throw KinaError(.unavailable, "missing program: iptables-restore", hint: "install iptables")
            }
            let script = (["*filter"] + lines + ["COMMIT", ""]).joined(separator: "\n")
            return try Command(program, ["--noflush", "--wait", "10"])
                .run(.unbounded.within(ms: 30_000), input: Array(script.utf8))
        }
    }
#endif
