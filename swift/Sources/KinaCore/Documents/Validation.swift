// The rules behind the documents' types. Each `validate` reports all that is wrong at once; what depends on this host
// or on what exists (an image, a network, a path) is checked where it is used.

extension ContainerSpec {
    public func validate() throws {
        var problems = Problems()
        identity(&problems)
        process(&problems)
        security(&problems)
        mountTargets(&problems)
        sandbox.check("sandbox", &problems)
        resources.check("resources", &problems)
        if pod != nil { sandbox.requireDefaults("sandbox", &problems) }
        try problems.finish()
    }

    private func identity(_ problems: inout Problems) {
        problems.require(
            schema == Self.schema, "schema", "\(schema)", "is not a version that this kina knows",
            hint: "this kina reads version \(Self.schema)")
        if let name { problems.collect { try Identifier.checkName(name, field: "name") } }
        let plain = !image.isEmpty && image.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
        problems.require(
            plain, "image", image, "is not an image reference",
            hint: "write it like debian:12 or registry.example/app@sha256:…")
        problems.labels("labels", labels)
    }

    private func process(_ problems: inout Problems) {
        problems.texts("entrypoint", entrypoint ?? [])
        problems.texts("command", command ?? [])
        problems.environment("env", env)
        if let workdir { problems.path("workdir", workdir, in: "container") }
        if let user { problems.user("user", user) }
        for (index, group) in groups.enumerated() { problems.group("groups[\(index)]", group) }
        if let stopSignal { problems.signal("stopSignal", stopSignal) }
        problems.range("stopTimeout", stopTimeout, 0...86_400, "seconds")
        problems.range("logLimit", logLimit, 4096...(1 << 50), "bytes")
    }

    private func security(_ problems: inout Problems) {
        for (field, names) in [("capAdd", capAdd), ("capDrop", capDrop)] {
            for (index, name) in names.enumerated() where Capabilities.normalized(name) == nil {
                let near = nearest(name.uppercased(), among: Capabilities.names.map { String($0.dropFirst(4)) })
                problems.add(
                    "\(field)[\(index)]", name, "is not a capability",
                    hint: near.map { "did you mean '\($0)'?" } ?? "names are in capabilities(7); ALL means every one")
            }
        }
        switch (seccomp.profile, seccomp.json) {
        case (.custom, nil):
            problems.add("seccomp.json", nil, "is missing", hint: "a custom profile needs its JSON text here")
        case (.default, _?), (.unconfined, _?):
            problems.add("seccomp.json", nil, "is only for the profile 'custom'", hint: "set seccomp.profile to custom")
        default: break
        }
        var seen = Set<String>()
        for (index, limit) in rlimits.enumerated() {
            let field = "rlimits[\(index)]"
            limit.check(field, &problems)
            problems.require(seen.insert(limit.type).inserted, "\(field).type", limit.type, "is given twice")
        }
        for (index, device) in devices.enumerated() { device.check("devices[\(index)]", &problems) }
    }

    private func mountTargets(_ problems: inout Problems) {
        var seen: [[Substring]: Int] = [:]
        for (index, mount) in mounts.enumerated() {
            mount.check("mounts[\(index)]", &problems)
            let parts = mount.target.split(separator: "/").filter { $0 != "." }
            if let first = seen[parts] {
                problems.add("mounts[\(index)].target", mount.target, "is also the target of mounts[\(first)]")
            }
            seen[parts] = seen[parts] ?? index
        }
    }
}

extension PodSpec {
    public func validate() throws {
        var problems = Problems()
        problems.require(
            schema == Self.schema, "schema", "\(schema)", "is not a version that this kina knows",
            hint: "this kina reads version \(Self.schema)")
        if let name { problems.collect { try Identifier.checkName(name, field: "name") } }
        problems.labels("labels", labels)
        sandbox.check("sandbox", &problems)
        var size = ResourcesSpec()
        size.cpus = cpus
        size.memory = memory
        size.check("", &problems)
        try problems.finish()
    }
}

extension SandboxSpec {
    /// A member of a pod has no sandbox of its own that could be told anything.
    func requireDefaults(_ field: String, _ problems: inout Problems) {
        let usual = SandboxSpec()
        let told: [(String, Bool)] = [
            ("hostname", hostname != usual.hostname), ("networks", networks != usual.networks),
            ("ports", ports != usual.ports), ("dns", dns != usual.dns), ("extraHosts", extraHosts != usual.extraHosts),
            ("sysctls", sysctls != usual.sysctls), ("shmSize", shmSize != usual.shmSize),
            ("namespaces", namespaces != usual.namespaces),
        ]
        for (name, isTold) in told where isTold {
            problems.add(
                "\(field).\(name)", nil, "is the pod's, whose sandbox this container shares",
                hint: "give it to the pod when that is made")
        }
    }

