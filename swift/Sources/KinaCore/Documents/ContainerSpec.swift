/// What a container should be. Field names follow the OCI image and runtime specifications and Kubernetes.
public struct ContainerSpec: Document {
    public enum PullPolicy: String, Choice { case missing, always, never }
    /// What is between a container and the host: a kernel of its own in a virtual machine, or the host's kernel.
    public enum Isolation: String, Choice { case vm, namespaces }

    /// The document's version; a reader refuses what it does not know.
    public static let schema = 1

    public var schema = ContainerSpec.schema
    /// Unique; kina chooses one when absent.
    public var name: String?
    /// An image reference, or the id or digest of an image that is here.
    public var image: String
    public var pullPolicy = PullPolicy.missing
    /// The pod whose sandbox it shares, by a reference; `sandbox` is the pod's affair then.
    public var pod: String?
    /// What it must be; a backend that has only the other refuses. Whatever the backend has when absent.
    public var isolation: Isolation?
    /// The container's own sandbox; absent means all defaults.
    public var sandbox = SandboxSpec()
    /// Replaces the image's entrypoint; an empty list means none.
    public var entrypoint: [String]?
    /// Replaces the image's command.
    public var command: [String]?
    /// On top of the image's.
    public var env: [String: String] = [:]
    public var workdir: String?
    /// "name", "uid", "name:group" or "uid:gid"; the image's user when absent.
    public var user: String?
    /// Supplementary groups, names or numbers.
    public var groups: [String] = []
    public var labels: [String: String] = [:]
    public var terminal = false
    /// Keeps standard input open for `attach`.
    public var stdin = false
    /// Runs a small init as process 1 that reaps orphans and forwards signals.
    public var `init` = false
    public var privileged = false
    public var readOnlyRoot = false
    public var noNewPrivileges = true
    /// Capability names with or without CAP_, or ALL.
    public var capAdd: [String] = []
    public var capDrop: [String] = []
    public var seccomp = SeccompSpec()
    public var rlimits: [RlimitSpec] = []
    public var devices: [DeviceSpec] = []
    public var mounts: [MountSpec] = []
    public var resources = ResourcesSpec()
    /// A signal's name or number; the image's, else TERM.
    public var stopSignal: String?
    /// Seconds between the stop signal and KILL.
    public var stopTimeout: Double = 10
    /// Bytes of log kept, in at most two files; older lines go.
    public var logLimit: Int64 = 64 << 20
    /// A cgroup file system that the container may write, for what manages cgroups itself (systemd).
    public var writableCgroups = false
    /// Deletes the container when it ends.
    public var remove = false

    public init(image: String) { self.image = image }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case schema, name, image, pullPolicy, pod, isolation, sandbox, entrypoint, command, env, workdir, user, groups,
            labels
        case terminal, stdin, `init`, privileged, readOnlyRoot, noNewPrivileges, capAdd, capDrop, seccomp, rlimits
        case devices, mounts, resources, stopSignal, stopTimeout, logLimit, writableCgroups, remove
    }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        schema = try f.value(.schema, default: Self.schema)
        name = try f.optional(.name)
        image = try f.required(.image)
        pullPolicy = try f.value(.pullPolicy, default: pullPolicy)
        pod = try f.optional(.pod)
        isolation = try f.optional(.isolation)
        sandbox = try f.value(.sandbox, default: sandbox)
        entrypoint = try f.optional(.entrypoint)
        command = try f.optional(.command)
        env = try f.value(.env, default: env)
        workdir = try f.optional(.workdir)
        user = try f.optional(.user)
        groups = try f.value(.groups, default: groups)
        labels = try f.value(.labels, default: labels)
        terminal = try f.value(.terminal, default: terminal)
        stdin = try f.value(.stdin, default: stdin)
        `init` = try f.value(.`init`, default: `init`)
        privileged = try f.value(.privileged, default: privileged)
        readOnlyRoot = try f.value(.readOnlyRoot, default: readOnlyRoot)
        noNewPrivileges = try f.value(.noNewPrivileges, default: noNewPrivileges)
        capAdd = try f.value(.capAdd, default: capAdd)
        capDrop = try f.value(.capDrop, default: capDrop)
        seccomp = try f.value(.seccomp, default: seccomp)
        rlimits = try f.value(.rlimits, default: rlimits)
        devices = try f.value(.devices, default: devices)
        mounts = try f.value(.mounts, default: mounts)
        resources = try f.value(.resources, default: resources)
        stopSignal = try f.optional(.stopSignal)
        stopTimeout = try f.value(.stopTimeout, default: stopTimeout)
        logLimit = try f.value(.logLimit, default: logLimit)
        writableCgroups = try f.value(.writableCgroups, default: writableCgroups)
        remove = try f.value(.remove, default: remove)
    }
}

