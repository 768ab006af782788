import KinaCore

// The runtime's own functions, and those of sandboxes, networks and volumes.

/// Passes where events go.
struct Events: Request {
    static let method = Method.events
    let filter: EventFilter

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.events(filter, to: try passed.needed(), call)
        return Done()
    }
}

struct Prune: Request {
    static let method = Method.prune
    let request: PruneRequest

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> PruneResult {
        try backend.prune(request, call)
    }
}

// MARK: Sandboxes

struct SandboxCreate: Request {
    static let method = Method.sandboxCreate
    let name: String
    let spec: SandboxSpec

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> String {
        try backend.sandboxes.create(name, spec, call)
    }
}

struct SandboxStop: Request {
    static let method = Method.sandboxStop
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.sandboxes.stop(reference, call)
        return Done()
    }
}

struct SandboxDelete: Request {
    static let method = Method.sandboxDelete
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.sandboxes.delete(reference, call)
        return Done()
    }
}

struct SandboxListing: Request {
    static let method = Method.sandboxList

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> [String] {
        try backend.sandboxes.list()
    }
}

// MARK: Networks

struct NetworkCreate: Request {
    static let method = Method.networkCreate
    let spec: NetworkSpec

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> NetworkStatus {
        try backend.networks.create(spec, call)
    }
}

struct NetworkGet: Request {
    static let method = Method.networkGet
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> NetworkStatus {
        try backend.networks.get(reference)
    }
}

struct NetworkListing: Request {
    static let method = Method.networkList

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> NetworkList {
        try backend.networks.list()
    }
}

struct NetworkDelete: Request {
    static let method = Method.networkDelete
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.networks.delete(reference, call)
        return Done()
    }
}

// MARK: Volumes

struct VolumeCreate: Request {
    static let method = Method.volumeCreate
    let spec: VolumeSpec

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> VolumeStatus {
        try backend.volumes.create(spec, call)
    }
}

struct VolumeGet: Request {
    static let method = Method.volumeGet
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> VolumeStatus {
        try backend.volumes.get(reference)
    }
}

struct VolumeListing: Request {
    static let method = Method.volumeList

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> VolumeList {
        try backend.volumes.list()
    }
}

struct VolumeDelete: Request {
    static let method = Method.volumeDelete
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.volumes.delete(reference, call)
        return Done()
    }
}
