import KinaCore

extension CapabilitySets {
    /// What this host can give at all: runtimes refuse to start when asked for more. Empty when it can't be read.
    static let bounding: Set<String> = {
        guard let status = try? Files.readText("/proc/self/status") else { return [] }
        return parseBounding(status)
    }()

    /// The line CapBnd of /proc/<pid>/status.
    static func parseBounding(_ status: String) -> Set<String> {
        guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("CapBnd:") }),
            let mask = line.split(whereSeparator: \.isWhitespace).last.flatMap({ UInt64($0, radix: 16) })
        else { return [] }
        return Set(Capabilities.names.enumerated().filter { mask >> UInt64($0.offset) & 1 == 1 }.map(\.element))
    }

    static func of(_ spec: ContainerSpec) throws -> Set<String> { try of(spec, bounding: bounding) }

    /// As after execve(2): who is not root has none in effect, but may get some from files unless noNewPrivileges.
    static func document(_ set: Set<String>, user: ContainerUser, always: Bool = false) -> OCI.Capabilities {
        let names = set.sorted()
        let active = user.isRoot || always ? names : []
        return OCI.Capabilities(bounding: names, effective: active, permitted: active)
    }
}
