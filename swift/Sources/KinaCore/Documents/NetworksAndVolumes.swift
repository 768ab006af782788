public struct NetworkSpec: Document {
    public var name: String
    /// "10.90.1.0/24"; a free one of kina's choice when absent.
    public var subnet: String?
    /// The first address of the subnet when absent.
    public var gateway: String?
    /// No way to the outside.
    public var isInternal = false
    public var mtu: Int?
    public var labels: [String: String] = [:]

    public init(name: String) { self.name = name }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name, subnet, gateway
        case isInternal = "internal"
        case mtu, labels
    }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        name = try f.required(.name)
        subnet = try f.optional(.subnet)
        gateway = try f.optional(.gateway)
        isInternal = try f.value(.isInternal, default: isInternal)
        mtu = try f.optional(.mtu)
        labels = try f.value(.labels, default: labels)
    }
}

public struct NetworkStatus: Document {
    public var id: String
    public var name: String
    public var subnet: String
    public var gateway: String
    public var isInternal: Bool
    public var mtu: Int
    /// The host's bridge.
    public var interface: String
    public var labels: [String: String]
    public var createdAt: Int64
    /// Addresses in use, each with the id of its container or pod.
    public var leases: [String: String]

    enum CodingKeys: String, CodingKey {
        case id, name, subnet, gateway
        case isInternal = "internal"
        case mtu, interface, labels, createdAt, leases
    }

    public init(
        id: String, name: String, subnet: String, gateway: String, isInternal: Bool, mtu: Int, interface: String,
        labels: [String: String], createdAt: Int64, leases: [String: String]
    ) {
        self.id = id
        self.name = name
        self.subnet = subnet
        self.gateway = gateway
        self.isInternal = isInternal
        self.mtu = mtu
        self.interface = interface
        self.labels = labels
        self.createdAt = createdAt
        self.leases = leases
    }
}

public struct NetworkList: Document {
    public var networks: [NetworkStatus]
    public init(_ networks: [NetworkStatus]) { self.networks = networks }
}

public struct VolumeSpec: Document {
    /// kina chooses one when absent.
    public var name: String?
    public var labels: [String: String] = [:]

    public init(name: String?) { self.name = name }

    enum CodingKeys: String, CodingKey, CaseIterable { case name, labels }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        name = try f.optional(.name)
        labels = try f.value(.labels, default: labels)
    }
}

public struct VolumeStatus: Document {
    public var id: String
    public var name: String
    /// Where its files are on the host.
    public var path: String
    public var labels: [String: String]
    public var createdAt: Int64
    /// Made for one container, deleted with it.
    public var anonymous: Bool
    /// The ids of the containers that mount it.
    public var usedBy: [String]

    public init(
        id: String, name: String, path: String, labels: [String: String], createdAt: Int64, anonymous: Bool,
        usedBy: [String]
    ) {
        self.id = id
        self.name = name
        self.path = path
        self.labels = labels
        self.createdAt = createdAt
        self.anonymous = anonymous
        self.usedBy = usedBy
    }
}

public struct VolumeList: Document {
    public var volumes: [VolumeStatus]
    public init(_ volumes: [VolumeStatus]) { self.volumes = volumes }
}

extension [String: String] {
    /// All that is wanted; an empty value asks for the label's presence.
    package func contain(_ wanted: [String: String]) -> Bool {
        wanted.allSatisfy { name, value in self[name].map { value.isEmpty || $0 == value } ?? false }
    }
}
