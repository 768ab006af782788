#if Containerization
    import KinaCore
    import NIOCore
    import NIOPosix
    import Synchronization

    /// Published ports: what arrives at a port of the host is handed on to a container's own address, while it runs.
    final class PublishedPorts: Sendable {
        private let open = Mutex<[String: [Publication]]>([:])

        /// All of them or none.
        func publish(_ ports: [PortSpec], of container: String, at address: String) throws {
            if ports.isEmpty { return }
            var made: [Publication] = []
            do {
                for (index, port) in ports.enumerated() {
                    made.append(try Publication(port, to: address, field: "sandbox.ports[\(index)].hostPort"))
                }
            } catch {
                for publication in made { publication.end() }
                throw error
            }
            open.withLock { $0[container] = made }
        }

        /// Idempotent. Connections end with the container that they lead to.
        func withdraw(_ container: String) {
            let ended = open.withLock { $0.removeValue(forKey: container) } ?? []
            for publication in ended { publication.end() }
        }
    }

    /// One port, and the connections that came through it.
    private final class Publication: Sendable {
        private let listener: any Channel
        private let connections: Connections

        init(_ port: PortSpec, to address: String, field: String) throws {
            let connections = Connections()
            self.connections = connections
            do {
                let target = try SocketAddress(ipAddress: address, port: port.containerPort)
                switch port.`protocol` {
                case .tcp: listener = try TCPForwarder.listen(port.hostAddress, port.hostPort, target, connections)
                case .udp: listener = try UDPForwarder.listen(port.hostAddress, port.hostPort, target)
                }
            } catch {
                throw Self.failure(error, port, field)
            }
        }

        func end() {
            try? listener.close().wait()
            connections.closeAll()
        }

        private static func failure(_ error: any Error, _ port: PortSpec, _ field: String) -> KinaError {
            let place = "\(port.hostAddress):\(port.hostPort)/\(port.`protocol`.rawValue)"
            switch (error as? IOError)?.errnoCode {
            case EADDRINUSE:
                return KinaError(
                    .alreadyExists, "\(field) '\(port.hostPort)': another program of the host uses \(place)",
                    hint: "choose another port, or 0 for a free one",
                    details: ["field": field, "value": "\(port.hostPort)"])
            case EACCES, EPERM:
                return KinaError(
                    .permissionDenied, "\(field) '\(port.hostPort)': this user may not listen on \(place)",
                    hint: "use a port above 1023", details: ["field": field, "value": "\(port.hostPort)"])
            default: return KinaError(.internal, "publishing \(place): \(error)")
            }
        }
    }

    /// Open connections, so that they can be ended.
    final class Connections: Sendable {
        private let open = Mutex<[ObjectIdentifier: any Channel]>([:])

        func add(_ channel: any Channel) {
            let id = ObjectIdentifier(channel)
            open.withLock { $0[id] = channel }
            channel.closeFuture.whenComplete { [self] _ in open.withLock { $0[id] = nil } }
        }

        func closeAll() {
            for channel in open.withLock({ Array($0.values) }) { channel.close(promise: nil) }
        }
    }
#endif
