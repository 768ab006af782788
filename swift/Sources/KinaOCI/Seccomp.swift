import KinaCore

/// System call filters: the default profile of Podman and CRI-O, or one that was given.
enum Seccomp {
    /// The first that exists holds; in Debian it is the package golang-github-containers-common.
    static let files = ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"]

    /// The value of linux.seccomp as JSON; nil: unconfined.
    static func json(_ spec: ContainerSpec, capabilities: Set<String>) throws -> [UInt8]? {
        if spec.privileged { return nil }
        switch spec.seccomp.profile {
        case .unconfined: return nil
        case .default: return try defaultJSON(capabilities)
        case .custom:
            let profile: SeccompProfile
            do {
                profile = try JSON.decode(SeccompProfile.self, from: spec.seccomp.json ?? "", what: "seccomp.json")
                try profile.check()
            } catch let error as KinaError {
                throw KinaError.invalid(
                    "seccomp.json", nil, "is not a seccomp profile: \(error.message)",
                    hint: "use Docker's form or that of the OCI runtime specification")
            }
            return try JSON.encode(profile.resolved(capabilities, .current))
        }
    }

    private struct Cache {
        var profile: SeccompProfile?
        /// Capabilities, sorted and joined → JSON.
        var encoded: [String: [UInt8]] = [:]
    }
    private static let cache = Global(Cache())

    /// Reading, resolving and encoding 400 system calls takes milliseconds, so it is done once a set of capabilities;
    /// outside the lock, so that two threads may both do it the first time.
    private static func defaultJSON(_ capabilities: Set<String>) throws -> [UInt8] {
        let key = capabilities.sorted().joined(separator: ",")
        let known = cache.withLock { (profile: $0.profile, json: $0.encoded[key]) }
        if let json = known.json { return json }
        let profile = try known.profile ?? readDefault()
        let json = try JSON.encode(profile.resolved(capabilities, .current))
        cache.withLock { cache in
            cache.profile = profile
            if cache.encoded.count >= 64 { cache.encoded = [:] }
            cache.encoded[key] = json
        }
        return json
    }

    private static func readDefault() throws -> SeccompProfile {
        guard let file = files.first(where: Files.exists) else {
            throw KinaError(
                .unavailable, "the default seccomp profile is missing: none of \(files.joined(separator: ", "))",
                hint: "apt-get install --no-install-recommends golang-github-containers-common")
        }
        do {
            let profile = try JSON.decode(
                SeccompProfile.self, from: try doing(file) { try Files.read(file) }, what: file)
            try profile.check()
            return profile
        } catch let error as KinaError {
            throw KinaError(
                .unavailable, "the default seccomp profile \(file) can't be used: \(error.message)",
                hint: "repair it, or reinstall golang-github-containers-common")
        }
    }
}

/// A profile in Docker's form, whose rules hold under conditions; the OCI form is the special case without any.
struct SeccompProfile: Decodable {
    struct Architecture: Decodable {
        var architecture: String
        var subArchitectures: [String]?
    }

    struct Filter: Decodable {
        var caps: [String]?
        var arches: [String]?
        var minKernel: String?
    }

    struct Rule: Decodable {
        var names: [String]?
        /// One name: how old profiles spell it.
        var name: String?
        var action: String
        var errnoRet: UInt32?
        var args: [OCI.Argument]?
        var includes: Filter?
        var excludes: Filter?
    }

    /// What conditions ask about.
    struct Host {
        /// Go's name: "amd64".
        var arch: String
        /// libseccomp's name.
        var architecture: String
        var kernel: KernelVersion

        static let current: Host = {
            #if arch(arm64)
                Host(arch: "arm64", architecture: "SCMP_ARCH_AARCH64", kernel: .current)
            #else
                Host(arch: "amd64", architecture: "SCMP_ARCH_X86_64", kernel: .current)
            #endif
        }()
    }

    var defaultAction: String
    var defaultErrnoRet: UInt32?
    var architectures: [String]?
    var archMap: [Architecture]?
    var flags: [String]?
    var syscalls: [Rule]?

    static let actions: Set<String> = [
        "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO",
        "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG",
    ]
    static let operators: Set<String> = [
        "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
    ]

    /// A misspelt action must not become a filter that lets everything through.
    func check() throws {
        for action in [defaultAction] + (syscalls ?? []).map(\.action) where !Self.actions.contains(action) {
            throw KinaError.invalid("action", action, "is unknown", hint: Self.actions.sorted().joined(separator: ", "))
        }
        for rule in syscalls ?? [] {
            if rule.name == nil, (rule.names ?? []).isEmpty {
                throw KinaError.invalid("syscalls", nil, "a rule names no system call")
            }
            for argument in rule.args ?? [] where !Self.operators.contains(argument.op) || argument.index > 5 {
                throw KinaError.invalid(
                    "args", "\(argument.op) \(argument.index)", "is not a comparison of an argument")
            }
        }
    }

    func resolved(_ capabilities: Set<String>, _ host: Host) -> OCI.Seccomp {
        var architectures = self.architectures ?? []
        if architectures.isEmpty, let map = archMap?.first(where: { $0.architecture == host.architecture }) {
            // x32 is off in kernels unless asked for at boot, and a third of what the filter costs each process to load:
            // without it, its calls end like those of any foreign architecture.
            architectures = [map.architecture] + (map.subArchitectures ?? []).filter { $0 != "SCMP_ARCH_X32" }
        }
        let rules = (syscalls ?? []).filter { Self.applies($0, capabilities, host) }
        return OCI.Seccomp(
            defaultAction: defaultAction, defaultErrnoRet: defaultErrnoRet, architectures: architectures, flags: flags,
            syscalls: rules.map { rule in
                let args = rule.args ?? []
                return OCI.Syscall(
                    names: (rule.names ?? []) + (rule.name.map { [$0] } ?? []), action: rule.action,
                    errnoRet: rule.errnoRet, args: args.isEmpty ? nil : args)
            })
    }

    /// Included: everything that is asked for is there. Excluded: anything that is named is.
    private static func applies(_ rule: Rule, _ capabilities: Set<String>, _ host: Host) -> Bool {
        if let wanted = rule.includes {
            if let arches = wanted.arches, !arches.isEmpty, !arches.contains(host.arch) { return false }
            if let caps = wanted.caps, !capabilities.isSuperset(of: caps) { return false }
            if let version = wanted.minKernel.flatMap(KernelVersion.init), host.kernel < version { return false }
        }
        if let unwanted = rule.excludes {
            if unwanted.arches?.contains(host.arch) == true { return false }
            if let caps = unwanted.caps, !capabilities.isDisjoint(with: caps) { return false }
            if let version = unwanted.minKernel.flatMap(KernelVersion.init), host.kernel >= version { return false }
        }
        return true
    }
}

struct KernelVersion: Comparable, Sendable, CustomStringConvertible {
    var major: Int
    var minor: Int

    init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// "6.18.44-generic".
    init?(_ text: String) {
        let parts = text.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, let major = Int(parts[0]), let minor = Int(parts[1].prefix { $0.isNumber }) else {
            return nil
        }
        self.init(major, minor)
    }

    static let current: KernelVersion = {
        var name = utsname()
        uname(&name)
        let release = withUnsafePointer(to: &name.release) {
            $0.withMemoryRebound(to: CChar.self, capacity: 65) { String(cString: $0) }
        }
        return KernelVersion(release) ?? KernelVersion(0, 0)
    }()

    static func < (a: KernelVersion, b: KernelVersion) -> Bool { (a.major, a.minor) < (b.major, b.minor) }
    var description: String { "\(major).\(minor)" }
}
