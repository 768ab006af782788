import KinaCore

/// A function of `Backend` as it crosses the socket: its arguments, what it answers, and how the server performs it.
///
/// A new one is a type in one of the Requests files, a case of `Method`, and the function of RemoteBackend that asks it.
public protocol Request: Codable, Sendable {
    associatedtype Answer: Codable & Sendable

    static var method: Method { get }
    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Answer
}

/// The answer of a function that answers nothing.
public struct Done: Codable, Sendable {
    public init() {}
}

/// The descriptors of a request, in the order in which its method takes them; nil is none.
public struct Passed: Sendable {
    let descriptors: [FileDescriptor?]

    subscript(_ place: Int) -> Int32? { descriptors.indices.contains(place) ? descriptors[place]?.raw : nil }

    func needed(_ place: Int = 0) throws -> Int32 {
        guard let fd = self[place] else { throw KinaError.invalid("descriptors[\(place)]", nil, "is missing") }
        return fd
    }

    /// Standard input, output and error.
    var streams: Streams { Streams(stdin: self[0], stdout: self[1], stderr: self[2]) }
}

/// All that a server can be asked.
public enum Method: String, Codable, Sendable, CaseIterable {
    case events, prune
    case imagePull, imagePush, imageLoad, imageSave, imageImport, imageTag, imageGet, imageList, imageDelete
    case podCreate, podStart, podStop, podDelete, podGet, podList
    case containerCreate, containerStart, containerStop, containerPause, containerResume, containerUpdate
    case containerDelete, containerGet, containerList, containerRun, containerLogs, containerAttach
    case containerCopyIn, containerCopyOut, containerStatistics, containerExited
    case processCreate, processWait, processKill, processResize, processDelete
    case networkCreate, networkGet, networkList, networkDelete
    case volumeCreate, volumeGet, volumeList, volumeDelete

    public var request: any Request.Type {
        switch self {
        case .events: Events.self
        case .prune: Prune.self
        case .imagePull: ImagePull.self
        case .imagePush: ImagePush.self
        case .imageLoad: ImageLoad.self
        case .imageSave: ImageSave.self
        case .imageImport: ImageImport.self
        case .imageTag: ImageTag.self
        case .imageGet: ImageGet.self
        case .imageList: ImageListing.self
        case .imageDelete: ImageDelete.self
        case .podCreate: PodCreate.self
        case .podStart: PodStart.self
        case .podStop: PodStop.self
        case .podDelete: PodDelete.self
        case .podGet: PodGet.self
        case .podList: PodListing.self
        case .containerCreate: ContainerCreate.self
        case .containerStart: ContainerStart.self
        case .containerStop: ContainerStop.self
        case .containerPause: ContainerPause.self
        case .containerResume: ContainerResume.self
        case .containerUpdate: ContainerUpdate.self
        case .containerDelete: ContainerDelete.self
        case .containerGet: ContainerGet.self
        case .containerList: ContainerListing.self
        case .containerRun: ContainerRun.self
        case .containerLogs: ContainerLogs.self
        case .containerAttach: ContainerAttach.self
        case .containerCopyIn: ContainerCopyIn.self
        case .containerCopyOut: ContainerCopyOut.self
        case .containerStatistics: ContainerStatistics.self
        case .containerExited: ContainerExited.self
        case .processCreate: ProcessCreate.self
        case .processWait: ProcessWait.self
        case .processKill: ProcessKill.self
        case .processResize: ProcessResize.self
        case .processDelete: ProcessDelete.self
        case .networkCreate: NetworkCreate.self
        case .networkGet: NetworkGet.self
        case .networkList: NetworkListing.self
        case .networkDelete: NetworkDelete.self
        case .volumeCreate: VolumeCreate.self
        case .volumeGet: VolumeGet.self
        case .volumeList: VolumeListing.self
        case .volumeDelete: VolumeDelete.self
        }
    }
}

/// A request with what bounds it.
public struct Envelope: Codable, Sendable {
    public let request: any Request
    /// CLOCK_MONOTONIC nanoseconds: one clock on both sides.
    public let deadline: Int64?
    /// For each descriptor that the method takes its place among those of the frame.
    public let descriptors: [Int?]
    /// The place of the one that receives progress.
    public let progress: Int?

    private enum CodingKeys: String, CodingKey { case method, arguments, deadline, descriptors, progress }

    /// Also says which descriptors go with it: each once, so that two streams that are one stay one.
    static func packing(_ request: any Request, _ taken: [Int32?], _ call: Call) -> (Envelope, [Int32]) {
        var passing: [Int32] = []
        func place(_ fd: Int32?) -> Int? {
            guard let fd else { return nil }
            if let known = passing.firstIndex(of: fd) { return known }
            passing.append(fd)
            return passing.count - 1
        }
        let places = taken.map(place)
        let progress = place(call.progressDescriptor)
        return (Envelope(request, deadline: call.deadline, descriptors: places, progress: progress), passing)
    }

    private init(_ request: any Request, deadline: Int64?, descriptors: [Int?], progress: Int?) {
        self.request = request
        self.deadline = deadline
        self.descriptors = descriptors
        self.progress = progress
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func arguments<R: Request>(_ type: R.Type) throws -> any Request {
            try container.decode(type, forKey: .arguments)
        }
        let type = try container.decode(Method.self, forKey: .method).request
        request = try arguments(type)
        deadline = try container.decodeIfPresent(Int64.self, forKey: .deadline)
        descriptors = try container.decode([Int?].self, forKey: .descriptors)
        progress = try container.decodeIfPresent(Int.self, forKey: .progress)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        func encode<R: Request>(_ request: R) throws {
            try container.encode(R.method, forKey: .method)
            try container.encode(request, forKey: .arguments)
        }
        try encode(request)
        try container.encodeIfPresent(deadline, forKey: .deadline)
        try container.encode(descriptors, forKey: .descriptors)
        try container.encodeIfPresent(progress, forKey: .progress)
    }

    /// What the frame brought, as the method takes it.
    public func passed(_ arrived: [FileDescriptor]) throws -> Passed {
        Passed(descriptors: try descriptors.map { try $0.map { try descriptor($0, arrived) } })
    }

    /// A call with this request's bounds; something else cancels it.
    public func call(_ arrived: [FileDescriptor]) throws -> Call {
        let left = deadline.map { max(0, ($0 - Clock.monotonic() + 999_999) / 1_000_000) } ?? -1
        return try Call(timeoutMs: left, progressFd: try progress.map { try descriptor($0, arrived).raw })
    }

    private func descriptor(_ place: Int, _ arrived: [FileDescriptor]) throws -> FileDescriptor {
        guard arrived.indices.contains(place) else {
            throw KinaError.invalid("descriptors", "\(place)", "is not among the \(arrived.count) that came")
        }
        return arrived[place]
    }
}
