import KinaCore

extension OCIContainers {
    /// Writes the log to the streams; with follow until the container ends.
    func logs(_ reference: String, _ request: LogRequest, _ streams: Streams, _ call: Call) throws {
        if let tail = request.tail, tail < 0 { throw KinaError.invalid("tail", "\(tail)", "must not be negative") }
        let record = try store.find(reference)
        var writer = LogWriter(request, streams, call, name: record.name)
        let end = request.follow ? try supervision(of: record) : nil
        try doing("reading the log of container '\(record.name)'") {
            try LogSession(LogFiles(paths(record)), request).run(&writer, end: end, call)
        }
    }

    /// Readable when nothing more will be logged: the supervisor, or where that is gone the container, has ended. nil:
    /// that is so already.
    private func supervision(of record: ContainerRecord) throws -> FileDescriptor? {
        guard let process = liveProcess(record) else { return nil }
        if let supervisor = record.run?.supervisor, let fd = try supervisor.descriptor() { return fd }
        return try process.descriptor()
    }
}

extension LogFiles {
    init(_ paths: ContainerPaths) { self.init(path: paths.log) }
}
