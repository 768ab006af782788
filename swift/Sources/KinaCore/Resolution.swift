// What a specification comes to with an image and a name, whatever runs it.

extension ContainerSpec {
    /// Docker's rule: an entrypoint given makes the image's command meaningless, since that was written for the
    /// image's entrypoint.
    package func arguments(_ image: ImageConfig) throws -> [String] {
        let command = command ?? (entrypoint == nil ? image.command : [])
        let arguments = (entrypoint ?? image.entrypoint) + command
        guard let program = arguments.first, !program.isEmpty else {
            throw KinaError.invalid(
                "command", arguments.first, "there is no command: neither the spec nor the image names a program",
                hint: "pass a command")
        }
        return arguments
    }
}

extension ContainerSpec {
    /// Refuses what is not to be had from this backend.
    package func require(_ offered: Isolation) throws {
        guard let isolation, isolation != offered else { return }
        let other =
            switch isolation {
            case .vm:
                "open the backend of virtual machines: kina.connect(backend='vm'), or KINA_BACKEND=vm "
                    + "(kina.doctor() says what it needs)"
            case .namespaces:
                "open the other backend, which Linux has: kina.connect(backend='oci'), or KINA_BACKEND=oci"
            }
        throw KinaError(
            .unimplemented, "isolation '\(isolation.rawValue)': this runtime has '\(offered.rawValue)' only",
            hint: other, details: ["field": "isolation", "value": isolation.rawValue])
    }
}

extension SandboxSpec {
    /// What of a container's name may be a host name (RFC 1123), else its id.
    package static func hostName(from name: String, id: String) -> String {
        let mapped = name.lowercased().map { ("a"..."z").contains($0) || ("0"..."9").contains($0) ? $0 : "-" }
        var text = String(mapped.prefix(63))
        while text.hasSuffix("-") { text.removeLast() }
        while text.hasPrefix("-") { text.removeFirst() }
        return text.isEmpty ? String(id.prefix(12)) : text
    }

    /// As Docker: ports below 1024 and ping without capabilities, which stay inside the container's own network.
    package var effectiveSysctls: [String: String] {
        guard namespaces.network != .host else { return sysctls }
        let usual = ["net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"]
        return usual.merging(sysctls) { $1 }
    }
}

extension [ContainerStatus] {
    /// Those that a filter asks for, in the order of their making.
    package func selected(by filter: ContainerFilter) -> [ContainerStatus] {
        self.filter { status in
            filter.selects(name: status.name, id: status.id, labels: status.labels)
                && (filter.states.isEmpty || filter.states.contains(status.state))
        }.sorted { $0.precedes($1) }
    }
}

/// The error to throw after undoing: the first failure stays the message, a second one is never lost.
package func undo(_ error: any Error, _ body: () throws -> Void) -> KinaError {
    let failure = KinaError(error)
    do {
        try body()
        return failure
    } catch let second {
        return failure.caused(by: KinaError(second))
    }
}
