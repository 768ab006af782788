import KinaCore

/// Device nodes of the host for containers, and the rules of the devices cgroup.
enum Devices {
    /// Nothing but the usual ones (null, zero, full, random, urandom, tty, ptmx, pts), which every runtime adds by
    /// itself; nodes may be made, but a node that isn't allowed can't be opened.
    static let denyAll = [
        OCI.DeviceRule(allow: false, access: "rwm"),
        OCI.DeviceRule(allow: true, type: "c", access: "m"),
        OCI.DeviceRule(allow: true, type: "b", access: "m"),
    ]
    static let allowAll = [OCI.DeviceRule(allow: true, access: "rwm")]

    static func of(_ spec: ContainerSpec) throws -> (nodes: [OCI.Device], rules: [OCI.DeviceRule]) {
        let asked = try spec.devices.enumerated().map { index, device in
            try node(device, field: "devices[\(index)].source")
        }
        guard spec.privileged else {
            let rules = zip(asked, spec.devices).map { node, device in
                OCI.DeviceRule(
                    allow: true, type: node.type, major: node.major, minor: node.minor, access: device.permissions)
            }
            return (asked, denyAll + rules)
        }
        let taken = Set(asked.map(\.path))
        return (asked + hostNodes().filter { !taken.contains($0.path) }, allowAll)
    }

    private static func node(_ device: DeviceSpec, field: String) throws -> OCI.Device {
        var info = stat()
        guard stat(device.source, &info) == 0 else {
            throw KinaError.invalid(
                field, device.source, String(cString: strerror(errno)), hint: "name a device node of the host")
        }
        guard let node = node(device.target ?? device.source, info) else {
            throw KinaError.invalid(
                field, device.source, "is not a device node",
                hint: "mount files and directories with a bind mount instead")
        }
        return node
    }

    private static func node(_ path: String, _ info: stat) -> OCI.Device? {
        let type: String
        switch info.st_mode & S_IFMT {
        case S_IFCHR: type = "c"
        case S_IFBLK: type = "b"
        default: return nil
        }
        let number = number(UInt64(info.st_rdev))
        return OCI.Device(
            type: type, path: path, major: number.major, minor: number.minor, fileMode: info.st_mode & 0o7777,
            uid: info.st_uid, gid: info.st_gid)
    }

    /// gnu_dev_major and gnu_dev_minor, which are macros in C.
    static func number(_ device: UInt64) -> (major: Int64, minor: Int64) {
        (Int64((device >> 8 & 0xfff) | (device >> 32 & ~0xfff)), Int64((device & 0xff) | (device >> 12 & ~0xff)))
    }

    /// What the runtime makes or mounts itself, and the host's terminals.
    private static let skipped: Set<String> = [
        "/dev/console", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/ptmx", "/dev/null", "/dev/zero",
        "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/.lxc", "/dev/.lxd-mounts", "/dev/.udev",
    ]

    /// Every node beneath /dev; links are not followed.
    private static func hostNodes(_ directory: String = "/dev") -> [OCI.Device] {
        ((try? Files.list(directory)) ?? []).sorted().flatMap { name -> [OCI.Device] in
            let path = "\(directory)/\(name)"
            var info = stat()
            if skipped.contains(path) || lstat(path, &info) != 0 { return [] }
            if info.st_mode & S_IFMT == S_IFDIR { return hostNodes(path) }
            return node(path, info).map { [$0] } ?? []
        }
    }
}
