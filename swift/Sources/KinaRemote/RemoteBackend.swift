import KinaCore

/// A runtime in a process of its own, kina-vmd, over a Unix socket: documents as frames, descriptors passed.
///
/// The server is started when it is needed. A call that it dies under fails with UNAVAILABLE; the next one starts it
/// anew, and finds containers as they are.
public final class RemoteBackend: Backend {
    public let info: RuntimeInfo
    public let images: any ImageBackend
    public let pods: any PodBackend
    public let containers: any ContainerBackend
    public let processes: any ProcessBackend
    public let networks: any NetworkBackend
    public let volumes: any VolumeBackend
    private let link: Link

    public init(_ options: RuntimeOptions) throws {
        link = try Link(options)
        info = try link.open(.unbounded)
        images = RemoteImages(link: link)
        pods = RemotePods(link: link)
        containers = RemoteContainers(link: link)
        processes = RemoteProcesses(link: link)
        networks = RemoteNetworks(link: link)
        volumes = RemoteVolumes(link: link)
    }

    /// What it needs beside what its server needs. Starts nothing.
    public static func examine(_ options: RuntimeOptions, behind server: Report) -> Report {
        Report(backend: "remote", checks: [Launcher.check(options)] + server.checks)
    }

    public func events(_ filter: EventFilter, to fd: Int32, _ call: Call) throws {
        _ = try link.ask(Events(filter: filter), passing: [fd], call)
    }

    public func prune(_ request: PruneRequest, _ call: Call) throws -> PruneResult {
        try link.ask(Prune(request: request), call)
    }
}

struct RemoteImages: ImageBackend {
    let link: Link

    func pull(_ request: ImagePullRequest, _ call: Call) throws -> ImageStatus {
        var request = request
        request.authFile = try authFile(request.authFile)
        return try link.ask(ImagePull(request: request), call)
    }

    func push(_ request: ImagePushRequest, _ call: Call) throws {
        var request = request
        request.authFile = try authFile(request.authFile)
        _ = try link.ask(ImagePush(request: request), call)
    }

    func load(_ request: ImageLoadRequest, from fd: Int32, _ call: Call) throws -> ImageList {
        try link.ask(ImageLoad(request: request), passing: [fd], call)
    }

    func save(_ request: ImageSaveRequest, to fd: Int32, _ call: Call) throws {
        _ = try link.ask(ImageSave(request: request), passing: [fd], call)
    }

    func `import`(_ request: ImageImportRequest, from fd: Int32?, _ call: Call) throws -> ImageStatus {
        var request = request
        request.directory = try request.directory.map(absolute)
        return try link.ask(ImageImport(request: request), passing: [fd], call)
    }

    func tag(_ source: String, as target: String) throws -> ImageStatus {
        try link.ask(ImageTag(source: source, target: target))
    }

    func get(_ reference: String) throws -> ImageStatus { try link.ask(ImageGet(reference: reference)) }
    func list() throws -> ImageList { try link.ask(ImageListing()) }

    func delete(_ reference: String, force: Bool, _ call: Call) throws {
        _ = try link.ask(ImageDelete(reference: reference, force: force), call)
    }

    /// Nor is its environment ours.
    private func authFile(_ given: String?) throws -> String? {
        try (given ?? getenv("REGISTRY_AUTH_FILE").map { String(cString: $0) }).map(absolute)
    }

    /// The server's working directory is not ours.
    private func absolute(_ path: String) throws -> String {
        if path.hasPrefix("/") || path.isEmpty { return path }
        guard let here = getcwd(nil, 0) else { throw KinaError(Errno(errno, "getcwd"), "resolving '\(path)'") }
        defer { free(here) }
        return "\(String(cString: here))/\(path)"
    }
}

struct RemotePods: PodBackend {
    let link: Link

    func create(_ spec: PodSpec, _ call: Call) throws -> PodStatus { try link.ask(PodCreate(spec: spec), call) }

    func start(_ reference: String, _ call: Call) throws -> PodStatus {
        try link.ask(PodStart(reference: reference), call)
    }

    func stop(_ reference: String, timeoutMs: Int64?, _ call: Call) throws -> PodStatus {
        try link.ask(PodStop(reference: reference, timeoutMs: timeoutMs), call)
    }

    func delete(_ reference: String, force: Bool, _ call: Call) throws {
        _ = try link.ask(PodDelete(reference: reference, force: force), call)
    }

    func get(_ reference: String) throws -> PodStatus { try link.ask(PodGet(reference: reference)) }
    func list() throws -> PodList { try link.ask(PodListing()) }
}

struct RemoteProcesses: ProcessBackend {
    let link: Link

    func create(_ container: String, _ spec: ProcessSpec, _ streams: Streams, _ call: Call) throws -> String {
        try link.ask(ProcessCreate(container: container, spec: spec), passing: streams.all, call)
    }

    func wait(_ container: String, _ process: String?, _ call: Call) throws -> ExitStatus {
        try link.ask(ProcessWait(container: container, process: process), call)
    }

    func kill(_ container: String, _ process: String?, signal: String, _ call: Call) throws {
        _ = try link.ask(ProcessKill(container: container, process: process, signal: signal), call)
    }

    func resize(_ container: String, _ process: String?, rows: Int, columns: Int) throws {
        _ = try link.ask(ProcessResize(container: container, process: process, rows: rows, columns: columns))
    }

    func delete(_ container: String, _ process: String) throws {
        _ = try link.ask(ProcessDelete(container: container, process: process))
    }
}

struct RemoteNetworks: NetworkBackend {
    let link: Link

    func create(_ spec: NetworkSpec, _ call: Call) throws -> NetworkStatus {
        try link.ask(NetworkCreate(spec: spec), call)
    }

    func get(_ reference: String) throws -> NetworkStatus { try link.ask(NetworkGet(reference: reference)) }
    func list() throws -> NetworkList { try link.ask(NetworkListing()) }

    func delete(_ reference: String, _ call: Call) throws {
        _ = try link.ask(NetworkDelete(reference: reference), call)
    }
}

struct RemoteVolumes: VolumeBackend {
    let link: Link

    func create(_ spec: VolumeSpec, _ call: Call) throws -> VolumeStatus {
        try link.ask(VolumeCreate(spec: spec), call)
    }

    func get(_ reference: String) throws -> VolumeStatus { try link.ask(VolumeGet(reference: reference)) }
    func list() throws -> VolumeList { try link.ask(VolumeListing()) }

    func delete(_ reference: String, _ call: Call) throws {
        _ = try link.ask(VolumeDelete(reference: reference), call)
    }
}

extension Streams {
    /// As requests pass them.
    var all: [Int32?] { [stdin, stdout, stderr] }
}
