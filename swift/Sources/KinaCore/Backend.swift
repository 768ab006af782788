/// What drives containers. libkina puts one behind the C ABI; a socket server serves one; a CRI server uses one.
///
/// Every function blocks, and may be called from any thread. A `Call` bounds what can last: when it ends a function
/// early, what that function had begun is undone. File descriptors are borrowed.
public protocol Backend: Sendable {
    var info: RuntimeInfo { get }
    /// Whether something runs that would end with this process, and that no running container tells of.
    var holdsMachines: Bool { get }
    var images: any ImageBackend { get }
    var pods: any PodBackend { get }
    var containers: any ContainerBackend { get }
    var processes: any ProcessBackend { get }
    var networks: any NetworkBackend { get }
    var volumes: any VolumeBackend { get }

    /// Writes events as JSON lines until the call ends or the reader is gone.
    func events(_ filter: EventFilter, to fd: Int32, _ call: Call) throws
    func prune(_ request: PruneRequest, _ call: Call) throws -> PruneResult
}

extension Backend {
    public var holdsMachines: Bool { false }
}

public protocol ImageBackend: Sendable {
    func pull(_ request: ImagePullRequest, _ call: Call) throws -> ImageStatus
    func push(_ request: ImagePushRequest, _ call: Call) throws
    func load(_ request: ImageLoadRequest, from fd: Int32, _ call: Call) throws -> ImageList
    func save(_ request: ImageSaveRequest, to fd: Int32, _ call: Call) throws
    /// fd nil: request.directory.
    func `import`(_ request: ImageImportRequest, from fd: Int32?, _ call: Call) throws -> ImageStatus
    func tag(_ source: String, as target: String) throws -> ImageStatus
    func get(_ reference: String) throws -> ImageStatus
    func list() throws -> ImageList
    func delete(_ reference: String, force: Bool, _ call: Call) throws
}

/// Pods: sandboxes that several containers share. A lone container owns its own, which is not listed here.
public protocol PodBackend: Sendable {
    /// Made, and brought up: containers can be started in it.
    func create(_ spec: PodSpec, _ call: Call) throws -> PodStatus
    /// Brings it up again; its containers are started one by one.
    func start(_ reference: String, _ call: Call) throws -> PodStatus
    /// Stops its containers, then the sandbox. timeout nil: what the containers' specs say.
    func stop(_ reference: String, timeoutMs: Int64?, _ call: Call) throws -> PodStatus
    /// With its containers; FAILED_PRECONDITION while one runs, unless force.
    func delete(_ reference: String, force: Bool, _ call: Call) throws
    func get(_ reference: String) throws -> PodStatus
    func list() throws -> PodList
}

public protocol ContainerBackend: Sendable {
    func create(_ spec: ContainerSpec, _ call: Call) throws -> ContainerStatus
    func start(_ reference: String, _ call: Call) throws -> ContainerStatus
    /// timeout nil: the spec's own.
    func stop(_ reference: String, timeoutMs: Int64?, _ call: Call) throws -> ContainerStatus
    func pause(_ reference: String, _ call: Call) throws -> ContainerStatus
    func resume(_ reference: String, _ call: Call) throws -> ContainerStatus
    func update(_ reference: String, _ resources: ResourcesSpec, _ call: Call) throws -> ContainerStatus
    func delete(_ reference: String, force: Bool, _ call: Call) throws
    func get(_ reference: String) throws -> ContainerStatus
    func list(_ filter: ContainerFilter) throws -> ContainerList
    func run(_ spec: ContainerSpec, _ streams: Streams, _ call: Call) throws -> ExitStatus
    func logs(_ reference: String, _ request: LogRequest, _ streams: Streams, _ call: Call) throws
    func attach(_ reference: String, _ streams: Streams, _ call: Call) throws
    func copyIn(_ reference: String, path: String, from fd: Int32, _ call: Call) throws
    func copyOut(_ reference: String, path: String, to fd: Int32, _ call: Call) throws
    /// Calls `sample` for each figure set; false from it ends the series.
    func statistics(
        _ reference: String, intervalNs: Int64, _ call: Call, _ sample: (Statistics) -> Bool) throws
    /// The supervisor's notice that a container has ended.
    func exited(_ id: String) throws
}

/// `process` nil means the container's own.
public protocol ProcessBackend: Sendable {
    func create(_ container: String, _ spec: ProcessSpec, _ streams: Streams, _ call: Call) throws -> String
    func wait(_ container: String, _ process: String?, _ call: Call) throws -> ExitStatus
    func kill(_ container: String, _ process: String?, signal: String, _ call: Call) throws
    func resize(_ container: String, _ process: String?, rows: Int, columns: Int) throws
    func delete(_ container: String, _ process: String) throws
}

public protocol NetworkBackend: Sendable {
    func create(_ spec: NetworkSpec, _ call: Call) throws -> NetworkStatus
    func get(_ reference: String) throws -> NetworkStatus
    func list() throws -> NetworkList
    func delete(_ reference: String, _ call: Call) throws
}

public protocol VolumeBackend: Sendable {
    func create(_ spec: VolumeSpec, _ call: Call) throws -> VolumeStatus
    func get(_ reference: String) throws -> VolumeStatus
    func list() throws -> VolumeList
    func delete(_ reference: String, _ call: Call) throws
}

/// Borrowed file descriptors; nil is /dev/null.
public struct Streams: Sendable {
    public var stdin: Int32?
    public var stdout: Int32?
    public var stderr: Int32?

    public init(stdin: Int32? = nil, stdout: Int32? = nil, stderr: Int32? = nil) {
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
    }
}

/// One sample of a container's figures; nil is what could not be read.
public struct Statistics: Sendable {
    public var timestampNs: UInt64
    public var cpuNs: UInt64?
    public var cpuModesNs: (user: UInt64, system: UInt64)?
    public var memory: (bytes: UInt64, workingSet: UInt64)?
    public var memoryLimit: UInt64?
    public var pids: UInt64?
    public var pidsLimit: UInt64?
    public var network: (rxBytes: UInt64, txBytes: UInt64, rxPackets: UInt64, txPackets: UInt64)?
    public var blockIO: (readBytes: UInt64, writeBytes: UInt64)?
    public var oomKills: UInt64?

    public init(timestampNs: UInt64) { self.timestampNs = timestampNs }
}
