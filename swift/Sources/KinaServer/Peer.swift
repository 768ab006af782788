import KinaCore
import Synchronization

struct OwnedProcess: Sendable {
    let container: String
    let id: String
}

/// A program that uses the server, whatever number of connections it has. The processes that it started in containers
/// end with it.
///
/// Its end is the process's own, not that of its connections: a child of a fork keeps copies of those open.
final class Peer: Sendable {
    let pid: pid_t
    private let ending: FileDescriptor?
    private let state = Mutex(State())

    private struct State {
        var isGone = false
        var processes: [String: OwnedProcess] = [:]
    }

    init(pid: pid_t) {
        self.pid = pid
        ending = pid > 0 ? HostSystem.end(of: pid) : nil
    }

    /// Readable when it has ended.
    var fd: Int32 { ending?.raw ?? -1 }
    /// false: its end can't be seen, only that of its connections.
    var isWatched: Bool { ending != nil }
    var hasProcesses: Bool { state.withLock { !$0.processes.isEmpty } }

    /// One that comes too late is ended at once.
    func own(_ process: OwnedProcess, _ backend: any Backend) throws {
        let isLate = state.withLock { state in
            if !state.isGone { state.processes[process.id] = process }
            return state.isGone
        }
        guard isLate else { return }
        try backend.processes.delete(process.container, process.id)
        throw KinaError(.cancelled, "the program that asked for process \(process.id) has ended")
    }

    func disown(_ id: String) { _ = state.withLock { $0.processes.removeValue(forKey: id) } }

    /// What has to be ended now.
    func end() -> [OwnedProcess] {
        state.withLock { state in
            state.isGone = true
            defer { state.processes = [:] }
            return Array(state.processes.values)
        }
    }
}
