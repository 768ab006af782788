import KinaCore

public enum Doctor {
    /// Looks at everything that containers on this host need; changes nothing and needs no privilege.
    public static func examine(_ options: RuntimeOptions) -> Report {
        let home = options.home ?? getenv("KINA_HOME").map { String(cString: $0) } ?? "/var/lib/kina"
        let cgroups = try? Context.detectCgroups()
        var checks = [root(), KernelChecks.version(), KernelChecks.cgroups(cgroups), KernelChecks.overlay()]
        checks += KernelChecks.links() + [iptables(), forwarding(), capabilities(), inotify()]
        checks +=
            [runtime(options.ociRuntime, cgroups)] + programs()
            + [plugins(), tar(), busybox(), initProgram(), seccomp()]
        checks += HomeChecks.examine(home)
        return Report(backend: "oci", checks: checks)
    }

    static func install(_ package: String) -> String { "apt-get install --no-install-recommends \(package)" }

    private static func root() -> Report.Check {
        geteuid() == 0
            ? .init("root", .ok, "this is root")
            : .init(
                "root", .failed, "namespaces, mounts and bridges need root; this is user \(geteuid())",
                fix: "run the program with sudo, or use kina.connect(\"docker\")")
    }

    private static func programs() -> [Report.Check] {
        // iptables and tar have their own checks, which run them, and busybox one that looks inside.
        Tools.packages.filter { !["iptables", "tar", "busybox"].contains($0.0) }.map { program, package in
            guard let path = Command.find(program) else {
                return .init(program, .failed, "\(program) is not installed", fix: install(package))
            }
            return .init(program, .ok, path)
        }
    }

    private static func plugins() -> Report.Check {
        guard let directory = Tools.findPlugins() else {
            return .init(
                "CNI plugins", .failed,
                "\(Tools.cniPlugins.joined(separator: ", ")) are in none of "
                    + Tools.cniDirectories.joined(separator: ", "),
                fix: install("containernetworking-plugins"))
        }
        return .init("CNI plugins", .ok, directory)
    }

    /// Others have another idea of extended attributes.
    private static func tar() -> Report.Check {
        guard let path = Command.find("tar") else {
            return .init("tar", .failed, "tar is not installed", fix: install("tar"))
        }
        guard let version = version(path), version.contains("GNU tar") else {
            return .init(
                "tar", .failed, "\(path) is not GNU's, which packs files that are copied out of containers",
                fix: install("tar"))
        }
        return .init("tar", .ok, "\(path): \(version)")
    }

    private static func busybox() -> Report.Check {
        guard let path = Command.find("busybox") else {
            return .init("busybox", .failed, "busybox is not installed", fix: install("busybox-static"))
        }
        guard isStatic(path) else {
            return .init(
                "busybox", .failed,
                "\(path) is dynamically linked: it copies files inside containers, where its libraries are not",
                fix: install("busybox-static"))
        }
        return .init("busybox", .ok, "\(path), statically linked")
    }

