import KinaCore

struct ContainerCreate: Request {
    static let method = Method.containerCreate
    let spec: ContainerSpec

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ContainerStatus {
        try backend.containers.create(spec, call)
    }
}

struct ContainerStart: Request {
    static let method = Method.containerStart
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ContainerStatus {
        try backend.containers.start(reference, call)
    }
}

struct ContainerStop: Request {
    static let method = Method.containerStop
    let reference: String
    let timeoutMs: Int64?

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ContainerStatus {
        try backend.containers.stop(reference, timeoutMs: timeoutMs, call)
    }
}

struct ContainerPause: Request {
    static let method = Method.containerPause
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ContainerStatus {
        try backend.containers.pause(reference, call)
    }
}

struct ContainerResume: Request {
    static let method = Method.containerResume
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ContainerStatus {
        try backend.containers.resume(reference, call)
    }
}

struct ContainerUpdate: Request {
    static let method = Method.containerUpdate
    let reference: String
    let resources: ResourcesSpec

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ContainerStatus {
        try backend.containers.update(reference, resources, call)
    }
}

struct ContainerDelete: Request {
    static let method = Method.containerDelete
    let reference: String
    let force: Bool

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.containers.delete(reference, force: force, call)
        return Done()
    }
}

struct ContainerGet: Request {
    static let method = Method.containerGet
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ContainerStatus {
        try backend.containers.get(reference)
    }
}

struct ContainerListing: Request {
    static let method = Method.containerList
    let filter: ContainerFilter

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ContainerList {
        try backend.containers.list(filter)
    }
}

/// Passes the streams. When the connection ends, the container does.
struct ContainerRun: Request {
    static let method = Method.containerRun
    let spec: ContainerSpec

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ExitStatus {
        try backend.containers.run(spec, passed.streams, call)
    }
}

/// Passes the streams.
struct ContainerLogs: Request {
    static let method = Method.containerLogs
    let reference: String
    let request: LogRequest

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.containers.logs(reference, request, passed.streams, call)
        return Done()
    }
}

/// Passes the streams.
struct ContainerAttach: Request {
    static let method = Method.containerAttach
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.containers.attach(reference, passed.streams, call)
        return Done()
    }
}

/// Passes the tar.
struct ContainerCopyIn: Request {
    static let method = Method.containerCopyIn
    let reference: String
    let path: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.containers.copyIn(reference, path: path, from: try passed.needed(), call)
        return Done()
    }
}

/// Passes where the tar goes.
struct ContainerCopyOut: Request {
    static let method = Method.containerCopyOut
    let reference: String
    let path: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.containers.copyOut(reference, path: path, to: try passed.needed(), call)
        return Done()
    }
}

/// Passes a pipe for the figures: SampleRecords, one after the other, until its reader has had enough.
struct ContainerStatistics: Request {
    static let method = Method.containerStatistics
    let reference: String
    let intervalNs: Int64

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        let pipe = try passed.needed()
        try backend.containers.statistics(reference, intervalNs: intervalNs, call) { sample in
            SampleRecord(sample).write(to: pipe, call)
        }
        return Done()
    }
}

struct ContainerExited: Request {
    static let method = Method.containerExited
    let id: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.containers.exited(id)
        return Done()
    }
}
