import KinaCore

/// Passes the streams. The process ends with the program that asked for it, as in one process.
public struct ProcessCreate: Request {
    public static let method = Method.processCreate
    public let container: String
    public let spec: ProcessSpec

    public func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> String {
        try backend.processes.create(container, spec, passed.streams, call)
    }
}

struct ProcessWait: Request {
    static let method = Method.processWait
    let container: String
    let process: String?

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ExitStatus {
        try backend.processes.wait(container, process, call)
    }
}

struct ProcessKill: Request {
    static let method = Method.processKill
    let container: String
    let process: String?
    let signal: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.processes.kill(container, process, signal: signal, call)
        return Done()
    }
}

struct ProcessResize: Request {
    static let method = Method.processResize
    let container: String
    let process: String?
    let rows: Int
    let columns: Int

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.processes.resize(container, process, rows: rows, columns: columns)
        return Done()
    }
}

public struct ProcessDelete: Request {
    public static let method = Method.processDelete
    public let container: String
    public let process: String

    public func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.processes.delete(container, process)
        return Done()
    }
}
