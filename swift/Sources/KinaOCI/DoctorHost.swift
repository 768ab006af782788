import KinaCore

/// What of the kernel containers need.
enum KernelChecks {
    /// close_range(2) with CLOSE_RANGE_CLOEXEC is the newest thing that kina can't do without.
    private static let oldest = KernelVersion(5, 11)

    static func version() -> Report.Check {
        let found = KernelVersion.current
        return found < oldest
            ? .init(
                "kernel", .failed, "Linux \(found) is older than \(oldest)",
                fix: "use a newer kernel (Debian 12 has 6.1)")
            : .init("kernel", .ok, "Linux \(found)")
    }

    static func cgroups(_ mode: Context.Cgroups?, root: String = "/sys/fs/cgroup") -> Report.Check {
        guard let mode else {
            return .init(
                "cgroups", .failed, "nothing is mounted on \(root)",
                fix: "mount -t cgroup2 none \(root), or boot with systemd")
        }
        let hierarchies = CgroupHierarchies(mode, root: root)
        let needed =
            mode == .v2 ? ["cpu", "memory", "pids"] : ["cpu", "cpuacct", "memory", "pids", "devices", "freezer"]
        let offered = controllers(hierarchies)
        let missing = needed.filter { !offered.contains($0) }
        guard missing.isEmpty else {
            return .init(
                "cgroups", .failed, "\(mode.rawValue), without \(missing.joined(separator: ", "))",
                fix: mode == .v2
                    ? "delegate the controllers to this place (systemd: Delegate=yes)"
                    : "boot with cgroup_enable=\(missing.joined(separator: ",")), or mount the controllers")
        }
        if geteuid() == 0, access(hierarchies["memory"] ?? root, W_OK) != 0 {
            return .init(
                "cgroups", .failed, "\(mode.rawValue), mounted read-only", fix: "run where \(root) can be written")
        }
        if mode == .v2, let lacking = undelegated(root, needed) { return lacking }
        var reason = mode.rawValue
        if !Cgroup.countsSwap(mode, root: root) { reason += "; swap is not counted, so memorySwap can't be limited" }
        return .init("cgroups", .ok, reason)
    }

    /// In a group that is not the machine's own root, controllers can be given to groups beneath only while no process
    /// is in it (cgroups(7), "no internal processes").
    private static func undelegated(_ root: String, _ needed: [String]) -> Report.Check? {
        guard Files.exists("\(root)/cgroup.type"),
            let given = try? Files.readText("\(root)/cgroup.subtree_control").split(whereSeparator: \.isWhitespace),
            !Set(given.map(String.init)).isSuperset(of: needed),
            let own = SmallFile.read("\(root)/cgroup.procs"), !own.bytes.isEmpty
        else { return nil }
        return .init(
            "cgroups", .failed, "v2, inside a group with processes in it, which therefore can't limit groups beneath",
            fix: "move them first: mkdir \(root)/init, then write each pid of cgroup.procs to init/cgroup.procs")
    }

    private static func controllers(_ hierarchies: CgroupHierarchies) -> Set<String> {
        guard hierarchies.mode == .v2 else {
            let candidates = ["cpu", "cpuacct", "memory", "pids", "devices", "freezer", "cpuset", "blkio"]
            return Set(candidates.filter { hierarchies[$0] != nil })
        }
        let text = (try? Files.readText("\(hierarchies.root)/cgroup.controllers")) ?? ""
        return Set(text.split(whereSeparator: \.isWhitespace).map(String.init))
    }

    static func overlay() -> Report.Check {
        let known = (try? Files.readText("/proc/filesystems"))?.split(separator: "\n").contains {
            $0.hasSuffix("\toverlay")
        }
        if known == true { return .init("overlayfs", .ok, "known to the kernel") }
        if module("overlay") == .loadable { return .init("overlayfs", .ok, "a module that is loaded on first use") }
        return .init(
            "overlayfs", .failed, "this kernel does not have it",
            fix: "modprobe overlay, or use a kernel with CONFIG_OVERLAY_FS")
    }

    static func links() -> [Report.Check] {
        ["bridge", "veth"].map { name in
            switch module(name) {
            case .present: .init(name, .ok, "in the kernel")
            case .loadable: .init(name, .ok, "a module that is loaded on first use")
            case .unknown: .init(name, .ok, "expected in the kernel, which has no modules that would tell")
            case .absent:
                .init(
                    name, .failed, "this kernel does not have it",
                    fix: "install the kernel's modules, then modprobe \(name)")
            }
        }
    }

