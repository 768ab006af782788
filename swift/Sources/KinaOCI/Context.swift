import CKinaLinux
import KinaCore

/// Where things are and what this host offers: found once, when a runtime is opened.
public struct Context: Sendable {
    public static let version = Kina.version
    public static let platform = Kina.platform

    public enum Cgroups: String, Sendable { case v1, v2, hybrid }

    /// KINA_HOME, absolute, without links: what outlives a reboot.
    public let home: String
    /// /run/kina/<hash of home>: pids, sockets, namespaces, mount points; nothing here is needed after a reboot.
    public let run: String
    /// kina-exit, which lies beside libkina.
    public let exitProgram: String
    public let unpackLimit: Int64
    public let tools: Tools
    public let cgroups: Cgroups
    let hierarchies: CgroupHierarchies
    public let journal: Journal

    init(_ options: RuntimeOptions) throws {
        guard geteuid() == 0 else {
            throw KinaError(
                .permissionDenied, "containers on Linux need root: namespaces, mounts and bridges are the kernel's",
                hint: "run this program with sudo, or use kina.connect(\"docker\")")
        }
        tools = try Tools(ociRuntime: options.ociRuntime)
        cgroups = try Self.detectCgroups()
        hierarchies = CgroupHierarchies(cgroups)
        let place = try Home(options.home)
        home = place.path
        run = place.runDirectory
        exitProgram = try Self.findExitProgram(options.libexec)
        unpackLimit = options.unpackLimit
        journal = Journal("\(self.home)/events.jsonl")
        try doing("creating \(run)") {
            try Files.makeDirectories(run)
            try Files.makeDirectories("\(self.home)/tmp")
        }
    }

    private static func findExitProgram(_ libexec: String?) throws -> String {
        let directory =
            libexec
            ?? kina_linux_library_path().map { String(cString: $0) }.flatMap { library in
                library.lastIndex(of: "/").map { String(library[..<$0]) }
            }
        let path = "\(directory ?? ".")/kina-exit"
        guard access(path, X_OK) == 0 else {
            throw KinaError(.unavailable, "\(path) is missing", hint: "reinstall kina: its own program is not there")
        }
        return path
    }

    static func hash(_ text: String) -> String { Home.hash(text) }

    static func detectCgroups() throws -> Cgroups {
        if Files.exists("/sys/fs/cgroup/cgroup.controllers") { return .v2 }
        if Files.exists("/sys/fs/cgroup/unified/cgroup.procs") { return .hybrid }
        if Files.isDirectory("/sys/fs/cgroup/memory") { return .v1 }
        throw KinaError(
            .unavailable, "no cgroups are mounted on /sys/fs/cgroup",
            hint: "mount -t cgroup2 none /sys/fs/cgroup, or boot with systemd")
    }

    /// This boot, to tell what runs now from what ran before it.
    public static func bootID() throws -> String {
        try Boot.id()
    }
}

/// The programs that kina drives. All are looked for at once, so that one error names everything that is missing.
public struct Tools: Sendable {
    public let ociRuntime: String
    public let conmon: String
    public let skopeo: String
    public let umoci: String
    public let iptables: String
    public let dnsmasq: String
    public let busybox: String
    public let tar: String
    /// The directory of the CNI plugins.
    public let cni: String

    /// Program, Debian package.
    static let packages = [
        ("conmon", "conmon"), ("skopeo", "skopeo"), ("umoci", "umoci"), ("iptables", "iptables"),
        ("dnsmasq", "dnsmasq-base"), ("busybox", "busybox-static"), ("tar", "tar"),
    ]
    static let cniDirectories = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"]
    static let cniPlugins = ["bridge", "static", "portmap"]

    init(ociRuntime: String?) throws {
        let wanted = Self.wantedRuntime(ociRuntime)
        let runtime = Command.find(wanted)
        let found = Dictionary(uniqueKeysWithValues: Self.packages.map { ($0.0, Command.find($0.0)) })
        let cni = Self.findPlugins()
        var missing = Self.packages.filter { found[$0.0]! == nil }.map { (program: $0.0, package: $0.1) }
        if runtime == nil { missing.append((wanted, wanted == "crun" ? "crun" : "runc")) }
        if cni == nil { missing.append(("CNI plugins", "containernetworking-plugins")) }
        guard missing.isEmpty, let runtime, let cni else {
            throw KinaError(
                .unavailable, "missing programs: \(missing.map(\.program).joined(separator: ", "))",
                hint: "apt-get install --no-install-recommends " + missing.map(\.package).joined(separator: " "),
                details: ["missing": missing.map(\.program).joined(separator: ",")])
        }
        self.ociRuntime = runtime
        self.cni = cni
        conmon = found["conmon"]!!
        skopeo = found["skopeo"]!!
        umoci = found["umoci"]!!
        iptables = found["iptables"]!!
        dnsmasq = found["dnsmasq"]!!
        busybox = found["busybox"]!!
        tar = found["tar"]!!
    }

    static func wantedRuntime(_ option: String?) -> String {
        option ?? getenv("KINA_OCI_RUNTIME").map { String(cString: $0) } ?? "runc"
    }

    static func findPlugins() -> String? {
        cniDirectories.first { directory in cniPlugins.allSatisfy { access("\(directory)/\($0)", X_OK) == 0 } }
    }
}
