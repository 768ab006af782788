/// A program of the host. Never a shell, never Foundation's Process (50 ms a spawn, threads, leaking signal masks).
public struct Command: Sendable {
    public var path: String
    public var arguments: [String]
    public var environment: [String: String]
    public var workingDirectory: String?
    /// SIGKILLed when the calling thread ends (on Linux), so for what is waited for right away.
    public var diesWithCaller = true
    /// A session of its own: for what must not hear the terminal's Ctrl-C.
    public var ownSession = false

    /// The host's environment for programs: PATH and what registries and proxies need, nothing of Python's. Read each time:
    /// a notebook sets proxies and credentials when it needs them.
    public static var hostEnvironment: [String: String] {
        let passed = [
            "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "HTTP_PROXY",
            "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "SSL_CERT_FILE",
            "SSL_CERT_DIR", "TMPDIR",
        ]
        var environment = ["LC_ALL": HostSystem.locale]
        for name in passed { if let value = getenv(name) { environment[name] = String(cString: value) } }
        environment["PATH"] = searchPath
        return environment
    }

    /// $PATH, and the directories of administration that it may lack.
    public static let searchPath: String = {
        let own = getenv("PATH").map { String(cString: $0) } ?? ""
        var parts = own.split(separator: ":").map(String.init)
        for standard in HostSystem.systemPath where !parts.contains(standard) { parts.append(standard) }
        return parts.joined(separator: ":")
    }()

    public init(_ path: String, _ arguments: [String], environment: [String: String] = Command.hostEnvironment) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
    }

    /// Where a program is, or nil.
    public static func find(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 && !Files.isDirectory(name) ? name : nil }
        for directory in searchPath.split(separator: ":") {
            let path = "\(directory)/\(name)"
            if access(path, X_OK) == 0, !Files.isDirectory(path) { return path }
        }
        return nil
    }

    /// Starts it; descriptors `keep[i]` become 3 + i. Borrowed, all of them.
    public func spawn(stdin: Int32? = nil, stdout: Int32? = nil, stderr: Int32? = nil, keep: [Int32] = []) throws
        -> Child
    {
        let pid = try doing("starting \(path)") { try start([stdin ?? -1, stdout ?? -1, stderr ?? -1], keep: keep) }
        return Child(pid: pid, name: path)
    }

    public struct Output: Sendable {
        public var status: Termination
        public var stdout: [UInt8]
        public var stderr: [UInt8]
        public var text: String { String(decoding: stdout, as: UTF8.self) }
        public var errorText: String {
            var text = String(decoding: stderr, as: UTF8.self)
            while let last = text.last, last.isWhitespace { text.removeLast() }
            return text
        }
    }

    /// Runs it to the end. When the call ends first, it is killed with its process group. Output over `limit` bytes a
    /// stream is dropped. `tick` is called about every 100 ms.
    public func run(
        _ call: Call, input: [UInt8] = [], stdinFd: Int32? = nil, stdoutFd: Int32? = nil, keep: [Int32] = [],
        limit: Int = 16 << 20, tick: (() throws -> Void)? = nil
    ) throws -> Output {
        try begin(input: input, stdinFd: stdinFd, stdoutFd: stdoutFd, keep: keep).finish(call, limit: limit, tick: tick)
    }

    /// Starts it for who has something else to do before `finish`. Its output has to fit into a pipe until then.
    public func begin(
        input: [UInt8] = [], stdinFd: Int32? = nil, stdoutFd: Int32? = nil, keep: [Int32] = []
    ) throws -> Running {
        let source = input.isEmpty ? nil : try memoryFile(input)
        let (child, readers) = try start(stdin: source?.raw ?? stdinFd, stdout: stdoutFd, keep: keep)
        return Running(child, readers)
    }

    /// A program under way; killed with its process group when it is let go of before its end.
    public final class Running {
        private let child: Child
        private let readers: [FileDescriptor]
        private var hasEnded = false

        fileprivate init(_ child: Child, _ readers: [FileDescriptor]) {
            self.child = child
            self.readers = readers
        }

        deinit {
            if hasEnded { return }
            child.kill()
            _ = try? child.reap()
        }

        public func finish(_ call: Call, limit: Int = 16 << 20, tick: (() throws -> Void)? = nil) throws -> Output {
            let output = try child.drain(readers, call, limit: limit, tick: tick)
            defer { hasEnded = true }  // also when it throws: `wait` has killed and reaped it then
            return Output(status: try child.wait(call), stdout: output[0], stderr: output[1])
        }
    }

    /// With pipes to read from; the ends for writing are closed here on return, so that the child's end shows.
    private func start(stdin: Int32?, stdout: Int32?, keep: [Int32]) throws -> (Child, [FileDescriptor]) {
        let out = try FileDescriptor.pipe(), err = try FileDescriptor.pipe()
        let child = try spawn(stdin: stdin, stdout: stdout ?? out.write.raw, stderr: err.write.raw, keep: keep)
        return (child, [out.read, err.read])
    }
}