    func check(_ field: String, _ problems: inout Problems) {
        if let hostname {
            problems.hostname("\(field).hostname", hostname)
            problems.require(
                namespaces.uts == .private, "\(field).hostname", hostname, "needs a private UTS namespace",
                hint: "leave out hostname, or namespaces.uts")
        }
        checkNetwork(field, &problems)
        checkNames(field, &problems)
        for (name, value) in sysctls.sorted(by: { $0.key < $1.key }) { checkSysctl(field, name, value, &problems) }
        problems.range("\(field).shmSize", shmSize, 1...(1 << 50), "bytes")
        problems.require(
            namespaces.ipc == .private || shmSize == SandboxSpec().shmSize, "\(field).shmSize", "\(shmSize)",
            "needs a private IPC namespace: with the host's, /dev/shm is the host's")
    }

    private func checkNetwork(_ field: String, _ problems: inout Problems) {
        if namespaces.network != .private {
            let mode = namespaces.network.rawValue
            problems.require(
                networks.isEmpty, "\(field).networks", nil, "can't be used with namespaces.network '\(mode)'",
                hint: "leave out one of the two")
            problems.require(
                ports.isEmpty, "\(field).ports", nil, "can't be published with namespaces.network '\(mode)'",
                hint: namespaces.network == .host ? "on the host's network every port is already there" : nil)
        }
        var seen = Set<String>()
        for (index, attachment) in networks.enumerated() {
            let field = "\(field).networks[\(index)]"
            problems.collect { try Identifier.checkName(attachment.network, field: "\(field).network") }
            problems.require(
                seen.insert(attachment.network).inserted, "\(field).network", attachment.network, "is given twice")
            if let address = attachment.address { problems.address("\(field).address", address) }
            for (index, alias) in attachment.aliases.enumerated() {
                problems.domain("\(field).aliases[\(index)]", alias)
            }
        }
        checkPorts(field, &problems)
    }

    private func checkPorts(_ field: String, _ problems: inout Problems) {
        var seen: [String: Int] = [:]
        for (index, port) in ports.enumerated() {
            let field = "\(field).ports[\(index)]"
            problems.range("\(field).containerPort", port.containerPort, 1...65535)
            problems.range("\(field).hostPort", port.hostPort, 0...65535, "(0: a free one)")
            problems.address("\(field).hostAddress", port.hostAddress)
            guard port.hostPort != 0 else { continue }
            // 0.0.0.0 takes the port on every address.
            for other in [port.hostAddress, "0.0.0.0"] {
                if let first = seen["\(other) \(port.hostPort) \(port.protocol)"] {
                    problems.add("\(field).hostPort", "\(port.hostPort)", "is also that of ports[\(first)]")
                    break
                }
            }
            seen["\(port.hostAddress) \(port.hostPort) \(port.protocol)"] = index
        }
    }

    private func checkNames(_ field: String, _ problems: inout Problems) {
        for (index, server) in dns.servers.enumerated() { problems.address("\(field).dns.servers[\(index)]", server) }
        for (index, domain) in dns.search.enumerated() where domain != "." {
            problems.domain("\(field).dns.search[\(index)]", domain)
        }
        for (index, option) in dns.options.enumerated() {
            let plain = !option.isEmpty && option.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x23 }
            problems.require(
                plain, "\(field).dns.options[\(index)]", option, "is not an option of resolv.conf(5)",
                hint: "write one option such as 'ndots:5' in each element")
        }
        for (name, address) in extraHosts.sorted(by: { $0.key < $1.key }) {
            problems.domain("\(field).extraHosts", name)
            problems.address("\(field).extraHosts.\(name)", address)
        }
    }

    /// What the IPC namespace holds besides fs.mqueue.
    private static let ipcSysctls: Set<String> = [
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
        "kernel.shmmni", "kernel.shm_rmid_forced",
    ]

    /// Only what a namespace of the sandbox holds: anything else would change the host.
    private func checkSysctl(_ field: String, _ name: String, _ value: String, _ problems: inout Problems) {
        let field = "\(field).sysctls"
        let plain =
            !name.isEmpty
            && name.utf8.allSatisfy {
                Identifier.isAlphanumeric($0) || $0 == 0x2E || $0 == 0x5F || $0 == 0x2D
            }
        guard plain, !name.split(separator: ".", omittingEmptySubsequences: false).contains("") else {
            return problems.add(field, name, "is not a sysctl's name", hint: "write it like net.ipv4.ip_forward")
        }
        problems.text("\(field).\(name)", value)
        problems.require(!value.contains("\n"), "\(field).\(name)", value, "contains a line break")
        if name == "kernel.hostname" || name == "kernel.domainname" {
            problems.add(field, name, "is not set this way", hint: "use 'hostname'")
        } else if name.hasPrefix("net.") {
            problems.require(
                namespaces.network != .host, field, name, "would change the host's network",
                hint: "use a private network, or set it on the host")
        } else if Self.ipcSysctls.contains(name) || name.hasPrefix("fs.mqueue.") {
            problems.require(
                namespaces.ipc != .host, field, name, "would change the host's IPC namespace",
                hint: "use a private IPC namespace, or set it on the host")
        } else {
            problems.add(
                field, name, "belongs to the host, not to a container",
                hint:
                    "containers have net.*, fs.mqueue.*, kernel.shm*, kernel.msg*, kernel.sem; the host has the others"
            )
        }
    }
}

