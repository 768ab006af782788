import KinaCore

// The runtime's own functions, and those of pods, networks and volumes.

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

// MARK: Pods

struct PodCreate: Request {
    static let method = Method.podCreate
    let spec: PodSpec

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> PodStatus {
        try backend.pods.create(spec, call)
    }
}

struct PodStart: Request {
    static let method = Method.podStart
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> PodStatus {
        try backend.pods.start(reference, call)
    }
}

struct PodStop: Request {
    static let method = Method.podStop
    let reference: String
    let timeoutMs: Int64?

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> PodStatus {
        try backend.pods.stop(reference, timeoutMs: timeoutMs, call)
    }
}

struct PodDelete: Request {
    static let method = Method.podDelete
    let reference: String
    let force: Bool

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.pods.delete(reference, force: force, call)
        return Done()
    }
}

struct PodGet: Request {
    static let method = Method.podGet
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> PodStatus {
        try backend.pods.get(reference)
    }
}

struct PodListing: Request {
    static let method = Method.podList

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> PodList {
        try backend.pods.list()
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
