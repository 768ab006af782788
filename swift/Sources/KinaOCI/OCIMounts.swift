import KinaCore

/// What is mounted in a container beside its root.
struct OCIMounts {
    let request: BundleRequest
    let context: Context
    private var spec: ContainerSpec { request.record.spec }
    private var namespaces: NamespacesSpec { spec.sandbox.namespaces }

    /// Where `init` finds its program: /dev is the runtime's own, so nothing of it shows in the root.
    static let initPath = "/dev/init"

    /// Outer ones first, whatever order they were given in; a mount of the user's takes the place of a usual one.
    func all() throws -> [OCI.Mount] {
        let asked = try request.record.mounts.enumerated().map { try mount($0.element, index: $0.offset) }
        let taken = Set(asked.map { Self.normalized($0.destination) })
        let usual = (system + etc + (try initProgram())).filter { !taken.contains($0.destination) }
        let depth: (OCI.Mount) -> Int = { $0.destination.split(separator: "/").count }
        // The offset keeps the order among equals: sorting alone promises nothing there.
        return (usual + asked).enumerated().sorted { (depth($0.element), $0.offset) < (depth($1.element), $1.offset) }
            .map(\.element)
    }

    private static func normalized(_ path: String) -> String {
        "/" + path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    private var system: [OCI.Mount] {
        let sys = spec.privileged ? "rw" : "ro"
        let cgroup = spec.privileged || spec.writableCgroups ? "rw" : "ro"
        var mounts = [
            OCI.Mount(destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
            OCI.Mount(
                destination: "/dev", type: "tmpfs", source: "tmpfs",
                options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            OCI.Mount(
                destination: "/dev/pts", type: "devpts", source: "devpts",
                options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            OCI.Mount(
                destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", sys]),
            OCI.Mount(
                destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
                options: ["nosuid", "noexec", "nodev", "relatime", cgroup]),
        ]
        if namespaces.ipc == .host {
            mounts += ["/dev/shm", "/dev/mqueue"].filter(Files.exists).map {
                OCI.Mount(destination: $0, type: "bind", source: $0, options: ["rbind", "nosuid", "noexec", "nodev"])
            }
        } else {
            let options = ["nosuid", "noexec", "nodev"]
            mounts += [
                request.shared.map {
                    OCI.Mount(destination: "/dev/shm", type: "bind", source: $0.shm, options: ["bind"] + options)
                }
                    ?? OCI.Mount(
                        destination: "/dev/shm", type: "tmpfs", source: "shm",
                        options: options + ["mode=1777", "size=\(spec.sandbox.shmSize)"]),
                OCI.Mount(
                    destination: "/dev/mqueue", type: "mqueue", source: "mqueue",
                    options: ["nosuid", "noexec", "nodev"]),
            ]
        }
        return mounts
    }

    /// kina's own files, outside the root so that an image's stay as they are.
    private var etc: [OCI.Mount] {
        [
            ("/etc/hosts", request.paths.hosts), ("/etc/hostname", request.paths.hostnameFile),
            ("/etc/resolv.conf", request.paths.resolvConf),
        ].map { target, source in
            OCI.Mount(
                destination: target, type: "bind", source: source,
                options: ["bind", "rprivate"] + (spec.readOnlyRoot ? ["ro"] : []))
        }
    }

    private func initProgram() throws -> [OCI.Mount] {
        guard spec.`init` else { return [] }
        guard let program = Command.find("tini-static") else {
            throw KinaError(
                .unavailable, "init: tini-static is missing", hint: "apt-get install --no-install-recommends tini",
                details: ["missing": "tini-static"])
        }
        return [
            OCI.Mount(
                destination: Self.initPath, type: "bind", source: program, options: ["bind", "ro", "nosuid", "nodev"])
        ]
    }

    private func mount(_ mount: ContainerRecord.ResolvedMount, index: Int) throws -> OCI.Mount {
        let spec = mount.spec
        let target = Self.normalized(spec.target)
        if spec.type == .tmpfs {
            var options = Self.merge(["nosuid", "nodev", "mode=1777"], spec.options)
            if let size = spec.size { options.append("size=\(size)") }
            return OCI.Mount(
                destination: target, type: "tmpfs", source: "tmpfs", options: options + (spec.readOnly ? ["ro"] : []))
        }
        guard let source = mount.source, Files.exists(source) else {
            throw KinaError.invalid(
                "mounts[\(index)].source", mount.source ?? spec.source, "does not exist on the host",
                hint: spec.type == .bind ? "create it first: kina does not make host directories" : nil)
        }
        var options = spec.options.filter { $0 != "bind" && $0 != "rbind" }
        options.insert(spec.options.contains("bind") && !spec.options.contains("rbind") ? "bind" : "rbind", at: 0)
        if !options.contains(where: MountSpec.propagations.contains) { options.append("rprivate") }
        // Layers may hold device nodes, and a volume may have been filled from one.
        if spec.type == .volume, !self.spec.privileged, !options.contains("dev") { options.append("nodev") }
        if spec.readOnly || options.contains("ro") { options = options.filter { $0 != "ro" } + [readOnly] }
        return OCI.Mount(destination: target, type: "bind", source: source, options: options)
    }

    /// With all that is mounted beneath, where kernel and runtime can do that (mount_setattr(2)).
    private var readOnly: String {
        let name = context.tools.ociRuntime.split(separator: "/").last ?? ""
        return KernelVersion.current >= KernelVersion(5, 12) && (name == "runc" || name == "crun") ? "rro" : "ro"
    }

    private static let opposites = [
        "suid": "nosuid", "dev": "nodev", "exec": "noexec", "nosuid": "suid", "nodev": "dev", "noexec": "exec",
    ]

    /// Defaults give way to their opposites and to other values of the same key.
    private static func merge(_ defaults: [String], _ options: [String]) -> [String] {
        defaults.filter { standard in
            !options.contains { option in
                option == standard || opposites[option] == standard
                    || (standard.contains("=")
                        && option.split(separator: "=").first == standard.split(separator: "=").first)
            }
        } + options
    }

    /// Mounts that others shall see need a root that passes them on.
    var rootPropagation: String? {
        let options = Set(request.record.spec.mounts.flatMap(\.options))
        if !options.isDisjoint(with: ["shared", "rshared"]) { return "rshared" }
        return options.isDisjoint(with: ["slave", "rslave"]) ? nil : "rslave"
    }
}
