package typealias PortProtocol = PortSpec.`Protocol`

/// Ports of the host, each a link `<protocol>-<address>-<port>` whose text is `<container>:<container port>`, made under
/// one lock because 0.0.0.0 excludes every other address.
package struct NetworkPorts: Sendable {
    private let directory: String
    private let lockFile: String

    package init(home: String) throws {
        directory = "\(home)/ports"
        lockFile = "\(home)/ports.lock"
        try doing("creating \(directory)") { try Files.makeDirectories(directory) }
    }

    package struct Lease: Equatable {
        package var proto: PortProtocol
        package var address: IPv4Address
        package var port: Int
        package var container: String
        package var containerPort: Int

        var fileName: String { "\(proto.rawValue)-\(address)-\(port)" }

        func conflicts(_ proto: PortProtocol, _ address: IPv4Address, _ port: Int) -> Bool {
            self.proto == proto && self.port == port
                && (self.address == address || self.address.value == 0 || address.value == 0)
        }
    }

    package func all() throws -> [Lease] {
        try doing("reading \(directory)") { try Files.list(directory).compactMap(parse) }
    }

    private func parse(_ name: String) -> Lease? {
        let key = name.split(separator: "-")
        let holder = readLink("\(directory)/\(name)")?.split(separator: ":") ?? []
        guard key.count == 3, holder.count == 2, let proto = PortProtocol(rawValue: String(key[0])),
            let address = IPv4Address(String(key[1])), let port = Int(key[2]), let inner = Int(holder[1])
        else { return nil }
        return Lease(
            proto: proto, address: address, port: port, container: String(holder[0]), containerPort: inner)
    }

    /// All of them or none. Those that the container holds already stay.
    package func take(_ ports: [PortSpec], for container: String, _ call: Call) throws -> [PortSpec] {
        if ports.isEmpty { return [] }
        let addresses = try ports.enumerated().map { try Self.check($1, "sandbox.ports[\($0)]") }
        let lock = try doing("locking \(lockFile)") { try FileLock(lockFile, call, for: "another container's ports") }
        defer { lock.unlock() }
        var taken = try all(), made: [Lease] = [], claimed: [Lease] = []
        do {
            return try zip(ports, addresses).enumerated().map { index, pair in
                var port = pair.0
                let field = "sandbox.ports[\(index)].hostPort"
                let own = taken.first { $0.container == container && $0.matches(port, pair.1) && !claimed.contains($0) }
                let lease = try own ?? take(port, pair.1, container, taken, field)
                if own == nil {
                    try doing("leasing port \(lease.port)") {
                        let link = "\(directory)/\(lease.fileName)"
                        try attempt("symlink \(link)") { symlink("\(container):\(lease.containerPort)", link) }
                    }
                    made.append(lease)
                    taken.append(lease)
                }
                claimed.append(lease)
                port.hostPort = lease.port
                return port
            }
        } catch {
            for lease in made { try? Files.remove("\(directory)/\(lease.fileName)") }
            throw error
        }
    }

    private func take(
        _ port: PortSpec, _ address: IPv4Address, _ container: String, _ taken: [Lease], _ field: String
    ) throws -> Lease {
        func conflict(_ number: Int) -> Lease? { taken.first { $0.conflicts(port.`protocol`, address, number) } }
        func lease(_ number: Int) -> Lease {
            Lease(
                proto: port.`protocol`, address: address, port: number, container: container,
                containerPort: port.containerPort)
        }
        if port.hostPort != 0 {
            if let holder = conflict(port.hostPort) {
                throw KinaError(
                    .alreadyExists,
                    "\(field) '\(port.hostPort)': \(address):\(port.hostPort)/\(port.`protocol`.rawValue) is published by "
                        + "container \(holder.container)",
                    hint: "choose another port, or 0 for a free one",
                    details: ["field": field, "value": "\(port.hostPort)", "container": holder.container])
            }
            _ = try Self.probe(port, address, field)
            return lease(port.hostPort)
        }
        for _ in 0..<200 {
            let free = try Self.probe(port, address, field)
            if conflict(free) == nil { return lease(free) }
        }
        throw KinaError(.resourceExhausted, "\(field): found no free port on \(address)", hint: "name a port")
    }

    /// Frees all of a container's. Its own links only, so no lock is needed.
    package func release(_ container: String) throws {
        for lease in try all() where lease.container == container { try free(lease) }
    }

    package func free(_ lease: Lease) throws {
        try doing("freeing port \(lease.port)") { try Files.remove("\(directory)/\(lease.fileName)") }
    }

    private static func check(_ port: PortSpec, _ field: String) throws -> IPv4Address {
        guard (1...65535).contains(port.containerPort) else {
            throw KinaError.invalid("\(field).containerPort", "\(port.containerPort)", "must be 1 to 65535")
        }
        guard (0...65535).contains(port.hostPort) else {
            throw KinaError.invalid(
                "\(field).hostPort", "\(port.hostPort)", "must be 0 to 65535", hint: "0 asks for a free port")
        }
        return try IPv4Address(port.hostAddress, field: "\(field).hostAddress")
    }

    /// Binds the port for a moment to see that nobody has it, and says its number.
    @discardableResult
    package static func probe(_ port: PortSpec, _ address: IPv4Address, _ field: String) throws -> Int {
        let holder = try doing("opening a socket") { try InternetSocket.open(port.`protocol`) }
        if port.`protocol` == .tcp {
            // A connection that is just ending keeps the port from others only without this.
            var yes: Int32 = 1
            setsockopt(holder.raw, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        }
        var name = sockaddr_in(address, port: UInt16(port.hostPort))
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let failed = withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                bind(holder.raw, raw, size) < 0 || getsockname(holder.raw, raw, &size) < 0 ? errno : 0
            }
        }
        switch failed {
        case 0: return Int(UInt16(bigEndian: name.sin_port))
        case EADDRINUSE:
            throw KinaError(
                .alreadyExists,
                "\(field) '\(port.hostPort)': another program of the host uses "
                    + "\(address):\(port.hostPort)/\(port.`protocol`.rawValue)",
                hint: "choose another port, or 0 for a free one",
                details: ["field": field, "value": "\(port.hostPort)"])
        case EADDRNOTAVAIL:
            throw KinaError.invalid(
                "sandbox.ports", "\(address)", "is not an address of this host",
                hint: "use 127.0.0.1, 0.0.0.0 or an address of one of its interfaces")
        default: throw KinaError(Errno(failed, "bind"), "publishing port \(port.hostPort)")
        }
    }
}

extension NetworkPorts.Lease {
    /// The request that this lease answered.
    func matches(_ spec: PortSpec, _ address: IPv4Address) -> Bool {
        proto == spec.`protocol` && self.address == address && containerPort == spec.containerPort
            && (spec.hostPort == 0 || spec.hostPort == port)
    }
}