    /// Whether an ELF file of 64 bits needs no loader: no program header is PT_INTERP.
    static func isStatic(_ path: String) -> Bool {
        guard let fd = try? FileDescriptor.open(path, O_RDONLY), let head = try? fd.read(4096), head.count >= 64,
            head.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2, 1])
        else { return false }
        let number: (Int, Int) -> Int = { at, size in
            at + size <= head.count ? (0..<size).reduce(0) { $0 | Int(head[at + $1]) << (8 * $1) } : 0
        }
        let offset = number(32, 4), size = number(54, 2), count = number(56, 2)
        return !(0..<count).contains { number(offset + $0 * size, 4) == 3 }
    }

    private static func initProgram() -> Report.Check {
        Command.find("tini-static").map { .init("tini", .ok, $0) }
            ?? .init(
                "tini", .warning, "tini-static is missing: containers with init=True can't start", fix: install("tini"))
    }

    private static func seccomp() -> Report.Check {
        guard let file = Seccomp.files.first(where: Files.exists) else {
            return .init(
                "seccomp", .failed, "the default profile is in none of \(Seccomp.files.joined(separator: ", "))",
                fix: install("golang-github-containers-common"))
        }
        let actions = try? Files.readText("/proc/sys/kernel/seccomp/actions_avail")
        guard actions?.contains("errno") == true else {
            return .init(
                "seccomp", .failed, "this kernel has no seccomp filters", fix: "use a kernel with CONFIG_SECCOMP_FILTER"
            )
        }
        return .init("seccomp", .ok, file)
    }

    private static func runtime(_ option: String?, _ cgroups: Context.Cgroups?) -> Report.Check {
        let wanted = Tools.wantedRuntime(option)
        guard let path = Command.find(wanted) else {
            let package = wanted.hasSuffix("crun") ? "crun" : "runc"
            return .init("OCI runtime", .failed, "\(wanted) is not installed", fix: install(package))
        }
        if path.hasSuffix("/crun"), cgroups == .hybrid {
            return .init(
                "OCI runtime", .failed, "\(path) refuses hosts with hybrid cgroups",
                fix: "use runc: unset KINA_OCI_RUNTIME, or mount cgroup v2 alone")
        }
        guard let version = version(path) else {
            return .init(
                "OCI runtime", .warning, "\(path) does not tell its version",
                fix: "check that '\(path) --version' works")
        }
        // `exec --cgroup` and recursive read-only mounts came with 1.1.
        if path.hasSuffix("/runc"), let number = version.split(separator: " ").last.map(String.init),
            let parsed = KernelVersion(number), parsed < KernelVersion(1, 1)
        {
            return .init("OCI runtime", .failed, "\(path): \(version) is older than 1.1", fix: install("runc"))
        }
        return .init("OCI runtime", .ok, "\(path): \(version)")
    }

    /// The first line of what `--version` says.
    private static func version(_ path: String) -> String? {
        guard let call = try? Call(timeoutMs: 1000), let output = try? Command(path, ["--version"]).run(call),
            output.status.isSuccess
        else { return nil }
        return output.text.split(separator: "\n").first.map(String.init)
    }

    private static func iptables() -> Report.Check {
        guard let path = Command.find("iptables") else {
            return .init("iptables", .failed, "iptables is not installed", fix: install("iptables"))
        }
        guard geteuid() == 0 else { return .init("iptables", .ok, "\(path) (only root can try it)") }
        do {
            let output = try Command(path, ["-w", "1", "-t", "nat", "-S", "POSTROUTING"]).run(Call(timeoutMs: 2000))
            if output.status.isSuccess { return .init("iptables", .ok, path) }
            return .init(
                "iptables", .failed, "\(path) can't read the nat table: \(output.errorText)",
                fix:
                    "load the kernel's NAT modules (modprobe iptable_nat nft_chain_nat), "
                    + "or try update-alternatives --config iptables"
            )
        } catch {
            return .init(
                "iptables", .failed, "\(path): \(KinaError(error).message)", fix: "see who holds the xtables lock")
        }
    }

    private static func forwarding() -> Report.Check {
        let file = "/proc/sys/net/ipv4/ip_forward"
        guard let value = SmallFile.read(file)?.number else {
            return .init(
                "IP forwarding", .failed, "\(file) can't be read", fix: "use a kernel with IPv4 and mount /proc")
        }
        if value == 1 { return .init("IP forwarding", .ok, "on") }
        if geteuid() == 0, access(file, W_OK) != 0 {
            return .init(
                "IP forwarding", .failed, "off, and \(file) is read-only: containers would not reach the outside",
                fix: "sysctl -w net.ipv4.ip_forward=1 on the host")
        }
        return .init("IP forwarding", .ok, "off; kina turns it on with its first network")
    }

    private static func capabilities() -> Report.Check {
        let missing = Capabilities.names.filter { !CapabilitySets.bounding.contains($0) }
        // What kina itself can't do without.
        let needed = ["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_SETGID"]
            .filter(missing.contains)
        guard needed.isEmpty else {
            return .init(
                "capabilities", .failed, "missing from the bounding set: \(needed.joined(separator: ", "))",
                fix: "start this program in a place that has them (docker run --privileged)")
        }
        guard !missing.isEmpty else { return .init("capabilities", .ok, "all") }
        var reason = "missing from the bounding set: \(missing.joined(separator: ", "))"
        if missing.contains("CAP_SYS_RESOURCE") { reason += "; limits (rlimits, oom_score_adj) can't be raised" }
        return .init(
            "capabilities", .warning, reason,
            fix: "containers, privileged ones too, do without; else start kina with them")
    }

    private static func inotify() -> Report.Check {
        let value = { (name: String) in SmallFile.read("/proc/sys/fs/inotify/\(name)")?.number }
        guard let instances = value("max_user_instances"), let watches = value("max_user_watches") else {
            return .init("inotify", .warning, "its limits can't be read")
        }
        let found = "max_user_instances \(instances), max_user_watches \(watches)"
        if instances >= 128, watches >= 8192 { return .init("inotify", .ok, found) }
        return .init(
            "inotify", .warning, "\(found): clusters of several nodes need more",
            fix: "sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288")
    }
}
