/// What kina knows about a pod: written before the first thing it names, removed after the last.
public struct PodRecord: Record {
    public var schema = 1
    public var id: String
    public var name: String
    /// As asked for, with the name filled in.
    public var spec: PodSpec
    public var hostname: String
    public var addresses: [AddressStatus] = []
    public var ports: [PortSpec] = []
    public var createdAt: Int64
    public var startedAt: Int64?
    /// Where it was brought up, wholly; absent while it is down.
    public var bootID: String?
    public var phase = ContainerRecord.Phase.creating
    /// Who must be alive for this record to mean anything: the creator while it creates.
    public var owner: ProcessIdentity?

    package init(_ spec: PodSpec, hostname: String? = nil, owner: ProcessIdentity?) {
        id = Identifier.random()
        name = spec.name ?? "pod-\(id.prefix(8))"
        self.spec = spec
        self.spec.name = name
        self.hostname = hostname ?? spec.sandbox.hostname ?? SandboxSpec.hostName(from: name, id: id)
        createdAt = Clock.now()
        self.owner = owner
    }

    /// Refuses what is half deleted or was never finished.
    package func requireWhole() throws {
        guard phase == .ready else {
            throw KinaError(
                .failedPrecondition, "pod '\(name)' was left half made or half deleted",
                hint: "delete it, or run kina.prune()")
        }
    }

    /// A delete has begun, or a creation will never be finished.
    package var isDoomed: Bool { phase == .deleting || owner.map { !$0.isAlive } ?? false }

    /// What it is; whether it is up, and what is in it, the backend knows.
    package func status(isUp: Bool, containers: [String]) -> PodStatus {
        var status = PodStatus(
            id: id, name: name, state: isDoomed ? .deleting : isUp ? .ready : .stopped, createdAt: createdAt,
            hostname: hostname, spec: spec)
        status.startedAt = startedAt
        status.addresses = addresses
        status.ports = ports
        status.labels = spec.labels
        status.containers = containers
        return status
    }
}

extension ContainerRecord {
    /// Makes it a member: what a container of its own sandbox has for itself is the pod's.
    package mutating func join(_ pod: PodRecord) {
        podID = pod.id
        spec.pod = pod.name
        spec.sandbox = pod.spec.sandbox
        hostname = pod.hostname
        addresses = pod.addresses
    }
}
