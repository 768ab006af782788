import KinaCore
import Testing

@testable import KinaOCI

/// v2 and pure v1 can't run beside each other: their files are laid out in directories, as the kernel writes them.
final class CgroupFixtureTests {
    private let root = "/tmp/kina-cgroup-\(Identifier.random(8))"

    deinit { try? Files.removeTree(root) }

    private func lay(_ files: [String: String]) throws {
        for (path, text) in files {
            let full = "\(root)/\(path)"
            try Files.makeDirectories(String(full[..<(full.lastIndex(of: "/") ?? full.endIndex)]))
            try Files.writeAtomically(full, Array(text.utf8), sync: false)
        }
    }

    private func group(_ mode: Context.Cgroups, runtime: String = "/usr/bin/runc") -> Cgroup {
        Cgroup("id", path: "/kina/h/id", CgroupHierarchies(mode, root: root), runtime: runtime)
    }

    @Test func `v2 figures are read`() throws {
        try lay([
            "kina/h/id/cpu.stat": "usage_usec 2500\nuser_usec 2000\nsystem_usec 500\nnr_periods 0\n",
            "kina/h/id/memory.current": "1000000\n", "kina/h/id/memory.max": "max\n",
            "kina/h/id/memory.stat": "anon 4096\ninactive_anon 7\nfile 5\ninactive_file 400000\n",
            "kina/h/id/memory.events": "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n",
            "kina/h/id/pids.current": "7\n", "kina/h/id/pids.max": "512\n",
            "kina/h/id/io.stat":
                "8:0 rbytes=4096 wbytes=100 rios=1 wios=2 dbytes=0 dios=0\n8:16 \n252:0 rbytes=1 wbytes=2 rios=1\n",
        ])
        let sample = group(.v2).statistics(pid: 0)
        #expect(sample.cpuNs == 2_500_000)
        #expect(sample.cpuModesNs.map { $0 == (2_000_000, 500_000) } == true)
        #expect(sample.memory.map { $0 == (1_000_000, 600_000) } == true)
        #expect(sample.memoryLimit == nil)
        #expect(sample.pids == 7 && sample.pidsLimit == 512)
        #expect(sample.blockIO.map { $0 == (4097, 102) } == true)
        #expect(sample.oomKills == 2)
        #expect(sample.network == nil)
    }

    @Test func `v1 figures are read, from shared directories too`() throws {
        try lay([
            "cpu,cpuacct/kina/h/id/cpuacct.usage": "123\n", "cpu,cpuacct/kina/h/id/cpuacct.usage_user": "100\n",
            "cpu,cpuacct/kina/h/id/cpuacct.usage_sys": "23\n", "memory/kina/h/id/memory.usage_in_bytes": "5000\n",
            "memory/kina/h/id/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/kina/h/id/memory.stat": "inactive_file 1\ntotal_inactive_file 6000\n",
            "memory/kina/h/id/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
            "pids/kina/h/id/pids.current": "1\n", "pids/kina/h/id/pids.max": "max\n",
            "blkio/kina/h/id/blkio.throttle.io_service_bytes_recursive":
                "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Total 30\nTotal 30\n",
        ])
        let sample = group(.v1).statistics(pid: 0)
        #expect(sample.cpuNs == 123 && sample.cpuModesNs.map { $0 == (100, 23) } == true)
        #expect(sample.memory.map { $0 == (5000, 0) } == true)
        #expect(sample.memoryLimit == nil && sample.pidsLimit == nil && sample.pids == 1)
        #expect(sample.blockIO.map { $0 == (10, 20) } == true)
        #expect(sample.oomKills == 1)
    }

    @Test func `what is not there is absent, not 0`() throws {
        for mode in [Context.Cgroups.v1, .v2, .hybrid] {
            let sample = group(mode).statistics(pid: 0)
            #expect(
                sample.cpuNs == nil && sample.memory == nil && sample.pids == nil && sample.blockIO == nil
                    && sample.oomKills == nil)
        }
    }

    @Test func `processes are found in every group beneath`() throws {
        try lay([
            "kina/h/id/cgroup.procs": "10\n11\n", "kina/h/id/init.scope/cgroup.procs": "12\n",
            "kina/h/id/a/b/cgroup.procs": "0\n13\n",
            "kina/h/other/cgroup.procs": "99\n",
        ])
        #expect(Set(try group(.v2).processes()) == [10, 11, 12, 13])
    }

    @Test func `frozen is told from both kernels' files`() throws {
        try lay(["kina/h/id/cgroup.freeze": "1\n", "freezer/kina/h/id/freezer.state": "FREEZING\n"])
        #expect(group(.v2).isFrozen && group(.v1).isFrozen)
        try lay(["kina/h/id/cgroup.freeze": "0\n", "freezer/kina/h/id/freezer.state": "THAWED\n"])
        #expect(!group(.v2).isFrozen && !group(.v1).isFrozen)
    }

    @Test func `cgroup kill is used where the kernel has it`() throws {
        try lay(["kina/h/id/cgroup.procs": "", "kina/h/id/cgroup.kill": ""])
        try group(.v2).kill(.unbounded)
        #expect(try Files.readText("\(root)/kina/h/id/cgroup.kill") == "1")
    }

    @Test func `an exec's group is named for each runtime`() throws {
        try lay(["freezer/x": "", "memory/x": ""])
        #expect(group(.v1).processGroupArguments("p") == ["--cgroup", "freezer:exec-p"])
        #expect(group(.v1, runtime: "/usr/bin/crun").processGroupArguments("p") == ["--cgroup", "exec-p"])
        #expect(group(.v2).processGroupArguments("p") == ["--cgroup", "exec-p"])
        try Files.makeDirectories("\(root)/freezer/kina/h/id")
        try group(.v1).makeProcessGroup("p")
        #expect(Files.isDirectory("\(root)/freezer/kina/h/id/exec-p"))
        try group(.v1).removeProcessGroup("p")
        #expect(!Files.exists("\(root)/freezer/kina/h/id/exec-p"))
    }

    @Test func `swap is known to be counted, or not`() throws {
        #expect(Cgroup.countsSwap(.v2, root: root))
        try lay(["system.slice/memory.max": "max\n"])
        #expect(!Cgroup.countsSwap(.v2, root: root))
        try lay(["system.slice/memory.swap.max": "max\n"])
        #expect(Cgroup.countsSwap(.v2, root: root))
        #expect(!Cgroup.countsSwap(.v1, root: root))
    }

    @Test func `interfaces are summed without the loopback`() {
        let file = SmallFile(
            """
            Inter-|   Receive                                                |  Transmit
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
                lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
              eth0:    1000      10    0    0    0     0          0         0     2000      20    0    0    0     0       0          0
            eth1:5 1 0 0 0 0 0 0 6 2 0 0 0 0 0 0

            """)
        #expect(Cgroup.network(file).map { $0 == (1005, 2006, 11, 22) } == true)
        #expect(Cgroup.network(SmallFile("a\nb\n")) == nil)
    }

    @Test func `numbers are read as far as they go`() {
        #expect(SmallFile("123\n").number == 123)
        #expect(SmallFile("max\n").number == nil)
        #expect(SmallFile("99999999999999999999").number == nil)
        #expect(SmallFile("oom_kill_disable 1\noom_kill 3").value(of: "oom_kill") == 3)
        #expect(SmallFile("").value(of: "x") == nil)
    }
}
