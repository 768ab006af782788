import KinaCore

/// Starts a home's server: kina-vmd, which lies beside libkina and detaches itself.
struct Launcher: Sendable {
    private let program: String
    private let options: RuntimeOptions
    private let place: ServerPlace

    init(_ options: RuntimeOptions, _ place: ServerPlace) throws {
        self.options = options
        self.place = place
        program = Self.program(options)
        guard access(program, X_OK) == 0 else {
            throw KinaError(.unavailable, "\(program) is missing", hint: Self.fix)
        }
        guard options.backend == RuntimeOptions.machines else { return }
        let library = MachineDoctor.library(options)
        if library.state != .ok { throw KinaError(.unavailable, library.reason, hint: library.fix) }
        if let refused = HostMachines.entitlement(program), refused.state == .failed {
            throw KinaError(.permissionDenied, refused.reason, hint: refused.fix)
        }
    }

    private static let fix = "reinstall kina: its own program is not there"

    private static func program(_ options: RuntimeOptions) -> String { "\(directory(options))/kina-vmd" }

    /// Where libkina lies, with what belongs to it.
    static func directory(_ options: RuntimeOptions) -> String {
        options.libexec
            ?? HostSystem.libraryPath.flatMap { library in
                library.lastIndex(of: "/").map { String(library[..<$0]) }
            } ?? "."
    }

    static func check(_ options: RuntimeOptions) -> Report.Check {
        let program = program(options)
        return access(program, X_OK) == 0
            ? .init("kina-vmd", .ok, program) : .init("kina-vmd", .failed, "\(program) is missing", fix: fix)
    }

    /// One at a time: who comes second asks `connect` whether the first has done it. The answer is nil when a server
    /// was started, to which one can connect now.
    func start<T>(_ call: Call, _ connect: () throws -> T?) throws -> T? {
        try doing("creating \(place.directory)") { try Files.makeDirectories(place.directory) }
        let lock = try doing("locking \(place.starting)") {
            try FileLock(place.starting, call, for: "another program to start kina-vmd")
        }
        defer { lock.unlock() }
        if let found = try connect() { return found }
        var command = Command(program, [try JSON.text(options), place.log], environment: environment)
        command.ownSession = true
        try check(try command.run(call))
        return nil
    }

    /// What a program of the host needs, and what is kina's own.
    private var environment: [String: String] {
        var environment = Command.hostEnvironment
        for name in ["KINA_SERVER_IDLE", "KINA_CRASH_AFTER"] {
            if let value = getenv(name) { environment[name] = String(cString: value) }
        }
        return environment
    }

    /// It prints one line when it serves, or when it can't: the failure.
    private func check(_ output: Command.Output) throws {
        if let failure = try? JSON.decode(Failure.self, from: output.stdout, what: "failure") { throw failure.error }
        guard output.status.isSuccess, !output.stdout.isEmpty else {
            throw KinaError(
                .unavailable, "kina-vmd ended before it served: \(output.errorText)", hint: "see \(place.log)",
                details: ["exitCode": "\(output.status.code)"])
        }
    }
}