private func memoryFile(_ bytes: [UInt8]) throws -> FileDescriptor {
    let fd = try HostSystem.memoryFile()
    try writeAll(fd.raw, bytes)
    try attempt("lseek") { lseek(fd.raw, 0, SEEK_SET) }
    return fd
}

public enum Termination: Sendable, Equatable {
    case exited(Int32)
    case signaled(Int32)

    public var isSuccess: Bool { self == .exited(0) }
    /// As a shell says it.
    public var code: Int32 {
        switch self {
        case .exited(let code): code
        case .signaled(let signal): 128 + signal
        }
    }
}

/// A process that we started and must wait for; nobody else's child is ever touched.
public final class Child: Sendable {
    public let pid: Int32
    public let name: String
    /// Readable when the process has ended; nil where that can't be told without waiting for it.
    public let end: FileDescriptor?

    public init(pid: Int32, name: String) {
        self.pid = pid
        self.name = name
        end = HostSystem.end(of: pid)
    }

    public func kill(_ signal: Int32 = SIGKILL) {
        // The group is its own: its children go too.
        _ = killpg(pid, signal)
    }

    /// Waits for the end. When the call ends first, the process is killed, reaped, and the call's error thrown.
    public func wait(_ call: Call) throws -> Termination {
        do {
            if let end { try call.waitReadable(end.raw, for: "\(name) to end") }
        } catch {
            kill()
            _ = try? reap()
            throw error
        }
        return try reap()
    }

    /// Blocks until it has ended.
    public func reap() throws -> Termination {
        var status: Int32 = 0
        _ = try doing("waiting for \(name)") { try attempt("waitpid \(pid)") { waitpid(pid, &status, 0) } }
        // WIFEXITED and its like are macros, which Swift does not see; every system kina runs on has this layout.
        return status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .signaled(status & 0x7F)
    }

    /// Reads descriptors to their ends.
    fileprivate func drain(_ readers: [FileDescriptor], _ call: Call, limit: Int, tick: (() throws -> Void)?) throws
        -> [[UInt8]]
    {
        var output = readers.map { _ in [UInt8]() }
        var open = Set(readers.indices)
        while !open.isEmpty {
            var order = open.sorted()
            var entries = order.map { pollfd(fd: readers[$0].raw, events: Int16(POLLIN), revents: 0) }
            if let tick {
                try tick()
                let step = call.within(ms: 100)
                do { try step.poll(&entries, for: name) } catch let error as KinaError
                    where error.code == .deadlineExceeded
                {
                    try call.check("\(name) to end")
                    order = []
                }
            } else {
                try call.poll(&entries, for: "\(name) to end")
            }
            for (index, entry) in zip(order, entries) where entry.revents != 0 {
                let chunk = try readers[index].read() ?? []
                if chunk.isEmpty { open.remove(index) }
                output[index] += chunk.prefix(max(0, limit - output[index].count))
            }
        }
        return output
    }
}

/// Calls `body` with a NULL-terminated array of C strings.
public func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
    let pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    return body(pointers)
}
