/// What kina knows about a container: written before the first thing it names, removed after the last.
public struct ContainerRecord: Record {
    /// A run of the container's process, from the moment before it starts.
    public struct Run: Document {
        /// Where it ran: after a reboot nothing of it is left.
        public var bootID: String
        public var startedAt: Int64
        /// The container's first process; of a virtual machine, the server that holds it. Absent while it is being
        /// started.
        public var process: ProcessIdentity?
        /// conmon, or for the short way of `run` the guard that ends the container with its caller.
        public var supervisor: ProcessIdentity?

        public init(bootID: String, startedAt: Int64, process: ProcessIdentity? = nil) {
            self.bootID = bootID
            self.startedAt = startedAt
            self.process = process
        }
    }

    /// A volume or bind mount with its source resolved.
    public struct ResolvedMount: Document {
        public var spec: MountSpec
        /// The path on the host; absent for tmpfs.
        public var source: String?
        public var volumeID: String?

        public init(spec: MountSpec, source: String?, volumeID: String? = nil) {
            self.spec = spec
            self.source = source
            self.volumeID = volumeID
        }
    }

    public enum Phase: String, Choice { case creating, ready, deleting }

    public var schema = 1
    public var id: String
    public var name: String
    /// As asked for, with the name filled in.
    public var spec: ContainerSpec
    public var imageDigest: String
    public var imageConfig: ImageConfig
    public var hostname: String
    public var addresses: [AddressStatus] = []
    public var ports: [PortSpec] = []
    public var mounts: [ResolvedMount] = []
    /// The pod whose sandbox it shares: addresses, host name and `spec.sandbox` are the pod's then, and no port is its own.
    public var podID: String?
    public var createdAt: Int64
    /// The current run, or the last one until its end is recorded.
    public var run: Run?
    public var lastStart: Int64?
    /// The end of the last run.
    public var exit: ExitStatus?
    public var phase = Phase.creating
    /// Who must be alive for this record to mean anything: the creator while it creates, the caller of a short run.
    public var owner: ProcessIdentity?

    public init(
        id: String, name: String, spec: ContainerSpec, imageDigest: String, imageConfig: ImageConfig,
        hostname: String, createdAt: Int64
    ) {
        self.id = id
        self.name = name
        self.spec = spec
        self.imageDigest = imageDigest
        self.imageConfig = imageConfig
        self.hostname = hostname
        self.createdAt = createdAt
    }
}
