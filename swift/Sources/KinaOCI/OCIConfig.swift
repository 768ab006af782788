import KinaCore

/// Everything that goes into a bundle's config.json.
struct BundleRequest: Sendable {
    var record: ContainerRecord
    var paths: ContainerPaths
    /// The cgroup's path, as linux.cgroupsPath.
    var cgroup: String
    /// nil: the host's network, or with namespaces.network none a new empty one that the runtime makes.
    var netns: String?
    /// The sandbox of the pod that the container is in: its namespaces come before those.
    var shared: SandboxPaths?
}

/// The OCI runtime specification's documents (https://github.com/opencontainers/runtime-spec).
enum OCIConfig {
    /// config.json. The container's root is mounted already: its accounts say who a user is.
    static func bundle(_ request: BundleRequest, _ context: Context) throws -> [UInt8] {
        let record = request.record
        let namespaces = record.spec.sandbox.namespaces
        let capabilities = try CapabilitySets.of(record.spec)
        let process = OCIProcess(record: record, accounts: try Accounts(root: request.paths.rootfs))
        let mounts = OCIMounts(request: request, context: context)
        let spec = OCI.Spec(
            process: try process.container(capabilities),
            root: OCI.Root(path: request.paths.rootfs, readonly: record.spec.readOnlyRoot),
            // A shared one has its name already.
            hostname: namespaces.uts == .private && request.shared == nil ? record.hostname : nil,
            mounts: try mounts.all(),
            annotations: ["dev.kina.id": record.id, "dev.kina.name": record.name])
        var linux = try JSON.encode(try self.linux(request, mounts.rootPropagation, context))
        if let filter = try Seccomp.json(record.spec, capabilities: capabilities) {
            linux = addField("seccomp", filter, to: linux)
        }
        return addField("linux", linux, to: try JSON.encode(spec))
    }

    /// process.json for `runc exec --process`. `root` is the container's root directory as the host sees it.
    static func process(_ spec: ProcessSpec, in record: ContainerRecord, root: String, _ context: Context) throws
        -> [UInt8]
    {
        let process = OCIProcess(record: record, accounts: try Accounts(root: root))
        return try JSON.encode(try process.exec(spec, try CapabilitySets.of(record.spec)))
    }

    /// What `runc update --resources` reads.
    static func resources(_ spec: ResourcesSpec, _ context: Context) throws -> [UInt8] {
        try JSON.encode(try limits(spec, context))
    }

    private static func linux(_ request: BundleRequest, _ propagation: String?, _ context: Context) throws -> OCI.Linux
    {
        let spec = request.record.spec
        let devices = try Devices.of(spec)
        var resources = try limits(spec.resources, context)
        resources.devices = devices.rules
        return OCI.Linux(
            cgroupsPath: request.cgroup, namespaces: namespaces(request), resources: resources, devices: devices.nodes,
            sysctl: spec.sandbox.effectiveSysctls, maskedPaths: spec.privileged ? [] : maskedPaths,
            readonlyPaths: spec.privileged ? [] : readOnlyPaths + cgroupPaths(spec, context),
            rootfsPropagation: propagation)
    }

    /// On v1 the hierarchies are mounted in a tmpfs of the runtime's own making, which it leaves writable when they are
    /// not; it has no limit, and is seen by no one.
    private static func cgroupPaths(_ spec: ContainerSpec, _ context: Context) -> [String] {
        let place = "/sys/fs/cgroup"
        let isTheUsers = spec.mounts.contains { ($0.target + "/").hasPrefix(place + "/") }
        return context.cgroups == .v2 || spec.writableCgroups || isTheUsers ? [] : [place]
    }

    private static func namespaces(_ request: BundleRequest) -> [OCI.Namespace] {
        let modes = request.record.spec.sandbox.namespaces
        var result = [OCI.Namespace(type: "mount")]
        let shared = request.shared
        if modes.network != .host {
            result.append(OCI.Namespace(type: "network", path: shared?.netns ?? request.netns))
        }
        if modes.pid == .private { result.append(OCI.Namespace(type: "pid")) }
        if modes.ipc == .private { result.append(OCI.Namespace(type: "ipc", path: shared?.ipcns)) }
        if modes.uts == .private { result.append(OCI.Namespace(type: "uts", path: shared?.utsns)) }
        if modes.cgroup == .private { result.append(OCI.Namespace(type: "cgroup")) }
        return result
    }

    /// As Docker and containers-common have them: what tells about, or reaches, the host.
    static let maskedPaths = [
        "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
        "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
        "/sys/fs/selinux",
    ]
    static let readOnlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

    private static func limits(_ spec: ResourcesSpec, _ context: Context) throws -> OCI.Resources {
        var resources = OCI.Resources()
        if spec.cpus != nil || spec.cpuWeight != nil || spec.cpuset != nil {
            var cpu = OCI.CPU(cpus: spec.cpuset)
            if let cpus = spec.cpus {
                cpu.period = 100_000
                cpu.quota = Int64((cpus * 100_000).rounded())
            }
            if let weight = spec.cpuWeight {
                if context.cgroups == .v2 {
                    // Runtimes would squeeze shares into weights by a formula that makes 39 of the usual 100.
                    resources.unified = ["cpu.weight": "\(weight)"]
                } else {
                    cpu.shares = UInt64(max(2, weight * 1024 / 100))
                }
            }
            resources.cpu = cpu
        }
        if let memory = spec.memory {
            resources.memory = OCI.Memory(limit: memory, swap: try swap(spec, memory, context))
        } else if spec.memorySwap == -1 {
            resources.memory = OCI.Memory(swap: try swap(spec, nil, context))
        }
        if let pids = spec.pids { resources.pids = OCI.Pids(limit: pids) }
        return resources
    }

    /// The sum of memory and swap. Kernels can be built or booted without counting swap.
    private static func swap(_ spec: ResourcesSpec, _ memory: Int64?, _ context: Context) throws -> Int64? {
        if Cgroup.countsSwap(context.cgroups) { return spec.memorySwap ?? memory }
        guard let wanted = spec.memorySwap, wanted != -1 else { return nil }
        throw KinaError(
            .failedPrecondition, "resources.memorySwap '\(wanted)': this host's kernel does not limit swap",
            hint: "leave it out, or boot with swapaccount=1",
            details: ["field": "resources.memorySwap", "value": "\(wanted)"])
    }
}
