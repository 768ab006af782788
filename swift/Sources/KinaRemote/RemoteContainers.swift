import KinaCore

struct RemoteContainers: ContainerBackend {
    let link: Link

    func create(_ spec: ContainerSpec, _ call: Call) throws -> ContainerStatus {
        try link.ask(ContainerCreate(spec: spec), call)
    }

    func start(_ reference: String, _ call: Call) throws -> ContainerStatus {
        try link.ask(ContainerStart(reference: reference), call)
    }

    func stop(_ reference: String, timeoutMs: Int64?, _ call: Call) throws -> ContainerStatus {
        try link.ask(ContainerStop(reference: reference, timeoutMs: timeoutMs), call)
    }

    func pause(_ reference: String, _ call: Call) throws -> ContainerStatus {
        try link.ask(ContainerPause(reference: reference), call)
    }

    func resume(_ reference: String, _ call: Call) throws -> ContainerStatus {
        try link.ask(ContainerResume(reference: reference), call)
    }

    func update(_ reference: String, _ resources: ResourcesSpec, _ call: Call) throws -> ContainerStatus {
        try link.ask(ContainerUpdate(reference: reference, resources: resources), call)
    }

    func delete(_ reference: String, force: Bool, _ call: Call) throws {
        _ = try link.ask(ContainerDelete(reference: reference, force: force), call)
    }

    func get(_ reference: String) throws -> ContainerStatus { try link.ask(ContainerGet(reference: reference)) }
    func list(_ filter: ContainerFilter) throws -> ContainerList { try link.ask(ContainerListing(filter: filter)) }

    func run(_ spec: ContainerSpec, _ streams: Streams, _ call: Call) throws -> ExitStatus {
        try link.ask(ContainerRun(spec: spec), passing: streams.all, call)
    }

    func logs(_ reference: String, _ request: LogRequest, _ streams: Streams, _ call: Call) throws {
        _ = try link.ask(ContainerLogs(reference: reference, request: request), passing: streams.all, call)
    }

    func attach(_ reference: String, _ streams: Streams, _ call: Call) throws {
        _ = try link.ask(ContainerAttach(reference: reference), passing: streams.all, call)
    }

    func copyIn(_ reference: String, path: String, from fd: Int32, _ call: Call) throws {
        _ = try link.ask(ContainerCopyIn(reference: reference, path: path), passing: [fd], call)
    }

    func copyOut(_ reference: String, path: String, to fd: Int32, _ call: Call) throws {
        _ = try link.ask(ContainerCopyOut(reference: reference, path: path), passing: [fd], call)
    }

    func exited(_ id: String) throws { _ = try link.ask(ContainerExited(id: id)) }

    func statistics(_ reference: String, intervalNs: Int64, _ call: Call, _ sample: (Statistics) -> Bool) throws {
        let series = try doing("making a pipe for figures") { try SampleSeries() }
        let request = ContainerStatistics(reference: reference, intervalNs: intervalNs)
        try withoutActuallyEscaping(sample) { sample in
            let watch = Connection.Watch(fd: series.output.raw) { try series.read(sample) }
            do {
                _ = try link.ask(request, passing: [series.input.raw], call, watch: watch)
                _ = try series.read(sample)
            } catch let error as KinaError where error.code == .cancelled && series.isEnough {
                // That was us.
            }
        }
    }
}

/// The pipe that figures come through. It is short: the server, which can't know how many are wanted, runs ahead of
/// the reader by what fits.
private final class SampleSeries {
    let output: FileDescriptor
    let input: FileDescriptor
    private(set) var isEnough = false

    init() throws {
        (output, input) = try FileDescriptor.pipe()
        HostSystem.shortenPipe(input.raw)
        for fd in [output, input] {
            _ = try attempt("fcntl") { fcntl(fd.raw, F_SETFL, fcntl(fd.raw, F_GETFL) | O_NONBLOCK) }
        }
    }

    /// Hands on what is there. false: that was enough.
    func read(_ sample: (Statistics) -> Bool) throws -> Bool {
        while !isEnough, let bytes = try output.read(64 * SampleRecord.size), !bytes.isEmpty {
            for start in stride(from: 0, to: bytes.count, by: SampleRecord.size) where !isEnough {
                isEnough = !sample(SampleRecord(bytes[start...]).sample)
            }
        }
        return !isEnough
    }
}
