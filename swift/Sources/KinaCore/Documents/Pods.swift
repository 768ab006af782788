/// What a pod should be: a sandbox that several containers share, which name it in their specs. Words of Kubernetes.
public struct PodSpec: Document {
    /// The document's version; a reader refuses what it does not know.
    public static let schema = 1

    public var schema = PodSpec.schema
    /// Unique; kina chooses one when absent.
    public var name: String?
    /// What it must be; a backend that has only the other refuses. Whatever the backend has when absent.
    public var isolation: ContainerSpec.Isolation?
    public var sandbox = SandboxSpec()
    /// Of a pod that is a virtual machine, its size; namespaces have none.
    public var cpus: Double?
    public var memory: Int64?
    public var labels: [String: String] = [:]

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable { case schema, name, isolation, sandbox, cpus, memory, labels }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        schema = try f.value(.schema, default: Self.schema)
        name = try f.optional(.name)
        isolation = try f.optional(.isolation)
        sandbox = try f.value(.sandbox, default: sandbox)
        cpus = try f.optional(.cpus)
        memory = try f.optional(.memory)
        labels = try f.value(.labels, default: labels)
    }
}

/// What a pod is.
public struct PodStatus: Document {
    public enum State: String, Choice {
        /// Containers can run in it.
        case ready
        /// It was stopped, or a reboot ended it: start brings it up again, and so does the start of a container in it.
        case stopped
        /// A delete has begun and not finished, or a creation was cut off: delete finishes it.
        case deleting
    }

    public var id: String
    public var name: String
    public var state: State
    public var createdAt: Int64
    public var startedAt: Int64?
    public var hostname: String
    public var addresses: [AddressStatus] = []
    /// With host ports resolved.
    public var ports: [PortSpec] = []
    public var labels: [String: String] = [:]
    /// The ids of its containers.
    public var containers: [String] = []
    public var spec: PodSpec

    public init(id: String, name: String, state: State, createdAt: Int64, hostname: String, spec: PodSpec) {
        self.id = id
        self.name = name
        self.state = state
        self.createdAt = createdAt
        self.hostname = hostname
        self.spec = spec
    }
}

public struct PodList: Document {
    public var pods: [PodStatus]
    public init(_ pods: [PodStatus]) { self.pods = pods }
}