extension RlimitSpec {
    public static let types = [
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
        "rtprio", "rttime", "sigpending", "stack",
    ]

    func check(_ field: String, _ problems: inout Problems) {
        if !Self.types.contains(type) {
            let near = nearest(type.lowercased(), among: Self.types)
            problems.add(
                "\(field).type", type, "is not a resource of setrlimit(2)",
                hint: near.map { "did you mean '\($0)'?" } ?? "one of \(Self.types.joined(separator: ", "))")
        }
        problems.require(
            soft <= hard, "\(field).soft", "\(soft)", "is above the hard limit of \(hard)",
            hint: "give a hard limit at least as high")
    }
}

extension DeviceSpec {
    func check(_ field: String, _ problems: inout Problems) {
        problems.path("\(field).source", source, in: "host")
        if let target {
            problems.path("\(field).target", target, in: "container")
            problems.require(
                !target.split(separator: "/").isEmpty, "\(field).target", target, "is the root directory")
        }
        let letters = Array(permissions)
        let plain = !letters.isEmpty && letters.allSatisfy { "rwm".contains($0) } && Set(letters).count == letters.count
        problems.require(
            plain, "\(field).permissions", permissions, "is not made of r, w and m, each once",
            hint: "r reads, w writes, m makes the node")
    }
}

extension MountSpec {
    public static let propagations: Set<String> = ["private", "rprivate", "shared", "rshared", "slave", "rslave"]
    private static let flags: Set<String> = [
        "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime", "nodiratime", "diratime",
        "relatime", "norelatime", "strictatime", "nostrictatime", "sync", "async",
    ]
    private static let bindFlags: Set<String> = ["bind", "rbind", "nosymfollow"]
    private static let tmpfsKeys: Set<String> = ["mode", "uid", "gid", "nr_inodes", "size"]

    func check(_ field: String, _ problems: inout Problems) {
        problems.path("\(field).target", target, in: "container")
        problems.require(
            !target.split(separator: "/").filter { $0 != "." }.isEmpty, "\(field).target", target,
            "is the root directory", hint: "mount it beneath, or make an image of it")
        checkSource(field, &problems)
        problems.require(size == nil || type == .tmpfs, "\(field).size", size.map { "\($0)" }, "is only for tmpfs")
        if let size { problems.range("\(field).size", size, 1...(1 << 50), "bytes") }
        for (index, option) in options.enumerated() { checkOption("\(field).options[\(index)]", option, &problems) }
        problems.require(
            !(readOnly && options.contains("rw")), "\(field).options", "rw", "contradicts readOnly",
            hint: "leave out one of the two")
    }

    private func checkSource(_ field: String, _ problems: inout Problems) {
        switch (type, source) {
        case (.bind, nil):
            problems.add("\(field).source", nil, "is missing", hint: "a bind mount needs a path of the host")
        case (.bind, let source?): problems.path("\(field).source", source, in: "host")
        case (.tmpfs, let source?):
            problems.add("\(field).source", source, "has no meaning for tmpfs", hint: "leave it out")
        case (.volume, let source?) where source.contains("/"):
            problems.add(
                "\(field).source", source, "is not a volume's name",
                hint: "use type 'bind' for a path of the host")
        case (.volume, let source?): problems.collect { try Identifier.checkName(source, field: "\(field).source") }
        case (.volume, nil), (.tmpfs, nil): break
        }
    }

    private func checkOption(_ field: String, _ option: String, _ problems: inout Problems) {
        if Self.flags.contains(option) { return }
        if type != .tmpfs, Self.propagations.contains(option) || Self.bindFlags.contains(option) { return }
        if type == .tmpfs, let equals = option.firstIndex(of: "=") {
            let value = option[option.index(after: equals)...]
            let plain = !value.isEmpty && value.utf8.allSatisfy { Identifier.isAlphanumeric($0) || $0 == 0x25 }
            if Self.tmpfsKeys.contains(String(option[..<equals])), plain { return }
        }
        let known = Self.flags.union(type == .tmpfs ? [] : Self.propagations.union(Self.bindFlags))
        problems.add(
            field, option, "is not an option for a \(type.rawValue) mount",
            hint: nearest(option, among: Array(known)).map { "did you mean '\($0)'?" }
                ?? "known: \(known.sorted().joined(separator: ", "))"
                + (type == .tmpfs ? ", mode=, uid=, gid=, nr_inodes=, size=" : ""))
    }
}