/// What a container's surroundings should be: what the members of a pod share.
public struct SandboxSpec: Document {
    /// The container's name, cut to what a host name may be, when absent.
    public var hostname: String?
    /// None: the default network. Ignored unless namespaces.network is private.
    public var networks: [NetworkAttachmentSpec] = []
    public var ports: [PortSpec] = []
    public var dns = DNSSpec()
    /// Further lines of /etc/hosts: name to address.
    public var extraHosts: [String: String] = [:]
    public var sysctls: [String: String] = [:]
    /// Bytes of /dev/shm.
    public var shmSize: Int64 = 64 << 20
    public var namespaces = NamespacesSpec()

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable {
        case hostname, networks, ports, dns, extraHosts, sysctls, shmSize, namespaces
    }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        hostname = try f.optional(.hostname)
        networks = try f.value(.networks, default: networks)
        ports = try f.value(.ports, default: ports)
        dns = try f.value(.dns, default: dns)
        extraHosts = try f.value(.extraHosts, default: extraHosts)
        sysctls = try f.value(.sysctls, default: sysctls)
        shmSize = try f.value(.shmSize, default: shmSize)
        namespaces = try f.value(.namespaces, default: namespaces)
    }
}

/// Which of the host's namespaces the sandbox shares.
public struct NamespacesSpec: Document {
    public enum Mode: String, Choice { case `private`, host }
    public enum Network: String, Choice { case `private`, host, none }

    public var network = Network.private
    public var pid = Mode.private
    public var ipc = Mode.private
    public var uts = Mode.private
    public var cgroup = Mode.private

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable { case network, pid, ipc, uts, cgroup }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        network = try f.value(.network, default: network)
        pid = try f.value(.pid, default: pid)
        ipc = try f.value(.ipc, default: ipc)
        uts = try f.value(.uts, default: uts)
        cgroup = try f.value(.cgroup, default: cgroup)
    }
}

public struct NetworkAttachmentSpec: Document {
    /// A network's reference.
    public var network: String
    /// A fixed IPv4 address inside the network's subnet.
    public var address: String?
    /// Further names on this network.
    public var aliases: [String] = []

    public init(network: String, address: String? = nil, aliases: [String] = []) {
        self.network = network
        self.address = address
        self.aliases = aliases
    }

    enum CodingKeys: String, CodingKey, CaseIterable { case network, address, aliases }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        network = try f.required(.network)
        address = try f.optional(.address)
        aliases = try f.value(.aliases, default: aliases)
    }
}

public struct PortSpec: Document {
    public enum `Protocol`: String, Choice { case tcp, udp }

    public var containerPort: Int
    /// 0: a free port of kina's choice, kept for the container's life.
    public var hostPort = 0
    /// An IPv4 address of the host; 0.0.0.0 means every one.
    public var hostAddress = "127.0.0.1"
    public var `protocol` = Protocol.tcp

    enum CodingKeys: String, CodingKey, CaseIterable { case containerPort, hostPort, hostAddress, `protocol` }

    public init(containerPort: Int, hostPort: Int = 0) {
        self.containerPort = containerPort
        self.hostPort = hostPort
    }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        containerPort = try f.required(.containerPort)
        hostPort = try f.value(.hostPort, default: hostPort)
        hostAddress = try f.value(.hostAddress, default: hostAddress)
        `protocol` = try f.value(.`protocol`, default: `protocol`)
    }
}

/// resolv.conf(5). Empty servers: the network's own resolver, which knows the containers' names.
public struct DNSSpec: Document {
    public var servers: [String] = []
    public var search: [String] = []
    public var options: [String] = []

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable { case servers, search, options }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        servers = try f.value(.servers, default: servers)
        search = try f.value(.search, default: search)
        options = try f.value(.options, default: options)
    }
}

