/// Sockets of the Internet's protocols, and their addresses, on every system alike.
package enum InternetSocket {
    /// Close-on-exec, not bound to anything yet.
    package static func open(_ proto: PortSpec.`Protocol`) throws -> FileDescriptor {
        FileDescriptor(try HostSystem.internetSocket(isStream: proto == .tcp))
    }
}

extension sockaddr_in {
    package init(_ address: IPv4Address, port: UInt16 = 0) {
        self.init()
        sin_family = sa_family_t(AF_INET)
        sin_port = port.bigEndian
        sin_addr = in_addr(s_addr: address.value.bigEndian)
    }
}