extension ResourcesSpec {
    public static let leastMemory: Int64 = 6 << 20

    public func validate() throws {
        var problems = Problems()
        check("", &problems)
        try problems.finish()
    }

    func check(_ prefix: String, _ problems: inout Problems) {
        let field: (String) -> String = { prefix.isEmpty ? $0 : "\(prefix).\($0)" }
        // A hundredth is the shortest quota the kernel takes: 1 ms of each 100.
        if let cpus { problems.range(field("cpus"), cpus, 0.01...8192, "CPUs") }
        if let cpuWeight { problems.range(field("cpuWeight"), cpuWeight, 1...10000) }
        if let cpuset {
            problems.require(
                Self.isCPUList(cpuset), field("cpuset"), cpuset, "is not a list of CPUs",
                hint: "write it like 0-2,4")
        }
        if let memory {
            problems.require(
                memory >= Self.leastMemory, field("memory"), "\(memory)",
                "is below the minimum of \(Self.leastMemory) bytes (6 MiB)", hint: "units matter: 256 MiB is 268435456")
        }
        checkSwap(field("memorySwap"), &problems)
        if let pids {
            problems.require(
                pids == -1 || (1...(1 << 22)).contains(pids), field("pids"), "\(pids)",
                "must be from 1 to 4194304, or -1 for unlimited")
        }
    }

    private func checkSwap(_ field: String, _ problems: inout Problems) {
        guard let memorySwap, memorySwap != -1 else { return }
        guard let memory else {
            return problems.add(field, "\(memorySwap)", "needs 'memory'", hint: "it is the sum of memory and swap")
        }
        problems.require(
            memorySwap >= memory, field, "\(memorySwap)", "is below memory (\(memory))",
            hint: "it is the sum of memory and swap; the same as memory means no swap")
    }

    private static func isCPUList(_ text: String) -> Bool {
        let number: (Substring) -> Int? = { part in
            part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(part).flatMap { $0 < 8192 ? $0 : nil } : nil
        }
        return text.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { part in
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            guard (1...2).contains(ends.count), let first = number(ends[0]) else { return false }
            guard ends.count == 2 else { return true }
            return number(ends[1]).map { first <= $0 } ?? false
        }
    }
}

extension ProcessSpec {
    public func validate() throws {
        var problems = Problems()
        problems.require(
            !(args.first ?? "").isEmpty, "args", args.first, "names no program",
            hint: "pass at least the program's name")
        problems.texts("args", args)
        problems.environment("env", env)
        if let workdir { problems.path("workdir", workdir, in: "container") }
        if let user { problems.user("user", user) }
        if let timeoutMs {
            problems.require(
                (1...(1 << 42)).contains(timeoutMs), "timeoutMs", "\(timeoutMs)",
                "must be a positive number of milliseconds")
        }
        try problems.finish()
    }
}

extension NetworkSpec {
    /// Without the subnet: which ones will do is for the backend to say.
    public func validate() throws {
        var problems = Problems()
        problems.collect { try Identifier.checkName(name, field: "name") }
        problems.labels("labels", labels)
        if let mtu { problems.range("mtu", mtu, 576...65535, "bytes") }
        try problems.finish()
    }
}

extension VolumeSpec {
    public func validate() throws {
        var problems = Problems()
        if let name { problems.collect { try Identifier.checkName(name, field: "name") } }
        problems.labels("labels", labels)
        try problems.finish()
    }
}

extension ImageConfig {
    public func validate() throws {
        var problems = Problems()
        problems.texts("config.entrypoint", entrypoint)
        problems.texts("config.command", command)
        problems.environment("config.env", env)
        problems.labels("config.labels", labels)
        if !workdir.isEmpty { problems.path("config.workdir", workdir, in: "container") }
        if !user.isEmpty { problems.user("config.user", user) }
        if !stopSignal.isEmpty { problems.signal("config.stopSignal", stopSignal) }
        for (index, volume) in volumes.enumerated() {
            problems.path("config.volumes[\(index)]", volume, in: "container")
        }
        for (index, port) in exposedPorts.enumerated() {
            let parts = port.split(separator: "/", omittingEmptySubsequences: false)
            let valid =
                (1...2).contains(parts.count) && (Int(parts[0]).map { (1...65535).contains($0) } ?? false)
                && (parts.count == 1 || ["tcp", "udp", "sctp"].contains(parts[1]))
            problems.require(
                valid, "config.exposedPorts[\(index)]", port, "is not a port", hint: "write it like 80/tcp")
        }
        try problems.finish()
    }
}
