import KinaCore
import Synchronization
import Testing

@testable import KinaRemote

/// kina-vmd as a program of its own.
@Suite(.enabled(if: Served.canRun), .serialized)
struct LaunchTests {
    /// A home whose server goes with the object.
    final class Launched {
        let options = Served.newOptions()
        let place: ServerPlace

        init() throws { place = ServerPlace(try Home(options.home)) }

        deinit {
            if let pid { kill(pid, SIGKILL) }
            Served.remove(options)
        }

        var pid: pid_t? { (try? Files.readText(place.lock)).flatMap { pid_t($0) } }

        func killServer() throws {
            let pid = try #require(pid)
            kill(pid, SIGKILL)
            try waitUntil("the server to be dead") { kill(pid, 0) != 0 || isZombie(pid) }
        }

        /// The first thread alone can be one while the others still hold the process's connections.
        private func isZombie(_ pid: pid_t) -> Bool {
            guard let tasks = try? Files.list("/proc/\(pid)/task"), tasks.count <= 1 else { return false }
            return (try? Files.readText("/proc/\(pid)/stat"))?.split(separator: ")").last?.hasPrefix(" Z") ?? true
        }
    }

    @Test func `many who need a server at once get the same one`() throws {
        let launched = try Launched()
        let pids = Mutex<[pid_t]>([])
        for _ in 0..<8 {
            try startThread { [options = launched.options, place = launched.place] in
                do {
                    let backend = try RemoteBackend(options)
                    _ = try backend.volumes.list()
                    let pid = pid_t(try Files.readText(place.lock)) ?? 0
                    pids.withLock { $0.append(pid) }
                } catch { Issue.record(error) }
            }
        }
        try waitUntil("all have one") { pids.withLock { $0.count } == 8 }
        #expect(Set(pids.withLock { $0 }).count == 1)
    }

    @Test func `it has a session of its own and holds nothing of the caller's`() throws {
        let launched = try Launched()
        let pipe = try FileDescriptor.pipe()
        let backend = try RemoteBackend(launched.options)
        let pid = try #require(launched.pid)
        #expect(getsid(pid) == pid)
        #expect(readLink("/proc/\(pid)/cwd") == "/")
        let held = try Files.list("/proc/\(pid)/fd").compactMap { readLink("/proc/\(pid)/fd/\($0)") }
        #expect(readLink("/proc/self/fd/\(pipe.read.raw)").map(held.contains) == false)
        _ = backend
    }

    @Test func `killed while idle, it is started anew and nobody notices`() throws {
        let launched = try Launched()
        let backend = try RemoteBackend(launched.options)
        for _ in 0..<3 {
            try launched.killServer()
            #expect(try backend.volumes.list().volumes.isEmpty)
        }
    }

    @Test func `killed in a call, that says UNAVAILABLE; the next one works and containers live on`() throws {
        let launched = try Launched()
        let backend = try RemoteBackend(launched.options)
        let image = try makeImage(backend)
        let call = try Call(timeoutMs: 60_000)
        let box = try backend.containers.create(isolated(image, ["sleep", "600"]), call)
        _ = try backend.containers.start(box.id, call)
        defer { try? backend.containers.delete(box.id, force: true, call) }

        let null = try FileDescriptor.open("/dev/null", O_WRONLY)
        let calls: [(String, @Sendable () throws -> Void)] = [
            ("events", { try backend.events(EventFilter(), to: null.raw, call) }),
            ("processWait", { _ = try backend.processes.wait(box.id, nil, call) }),
            (
                "containerLogs",
                {
                    var request = LogRequest()
                    request.follow = true
                    try backend.containers.logs(box.id, request, Streams(stdout: null.raw), call)
                }
            ),
            (
                "containerStatistics",
                {
                    try backend.containers.statistics(box.id, intervalNs: 3_600_000_000_000, call) { _ in true }
                }
            ),
            ("containerRun", { _ = try backend.containers.run(isolated(image, ["sleep", "600"]), Streams(), call) }),
        ]
        for (name, perform) in calls {
            let outcome = Mutex<KinaError?>(nil)
            try startThread {
                do { try perform() } catch { outcome.withLock { $0 = KinaError(error) } }
            }
            usleep(600_000)
            try launched.killServer()
            try waitUntil("\(name) to fail") { outcome.withLock { $0 } != nil }
            let error = try #require(outcome.withLock { $0 })
            #expect(error.code == .unavailable && error.message.contains(name) && error.hint != nil, "\(error)")
            #expect(error.details["method"] == name)
            #expect(try backend.containers.get(box.id).state == .running)
        }
        // What the killed server ran the short way died with it.
        try waitUntil("only one to run") {
            var running = ContainerFilter()
            running.states = [.running]
            return try backend.containers.list(running).containers.map(\.id) == [box.id]
        }
        var all = PruneRequest()
        all.containers = true
        _ = try backend.prune(all, call)
        #expect(try backend.containers.list(ContainerFilter()).containers.map(\.id) == [box.id])
    }

    @Test func `a stopped server is reported, not waited for without end`() throws {
        let launched = try Launched()
        _ = try RemoteBackend(launched.options)
        let pid = try #require(launched.pid)
        kill(pid, SIGSTOP)
        defer { kill(pid, SIGCONT) }
        let error = #expect(throws: KinaError.self) { try RemoteBackend(launched.options) }
        #expect(error?.code == .unavailable && error?.hint?.contains(launched.place.lock) == true)
    }

    @Test func `what keeps it from starting is the caller's error`() throws {
        let launched = try Launched()
        var options = launched.options
        options.ociRuntime = "no-such-runtime"
        let error = #expect(throws: KinaError.self) { try RemoteBackend(options) }
        #expect(error?.code == .unavailable && error?.message.contains("no-such-runtime") == true)
        #expect(error?.hint?.contains("apt-get") == true)
        options.libexec = "/nowhere"
        let missing = #expect(throws: KinaError.self) { try RemoteBackend(options) }
        #expect(missing?.code == .unavailable && missing?.message.contains("/nowhere/kina-vmd") == true)
    }
}
