/// What a container is.
public struct ContainerStatus: Document, Dated {
    public enum State: String, Choice {
        /// Made, never started.
        case created
        case running
        case paused
        /// Its process has ended, or a reboot or crash ended it.
        case stopped
        /// A delete has begun and not finished, or a creation was cut off: delete finishes it.
        case deleting
    }

    public var id: String
    public var name: String
    /// The reference that was asked for.
    public var image: String
    /// The image's digest (its manifest's), which never changes under a container.
    public var imageDigest: String
    public var state: State
    /// It runs, but its supervisor is gone: no log, no attach, and its exit code won't be known.
    public var unsupervised = false
    public var pid: Int32?
    /// The last run's end; absent while it runs or when nobody saw it.
    public var exit: ExitStatus?
    public var createdAt: Int64
    public var startedAt: Int64?
    public var hostname: String
    public var addresses: [AddressStatus] = []
    /// With host ports resolved.
    public var ports: [PortSpec] = []
    /// The pod it is in: its addresses are the pod's.
    public var podID: String?
    public var labels: [String: String] = [:]
    /// Present in `get`, absent in `list`.
    public var spec: ContainerSpec?

    public init(
        id: String, name: String, image: String, imageDigest: String, state: State, createdAt: Int64, hostname: String
    ) {
        self.id = id
        self.name = name
        self.image = image
        self.imageDigest = imageDigest
        self.state = state
        self.createdAt = createdAt
        self.hostname = hostname
    }
}

public struct AddressStatus: Document {
    public var network: String
    public var networkID: String
    public var address: String
    public var prefixLength: Int
    public var gateway: String
    public var mac: String

    public init(network: String, networkID: String, address: String, prefixLength: Int, gateway: String, mac: String) {
        self.network = network
        self.networkID = networkID
        self.address = address
        self.prefixLength = prefixLength
        self.gateway = gateway
        self.mac = mac
    }
}

/// How a process ended.
public struct ExitStatus: Document {
    public enum Reason: String, Choice {
        case exited
        /// Ended by a signal: the code is 128 + its number.
        case signaled
        /// The kernel killed it for memory.
        case oom
        /// spec.timeoutMs or a call's deadline ended it.
        case timeout
        /// Nobody saw the end: the supervisor was killed, or the machine went down.
        case lost
    }

    /// Absent when lost.
    public var exitCode: Int32?
    public var reason: Reason
    public var finishedAt: Int64

    public init(exitCode: Int32?, reason: Reason, finishedAt: Int64) {
        self.exitCode = exitCode
        self.reason = reason
        self.finishedAt = finishedAt
    }
}

public struct ContainerList: Document {
    public var containers: [ContainerStatus]
    public init(_ containers: [ContainerStatus]) { self.containers = containers }
}

/// All that is given must match.
public struct ContainerFilter: Document {
    /// An empty value asks for the label's presence.
    public var labels: [String: String] = [:]
    public var states: [ContainerStatus.State] = []
    /// Names, ids or id prefixes, any of them.
    public var names: [String] = []

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable { case labels, states, names }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        labels = try f.value(.labels, default: labels)
        states = try f.value(.states, default: states)
        names = try f.value(.names, default: names)
    }
}

public struct LogRequest: Document {
    public enum Stream: String, Choice { case stdout, stderr }

    public var follow = false
    /// Nanoseconds since the epoch.
    public var since: Int64?
    public var until: Int64?
    /// The last lines only.
    public var tail: Int?
    /// Prefixes each line with its RFC 3339 time and a space.
    public var timestamps = false
    /// Empty: both.
    public var streams: [Stream] = []

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable { case follow, since, until, tail, timestamps, streams }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        follow = try f.value(.follow, default: follow)
        since = try f.optional(.since)
        until = try f.optional(.until)
        tail = try f.optional(.tail)
        timestamps = try f.value(.timestamps, default: timestamps)
        streams = try f.value(.streams, default: streams)
    }
}