    private enum Presence { case present, loadable, absent, unknown }

    /// Drivers without parameters don't show when they are built in: the lists beside the modules name those.
    private static func module(_ name: String) -> Presence {
        if Files.exists("/sys/module/\(name)") { return .present }
        var host = utsname()
        uname(&host)
        let release = withUnsafePointer(to: &host.release) {
            $0.withMemoryRebound(to: CChar.self, capacity: 65) { String(cString: $0) }
        }
        let directory = "/lib/modules/\(release)"
        guard Files.exists("\(directory)/modules.dep") else { return .unknown }
        let lists = ["modules.builtin", "modules.dep"].compactMap { SmallFile.read("\(directory)/\($0)") }
        let entry = Array("/\(name).ko".utf8)
        var found = false
        for list in lists {
            list.forEachLine { line in
                let path = line.prefix { $0 != 0x3A }  // modules.dep: "path: what it needs"
                found = found || path.suffix(entry.count + 4).firstRange(of: entry) != nil  // .ko, .ko.xz, .ko.zst
            }
        }
        return found ? .loadable : .absent
    }
}

/// Whether KINA_HOME can hold what it must.
enum HomeChecks {
    private static let enough: UInt64 = 2 << 30

    static func examine(_ home: String) -> [Report.Check] {
        guard home.hasPrefix("/") else {
            return [
                .init(
                    "KINA_HOME", .failed, "'\(home)' is not an absolute path", fix: "set KINA_HOME to an absolute path")
            ]
        }
        let place = existing(home)
        guard Files.isDirectory(place) else {
            return [.init("KINA_HOME", .failed, "\(place) is not a directory", fix: "set KINA_HOME to a directory")]
        }
        guard access(place, W_OK | X_OK) == 0 else {
            return [
                .init(
                    "KINA_HOME", .failed, "\(place) can't be written",
                    fix: "run as root, or set KINA_HOME to another directory")
            ]
        }
        return [fileSystem(home, place), space(place)]
    }

    /// The directory, or what of its path exists already.
    private static func existing(_ path: String) -> String {
        var path = path
        while !Files.exists(path), let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            path = String(path[..<slash])
        }
        return Files.exists(path) ? path : "/"
    }

    private static func fileSystem(_ home: String, _ place: String) -> Report.Check {
        if type(of: place) == "overlay" {
            return .init(
                "KINA_HOME", .failed, "\(home) is on overlayfs, which can't hold another overlayfs's changes",
                fix: "set KINA_HOME to a directory on a disk or tmpfs, such as a volume")
        }
        return .init("KINA_HOME", .ok, home)
    }

    /// The file system's type, by the device number that mountinfo has too.
    static func type(of path: String) -> String? {
        var info = stat()
        guard stat(path, &info) == 0, let mounts = SmallFile.read("/proc/self/mountinfo") else { return nil }
        let number = Devices.number(UInt64(info.st_dev))
        let device = Array("\(number.major):\(number.minor)".utf8)
        var found: String?
        mounts.forEachLine { line in
            let fields = line.split(separator: 0x20)
            guard fields.count > 6, fields[2].elementsEqual(device),
                let dash = fields.firstIndex(where: { $0.elementsEqual([0x2D]) }),
                dash + 1 < fields.count
            else { return }
            found = String(decoding: fields[dash + 1], as: UTF8.self)
        }
        return found
    }

    private static func space(_ place: String) -> Report.Check {
        var info = statvfs()
        guard statvfs(place, &info) == 0 else { return .init("disk space", .warning, String(cString: strerror(errno))) }
        let free = UInt64(info.f_bavail) * UInt64(info.f_frsize)
        let text = "\(free >> 20) MiB free for \(place)"
        if free < enough {
            return .init(
                "disk space", .warning, "\(text): images and containers need room",
                fix: "free some, or run kina.prune(images=True)")
        }
        if info.f_files > 0, info.f_favail < 50_000 {
            return .init(
                "disk space", .warning, "\(info.f_favail) inodes free for \(place)",
                fix: "remove files that aren't needed")
        }
        return .init("disk space", .ok, text)
    }
}
