import CKinaSocket
import KinaCore

/// One end of a connection, or a listener.
public final class Socket: Sendable {
    public let fd: FileDescriptor

    public init(_ fd: FileDescriptor) { self.fd = fd }

    /// Nothing that is done with it blocks.
    public static func create() throws -> Socket {
        let fd = FileDescriptor(try checkSocket("socket", kina_socket_create()))
        let flags = fcntl(fd.raw, F_GETFL)
        _ = try attempt("fcntl") { fcntl(fd.raw, F_SETFL, flags | O_NONBLOCK) }
        return Socket(fd)
    }

    /// Throws EAGAIN when too many are waiting to be accepted.
    public func connect(to path: String) throws {
        try Self.withAddress(path) { address, size in
            _ = try attempt("connect \(path)") { systemConnect(fd.raw, address, size) }
        }
    }

    /// With mode 0600 from the first moment; for the calling program's start, since the file mode mask is everybody's.
    public static func listen(on path: String, backlog: Int32) throws -> Socket {
        let socket = try create()
        let mask = umask(0o177)
        defer { umask(mask) }
        try withAddress(path) { address, size in
            _ = try attempt("bind \(path)") { bind(socket.fd.raw, address, size) }
        }
        _ = try attempt("listen \(path)") { systemListen(socket.fd.raw, backlog) }
        return socket
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Void) throws
    {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw Errno(ENAMETOOLONG, path) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        try withUnsafePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    /// nil: nobody waits any more. Throws EMFILE and the like.
    public func accept() throws -> Socket? {
        do {
            return Socket(FileDescriptor(try checkSocket("accept", kina_socket_accept(fd.raw))))
        } catch let error as Errno where [EAGAIN, ECONNABORTED, EINTR].contains(error.code) {
            return nil
        }
    }

    public struct Peer: Sendable {
        public let uid: uid_t
        /// 0 where it can't be seen from here.
        public let pid: pid_t
        /// The same user, or root, which may do everything anyway.
        public var isTrusted: Bool { uid == geteuid() || uid == 0 }
    }

    public func peer() throws -> Peer {
        var uid = uid_t(), pid = pid_t()
        try checkSocket("peer credentials", kina_socket_peer(fd.raw, &uid, &pid))
        return Peer(uid: uid, pid: pid)
    }

    /// Sends a whole frame, or throws when the call ends first; then the connection is of no use any more.
    public func send(_ bytes: [UInt8], _ descriptors: [Int32] = [], _ call: Call, for waitedFor: String) throws {
        var offset = 0
        while offset < bytes.count {
            let passed = offset == 0 ? descriptors : []
            let sent = bytes.withUnsafeBytes { buffer in
                kina_socket_send(
                    fd.raw, buffer.baseAddress.map { $0 + offset }, buffer.count - offset, passed, Int32(passed.count))
            }
            switch Int32(truncatingIfNeeded: sent) {
            case -EINTR: continue
            case -EAGAIN:
                var entries = [pollfd(fd: fd.raw, events: Int16(POLLOUT), revents: 0)]
                try call.poll(&entries, for: waitedFor)
            case let failed where failed < 0: throw Errno(-failed, "send")
            default: offset += Int(sent)
            }
        }
    }

    public enum Received { case nothing, some, end }

    /// Takes what is there.
    public func receive(into reader: inout FrameReader) throws -> Received {
        var arrived = [Int32](repeating: -1, count: Int(KINA_SOCKET_DESCRIPTORS)), count: Int32 = 0
        var result = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, filled in
            repeat {
                result = kina_socket_receive(fd.raw, buffer.baseAddress, buffer.count, &arrived, &count)
            } while result == -Int(EINTR)
            filled = max(0, result)
        }
        if result == -Int(EAGAIN) { return .nothing }
        if result == -Int(ECONNRESET) { return .end }
        if result < 0 { throw Errno(Int32(-result), "receive") }
        if result == 0 { return .end }
        reader.append(bytes, arrived[..<Int(count)].map { FileDescriptor($0) })
        return .some
    }

    /// Both sides see the end; the descriptor stays until the object goes.
    public func shutDown() { shutdown(fd.raw, Int32(SHUT_RDWR)) }
}

@discardableResult
private func checkSocket(_ operation: String, _ result: Int32) throws -> Int32 {
    if result < 0 { throw Errno(-result, operation) }
    return result
}
