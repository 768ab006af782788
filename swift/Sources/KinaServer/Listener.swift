import KinaCore
import KinaRemote

/// The one place of a home where a server listens, taken for as long as this lives.
final class Listener {
    private let place: ServerPlace
    private let lock: FileLock
    private var socket: Socket?

    /// Waits a moment for a predecessor that is just ending.
    init(_ place: ServerPlace) throws {
        self.place = place
        let call = try Call(timeoutMs: 10_000)
        lock = try doing("taking \(place.lock)") {
            try Files.makeDirectories(place.directory)
            do {
                return try FileLock(place.lock, call, for: "another kina-vmd to end")
            } catch let error as KinaError where error.code == .deadlineExceeded {
                let pid = (try? Files.readText(place.lock)) ?? ""
                throw KinaError(.alreadyExists, "kina-vmd (pid \(pid)) serves this home already", details: ["pid": pid])
            }
        }
    }

    func listen() throws {
        try doing("listening on \(place.socket)") {
            let pid = try FileDescriptor.open(place.lock, O_WRONLY | O_TRUNC)
            try writeAll(pid.raw, Array("\(getpid())".utf8))
            // What a server that was killed has left: the lock is ours.
            try Files.remove(place.socket)
            socket = try Socket.listen(on: place.socket, backlog: 128)
        }
    }

    var fd: Int32 { socket?.fd.raw ?? -1 }

    func accept() throws -> Socket? { try socket?.accept() }

    /// Those who connected and were not accepted see an end without a welcome, and start another server.
    func close() {
        try? Files.remove(place.socket)
        socket = nil
    }
}
