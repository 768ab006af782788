import KinaCore

extension OCIContainers {
    /// Connects the streams with the container's own, by conmon's socket, until one side is done.
    ///
    /// conmon can't tell a client that leaves from an end of input. So with spec.stdin and without a terminal, the end
    /// of an attachment ends the container's standard input, and one without input reads the log instead.
    func attach(_ reference: String, _ streams: Streams, _ call: Call) throws {
        let record = try running(reference)
        guard record.run?.supervisor?.isAlive ?? false else {
            throw KinaError(
                .failedPrecondition, "container '\(record.name)' can't be attached to: its supervisor is gone",
                hint: "restart it")
        }
        if record.spec.stdin, !record.spec.terminal, streams.stdin == nil {
            var request = LogRequest()
            request.follow = true
            request.tail = 0
            return try logs(record.id, request, streams, call)
        }
        var streams = streams
        if !record.spec.stdin, !record.spec.terminal { streams.stdin = nil }
        try doing("attaching to container '\(record.name)'") {
            let socket = try ConsoleSocket("\(paths(record).bundle)/attach")
            var attachment = Attachment(socket, streams, name: record.name)
            try attachment.run(call)
        }
    }
}

/// conmon's: packets, of which the first byte says what they are.
private struct ConsoleSocket {
    static let packet = 8192
    let fd: FileDescriptor

    init(_ path: String) throws {
        fd = FileDescriptor(
            try attempt("socket") {
                socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
            })
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw Errno(ENAMETOOLONG, "connect \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        try withUnsafePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                _ = try attempt("connect \(path)") {
                    connect(fd.raw, generic, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }

    /// nil: nothing now. Empty: the end.
    func receive() throws -> [UInt8]? {
        do {
            return try [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, filled in
                filled = try attempt("recv") { recv(fd.raw, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT)) }
            }
        } catch let error as Errno where error.code == EAGAIN {
            return nil
        } catch let error as Errno where error.code == ECONNRESET {
            return []
        }
    }

    /// false: no room now. ECONNRESET and EPIPE are the container's end, which `receive` will tell.
    func send(_ packet: [UInt8]) throws -> Bool {
        do {
            try attempt("send") {
                Glibc.send(fd.raw, packet, packet.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
            }
            return true
        } catch let error as Errno where error.code == EAGAIN {
            return false
        } catch let error as Errno where [EPIPE, ECONNRESET].contains(error.code) {
            return true
        }
    }

    func endInput() { shutdown(fd.raw, Int32(SHUT_WR)) }
}

private struct Attachment {
    private struct Side {
        var output: Output?
        /// What the reader has not taken yet.
        var backlog: [UInt8] = []
        var isOpen: Bool { output.map { !$0.isGone } ?? false }
    }

    private let socket: ConsoleSocket
    private let name: String
    private var input: FileDescriptor?
    private var typed: [UInt8] = []
    private var out: Side
    private var err: Side
    private var hasEnded = false
    /// conmon writes to all clients in turn and waits for the slowest: what a slow reader of ours leaves is kept here, up
    /// to this many bytes, before the container and the other clients feel it.
    private static let patience = 4 << 20

    init(_ socket: ConsoleSocket, _ streams: Streams, name: String) {
        self.socket = socket
        self.name = name
        // Borrowed: a duplicate, since ours closes itself.
        input = streams.stdin.flatMap { fd in
            let copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)
            return copy < 0 ? nil : FileDescriptor(copy)
        }
        out = Side(output: streams.stdout.map { Output($0) })
        err = Side(output: streams.stderr.map { Output($0) })
    }

    mutating func run(_ call: Call) throws {
        while true {
            try flush(&out)
            try flush(&err)
            let pending = (out.isOpen && !out.backlog.isEmpty) || (err.isOpen && !err.backlog.isEmpty)
            if hasEnded && !pending { return }
            if input == nil, typed.isEmpty, !out.isOpen, !err.isOpen { return }
            var entries = interests()
            try call.poll(&entries, for: "container '\(name)' to end")
            for (side, entry) in zip([out, err], entries[2...]) { side.output?.noteHangup(entry) }
            if entries[1].revents != 0 { try receive() }
            if entries[0].revents != 0 { try type() }
            try forward()
        }
    }

    /// Input, socket, and both outputs; -1 is left out by poll(2).
    private func interests() -> [pollfd] {
        let wantsInput = input != nil && typed.isEmpty
        let hasRoom = out.backlog.count + err.backlog.count < Self.patience && !hasEnded
        var onSocket = Int16(hasRoom ? POLLIN : 0)
        if !typed.isEmpty { onSocket |= Int16(POLLOUT) }
        return [
            pollfd(fd: wantsInput ? input?.raw ?? -1 : -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: hasEnded || onSocket == 0 ? -1 : socket.fd.raw, events: onSocket, revents: 0),
            interest(out), interest(err),
        ]
    }

    private func interest(_ side: Side) -> pollfd {
        guard let output = side.output, !output.isGone else { return pollfd(fd: -1, events: 0, revents: 0) }
        return pollfd(fd: output.raw, events: side.backlog.isEmpty ? 0 : Int16(POLLOUT), revents: 0)
    }

    private mutating func receive() throws {
        while out.backlog.count + err.backlog.count < Self.patience, let packet = try socket.receive() {
            guard let kind = packet.first else {
                hasEnded = true
                input = nil
                typed = []
                return
            }
            // 2 is standard output, and all of a terminal's; 3 is standard error.
            if kind == 3 {
                if err.isOpen { err.backlog += packet.dropFirst() }
            } else if out.isOpen {
                out.backlog += packet.dropFirst()
            }
        }
    }

    private mutating func type() throws {
        guard let input, let bytes = try input.read(ConsoleSocket.packet) else { return }
        if bytes.isEmpty {
            self.input = nil
            socket.endInput()
        }
        typed = bytes
    }

    private mutating func forward() throws {
        if !typed.isEmpty, try socket.send(typed) { typed = [] }
    }

    private func flush(_ side: inout Side) throws {
        guard let output = side.output, !side.backlog.isEmpty else { return }
        var offset = 0
        try side.backlog.withUnsafeBytes { buffer in
            while offset < buffer.count {
                let taken = try output.writeSome(UnsafeRawBufferPointer(rebasing: buffer[offset...]))
                if taken == 0 { return }
                offset += taken
            }
        }
        if output.isGone { side.backlog = [] } else { side.backlog.removeFirst(offset) }
    }
}