public struct SeccompSpec: Document {
    public enum Profile: String, Choice { case `default`, unconfined, custom }

    /// `default` is the profile that Podman and CRI-O use.
    public var profile = Profile.default
    /// With `custom`: a profile's JSON text, in Docker's or the OCI runtime specification's form.
    public var json: String?

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable { case profile, json }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        profile = try f.value(.profile, default: profile)
        json = try f.optional(.json)
    }
}

public struct RlimitSpec: Document {
    /// "nofile", "nproc", … as in setrlimit(2), lower case without RLIMIT_.
    public var type: String
    public var soft: UInt64
    public var hard: UInt64

    enum CodingKeys: String, CodingKey, CaseIterable { case type, soft, hard }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        type = try f.required(.type)
        soft = try f.required(.soft)
        hard = try f.value(.hard, default: soft)
    }
}

public struct DeviceSpec: Document {
    /// A device node on the host.
    public var source: String
    /// Where it appears in the container; the same path when absent.
    public var target: String?
    /// Any of r, w and m.
    public var permissions = "rwm"

    enum CodingKeys: String, CodingKey, CaseIterable { case source, target, permissions }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        source = try f.required(.source)
        target = try f.optional(.target)
        permissions = try f.value(.permissions, default: permissions)
    }
}

public struct MountSpec: Document {
    public enum Kind: String, Choice { case bind, volume, tmpfs }

    public var type: Kind
    /// A path of the host for bind, a volume's name for volume (absent: an anonymous one, deleted with the
    /// container), absent for tmpfs.
    public var source: String?
    /// An absolute path in the container.
    public var target: String
    public var readOnly = false
    /// Further mount options, as mount(8) spells them.
    public var options: [String] = []
    /// tmpfs: bytes.
    public var size: Int64?
    /// volume: an empty volume is first filled with what the image has at the target.
    public var copyUp = true

    enum CodingKeys: String, CodingKey, CaseIterable { case type, source, target, readOnly, options, size, copyUp }

    public init(type: Kind, source: String?, target: String) {
        self.type = type
        self.source = source
        self.target = target
    }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        type = try f.required(.type)
        source = try f.optional(.source)
        target = try f.required(.target)
        readOnly = try f.value(.readOnly, default: readOnly)
        options = try f.value(.options, default: options)
        size = try f.optional(.size)
        copyUp = try f.value(.copyUp, default: copyUp)
    }
}

/// Limits, all optional; absent means unlimited in a container's spec and unchanged in an update.
public struct ResourcesSpec: Document {
    /// CPUs' worth of time, 1.5 for one and a half.
    public var cpus: Double?
    /// Relative share under contention, 1 to 10000, 100 being usual (cgroup v2's cpu.weight).
    public var cpuWeight: Int?
    /// "0-2,4": the CPUs to run on.
    public var cpuset: String?
    /// Bytes.
    public var memory: Int64?
    /// Bytes of memory and swap together; -1 for unlimited swap. The same as memory when only that is given.
    public var memorySwap: Int64?
    public var pids: Int64?

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable { case cpus, cpuWeight, cpuset, memory, memorySwap, pids }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        cpus = try f.optional(.cpus)
        cpuWeight = try f.optional(.cpuWeight)
        cpuset = try f.optional(.cpuset)
        memory = try f.optional(.memory)
        memorySwap = try f.optional(.memorySwap)
        pids = try f.optional(.pids)
    }
}

/// A further process in a running container.
public struct ProcessSpec: Document {
    public var args: [String]
    /// On top of the container's.
    public var env: [String: String] = [:]
    public var workdir: String?
    public var user: String?
    public var terminal = false
    public var privileged = false
    /// Milliseconds after which the process and its children are killed.
    public var timeoutMs: Int64?

    public init(args: [String]) { self.args = args }

    enum CodingKeys: String, CodingKey, CaseIterable { case args, env, workdir, user, terminal, privileged, timeoutMs }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        args = try f.required(.args)
        env = try f.value(.env, default: env)
        workdir = try f.optional(.workdir)
        user = try f.optional(.user)
        terminal = try f.value(.terminal, default: terminal)
        privileged = try f.value(.privileged, default: privileged)
        timeoutMs = try f.optional(.timeoutMs)
    }
}
