/// A descriptor of the caller's that bytes are written to: bounded by the call, deaf to SIGPIPE.
///
/// A write to a blocking pipe could not be cancelled, and O_NONBLOCK set on it would show in whoever shares it. A pipe
/// is therefore opened anew where the system can; sockets have a flag for it; what remains takes small pieces after a
/// poll.
package final class Output {
    private enum Kind { case pipe, socket, other }

    /// What the caller gave.
    package let raw: Int32
    /// Nobody reads any more.
    package private(set) var isGone = false
    private let kind: Kind
    private let own: FileDescriptor?
    /// What may be written at once after a poll.
    private let piece: Int
    private let hangupEvents: Int16

    package init(_ raw: Int32) {
        self.raw = raw
        var info = stat()
        let format = fstat(raw, &info) == 0 ? info.st_mode & S_IFMT : 0
        let isPipe = format == S_IFIFO
        own = isPipe ? Self.openAnew(raw) : nil
        kind = own != nil ? .pipe : format == S_IFSOCK ? .socket : .other
        piece = isPipe ? Int(PIPE_BUF) : 4096
        // Linux reports a hangup always. macOS only on request, which of anything but a pipe is a request for what
        // can be read as well.
        hangupEvents = isPipe ? Int16(POLLHUP) : 0
    }

    /// Writes all of it, waiting for the reader within the call. false when the reader is gone.
    @discardableResult
    package func write(
        _ bytes: some RandomAccessCollection<UInt8>, _ call: Call, for waitedFor: @autoclosure () -> String
    )
        throws -> Bool
    {
        let done: Bool? = try bytes.withContiguousStorageIfAvailable { buffer in
            var offset = 0
            while offset < buffer.count, !isGone {
                let taken = try writeSome(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[offset...]))
                offset += taken
                if taken == 0, !isGone {
                    var entries = [pollfd(fd: raw, events: Int16(POLLOUT), revents: 0)]
                    try call.poll(&entries, for: waitedFor())
                }
            }
            return !isGone
        }
        return try done ?? write(Array(bytes), call, for: waitedFor())
    }

    /// As much as there is room for now; 0 when there is none, or nobody to read it (`isGone`).
    package func writeSome(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        if isGone || bytes.isEmpty { return 0 }
        do {
            return try Self.withoutSigpipe(raw) {
                switch kind {
                case .pipe: try attempt("write") { systemWrite(own?.raw ?? raw, bytes.baseAddress, bytes.count) }
                case .socket:
                    try attempt("send") {
                        send(raw, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
                    }
                case .other: try writeWhenReady(bytes)
                }
            }
        } catch let error as Errno where error.code == EAGAIN {
            return 0
        } catch let error as Errno where [EPIPE, ECONNRESET, EIO].contains(error.code) {
            isGone = true  // EIO is a terminal whose other side is closed
            return 0
        }
    }

    private func writeWhenReady(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        var entry = pollfd(fd: raw, events: Int16(POLLOUT), revents: 0)
        if poll(&entry, 1, 0) == 0 { return 0 }
        return try attempt("write") { systemWrite(raw, bytes.baseAddress, min(bytes.count, piece)) }
    }

    /// For `Call.poll`: reports only that the reader has gone.
    package var hangup: pollfd { pollfd(fd: raw, events: hangupEvents, revents: 0) }

    package func noteHangup(_ entry: pollfd) {
        if entry.revents & Int16(POLLERR | POLLHUP | POLLNVAL) != 0 { isGone = true }
    }
}
