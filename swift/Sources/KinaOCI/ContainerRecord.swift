import KinaCore

/// Where a container's files are.
public struct ContainerPaths: Sendable {
    public let id: String
    /// In KINA_HOME: what outlives a reboot.
    public let state: String
    /// In /run: pids, sockets, mounts.
    public let run: String
    /// The OCI runtime's own state (`--root`).
    public let runtimeRoot: String

    public init(_ context: Context, _ id: String) {
        self.id = id
        state = "\(context.home)/containers/\(id)"
        run = "\(context.run)/c/\(id)"
        runtimeRoot = "\(context.run)/oci"
    }

    /// overlayfs: what the container has changed.
    public var upper: String { "\(state)/upper" }
    public var work: String { "\(state)/work" }
    public var hosts: String { "\(state)/hosts" }
    public var hostnameFile: String { "\(state)/hostname" }
    public var resolvConf: String { "\(state)/resolv.conf" }
    /// In the CRI log format.
    public var log: String { "\(state)/log" }
    /// The bundle: config.json, and rootfs, where the overlay is mounted.
    public var bundle: String { "\(run)/bundle" }
    public var rootfs: String { "\(run)/bundle/rootfs" }
    public var netns: String { "\(run)/net" }
    public var pidFile: String { "\(run)/pid" }
    public var supervisorPidFile: String { "\(run)/conmon.pid" }
    /// conmon writes `<exits>/<id>` with the exit code.
    public var exits: String { "\(run)/exit" }
    /// conmon's --socket-dir-path.
    public var sockets: String { "\(run)/s" }
    /// One directory a process that `exec` started.
    public var processes: String { "\(run)/p" }
}
