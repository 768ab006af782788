import KinaCore

/// The process part of both documents: config.json's and that of an exec.
struct OCIProcess {
    let record: ContainerRecord
    let accounts: Accounts
    private var spec: ContainerSpec { record.spec }
    private var image: ImageConfig { record.imageConfig }

    static let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    func container(_ capabilities: Set<String>) throws -> OCI.Process {
        let user = try containerUser()
        return OCI.Process(
            terminal: spec.terminal, user: Self.document(user), args: try arguments(),
            env: environment(home: user.home, terminal: spec.terminal, further: [:]), cwd: workdir,
            capabilities: CapabilitySets.document(capabilities, user: user), rlimits: try rlimits(),
            noNewPrivileges: spec.noNewPrivileges && !spec.privileged)
    }

    func exec(_ process: ProcessSpec, _ capabilities: Set<String>) throws -> OCI.Process {
        let user = try process.user.map { try accounts.resolve($0, groups: spec.groups) } ?? containerUser()
        return OCI.Process(
            terminal: process.terminal, user: Self.document(user), args: process.args,
            env: environment(home: user.home, terminal: process.terminal, further: process.env),
            cwd: process.workdir ?? workdir,
            capabilities: CapabilitySets.document(
                process.privileged ? CapabilitySets.bounding : capabilities, user: user, always: process.privileged),
            rlimits: try rlimits(),
            noNewPrivileges: spec.noNewPrivileges && !spec.privileged && !process.privileged)
    }

    private func containerUser() throws -> ContainerUser {
        try accounts.resolve(spec.user ?? image.user, groups: spec.groups)
    }

    private static func document(_ user: ContainerUser) -> OCI.User {
        OCI.User(uid: user.uid, gid: user.gid, additionalGids: user.groups)
    }

    static func command(of spec: ContainerSpec, _ image: ImageConfig) throws -> [String] {
        try spec.arguments(image)
    }

    private func arguments() throws -> [String] {
        let arguments = try Self.command(of: spec, image)
        guard spec.`init` else { return arguments }
        // Where it is not process 1 it has to ask for orphans (-s).
        let options = spec.sandbox.namespaces.pid == .host ? ["-s"] : []
        return [OCIMounts.initPath] + options + ["--"] + arguments
    }

    /// The runtime makes the directory when it isn't there.
    private var workdir: String { spec.workdir ?? (image.workdir.isEmpty ? "/" : image.workdir) }

    private func environment(home: String, terminal: Bool, further: [String: String]) -> [String] {
        var variables = ["PATH": Self.path, "HOSTNAME": record.hostname, "HOME": home]
        if terminal { variables["TERM"] = "xterm" }
        for more in [image.env, spec.env, further] { variables.merge(more) { $1 } }
        return variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }

    private func rlimits() throws -> [OCI.Rlimit] {
        try spec.rlimits.enumerated().map { index, limit in
            if !CapabilitySets.bounding.contains("CAP_SYS_RESOURCE"), let most = Self.hardLimit(limit.type),
                limit.hard > most
            {
                throw KinaError(
                    .failedPrecondition,
                    "rlimits[\(index)].hard '\(limit.hard)': this host allows at most \(most) for \(limit.type): "
                        + "raising a hard limit needs CAP_SYS_RESOURCE, which is missing here",
                    hint: "ask for at most \(most)",
                    details: ["field": "rlimits[\(index)].hard", "value": "\(limit.hard)"])
            }
            return OCI.Rlimit(type: "RLIMIT_" + limit.type.uppercased(), hard: limit.hard, soft: limit.soft)
        }
    }

    /// Our own, which the container's processes inherit. Numbers of x86 and arm.
    private static func hardLimit(_ type: String) -> UInt64? {
        let numbers: [String: UInt32] = [
            "cpu": 0, "fsize": 1, "data": 2, "stack": 3, "core": 4, "rss": 5, "nproc": 6, "nofile": 7, "memlock": 8,
            "as": 9, "locks": 10, "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15,
        ]
        var limit = rlimit()
        guard let number = numbers[type], getrlimit(__rlimit_resource_t(number), &limit) == 0 else { return nil }
        return UInt64(limit.rlim_max)
    }
}
