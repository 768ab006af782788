import KinaCore
import Testing

@testable import KinaOCI

/// Killing and removing, with the kernel's own cgroups.
@Suite(.enabled(if: Bundle.canRun), .serialized)
struct CgroupRunTests {
    private func sleeper(_ script: String = "sleep 600") throws -> Bundle {
        let bundle = try Bundle({
            $0.command = ["sh", "-c", script]
            $0.resources.pids = 200
        })
        try bundle.start()
        return bundle
    }

    @Test func `the whole group dies and goes`() throws {
        let bundle = try sleeper("for i in 1 2 3; do sleep 600 & done; wait")
        try bundle.cgroup.kill(try Call(timeoutMs: 10_000))
        #expect(try bundle.cgroup.processes() == [])
        try bundle.cgroup.remove()
        try bundle.cgroup.remove()
        for hierarchy in bundle.cgroup.hierarchies.all { #expect(!Files.exists(hierarchy + bundle.cgroup.path)) }
    }

    /// It doubles every 50 ms until its limit, which ends its shells, so it is killed while it grows.
    @Test func `a fork bomb dies`() throws {
        let bundle = try Bundle({
            $0.command = ["sh", "-c", "bomb() { busybox usleep 50000; bomb & bomb & wait; }; bomb"]
            $0.resources.pids = 4000
        })
        try bundle.start()
        try wait { try bundle.cgroup.processes().count > 300 }
        try bundle.cgroup.kill(try Call(timeoutMs: 20_000))
        #expect(try bundle.cgroup.processes() == [])
        try bundle.cgroup.remove()
    }

    @Test func `a paused container dies`() throws {
        let bundle = try sleeper()
        #expect(!bundle.cgroup.isFrozen)
        try bundle.runc(["pause", bundle.record.id])
        #expect(bundle.cgroup.isFrozen)
        try bundle.cgroup.kill(try Call(timeoutMs: 10_000))
        #expect(try bundle.cgroup.processes() == [])
    }

    @Test func `an exec dies with its children, and alone`() throws {
        let bundle = try sleeper()
        let group = "abcd"
        try bundle.cgroup.makeProcessGroup(group)
        let spec = ProcessSpec(args: ["sh", "-c", "(sleep 600 & sleep 601 &); sleep 602 > /dev/null"])
        let file = "\(bundle.directory)/p.json"
        let root = "/proc/\(try #require(try bundle.cgroup.processes().first))/root"
        try Files.writeAtomically(
            file, try OCIConfig.process(spec, in: bundle.record, root: root, bundle.context), sync: false)
        let child = try Command(
            bundle.context.tools.ociRuntime,
            ["--root", bundle.paths.runtimeRoot, "exec"] + bundle.cgroup.processGroupArguments(group)
                + ["--process", file, bundle.record.id]
        ).spawn()
        try wait { try bundle.cgroup.processes().count >= 4 }
        #expect(throws: KinaError.self) { try bundle.cgroup.removeProcessGroup(group) }
        try bundle.cgroup.killProcessGroup(group, try Call(timeoutMs: 10_000))
        #expect(try child.wait(try Call(timeoutMs: 10_000)).code == 137)
        #expect(try bundle.cgroup.processes().count == 1)
        try bundle.cgroup.removeProcessGroup(group)
        try bundle.cgroup.removeProcessGroup(group)
    }

    @Test func `removing a group in use says who is in it`() throws {
        let bundle = try sleeper()
        let pid = try #require(try bundle.cgroup.processes().first)
        #expect {
            try bundle.cgroup.remove()
        } throws: { error in
            let error = KinaError(error)
            return error.code == .failedPrecondition && error.message.contains("\(pid)")
        }
    }

    @Test func `a group for a process of an ended container is refused`() throws {
        let cgroup = Cgroup("gone", path: "/kina/none/gone", CgroupHierarchies(try Context.detectCgroups()))
        #expect {
            try cgroup.makeProcessGroup("x")
        } throws: { KinaError($0).code == .failedPrecondition }
        #expect(try cgroup.processes() == [])
        try cgroup.kill(.unbounded)
        try cgroup.remove()
        #expect(cgroup.oomKills() == nil)
        #expect(cgroup.statistics(pid: 0).memory == nil)
    }

    @Test func `a process that memory runs out for is counted`() throws {
        let bundle = try Bundle({
            $0.command = ["sh", "-c", "(busybox tail /dev/zero); sleep 600"]
            $0.resources.memory = 16 << 20
        })
        try bundle.start()
        try wait { bundle.cgroup.oomKills() == 1 }
    }

    private func wait(_ condition: () throws -> Bool) throws {
        let call = try Call(timeoutMs: 10_000)
        while try !condition() { try call.sleep(ms: 5, for: "the container") }
    }
}
