import KinaCore
import Testing

@testable import KinaOCI

/// What the OCI runtime makes of our documents, for real.
@Suite(.enabled(if: Bundle.canRun), .serialized)
struct ConfigRunTests {
    @Test func `a container runs with the default limits of power`() throws {
        let output = try Bundle.sh(
            "id; hostname; cat /proc/self/status | grep -E 'Cap|NoNewPrivs|Seccomp:'; echo $PATH $HOME; pwd")
        #expect(output.errorText == "")
        #expect(output.text.contains("uid=0(root) gid=0(root)"))
        #expect(output.text.contains("box\n"))
        // Eleven capabilities: bits 0 1 3 4 5 6 7 8 10 18 31.
        #expect(output.text.contains("CapEff:\t00000000800405fb"))
        #expect(output.text.contains("CapBnd:\t00000000800405fb"))
        #expect(output.text.contains("CapInh:\t0000000000000000"))
        #expect(output.text.contains("NoNewPrivs:\t1"))
        #expect(output.text.contains("Seccomp:\t2"))
        #expect(output.text.hasSuffix("\(OCIProcess.path) /root\n/\n"))
    }

    @Test func `a named user has its groups, its home and no capability in effect`() throws {
        let output = try Bundle.sh("id; echo $HOME; cat /proc/self/status | grep -E 'CapEff|CapBnd'") {
            $0.user = "alice"
            $0.groups = ["audio", "4242"]
        }
        #expect(
            output.text == """
                uid=1000(alice) gid=1001(alice) groups=10(wheel),29(audio),4242
                /home/alice
                CapEff:\t0000000000000000
                CapBnd:\t00000000800405fb

                """)
    }

    @Test func `a privileged container has all that this host can give`() throws {
        let output = try Bundle.sh(
            """
            grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status
            mount -t tmpfs none /tmp && echo mounted
            ls /dev/kmsg
            """
        ) { $0.privileged = true }
        let own = try Files.readText("/proc/self/status").split(separator: "\n").first { $0.hasPrefix("CapBnd:") }
        #expect(output.text.contains("CapEff:\t" + (own?.split(separator: "\t").last ?? "?")))
        #expect(output.text.contains("NoNewPrivs:\t0") && output.text.contains("Seccomp:\t0"))
        #expect(output.text.contains("mounted"))
        #expect(output.text.contains("/dev/kmsg"))
    }

    @Test func `mounts, tmpfs, read-only root and shm are as asked`() throws {
        let output = try Bundle.sh(
            """
            cat /proc/mounts; touch /x 2>&1; touch /data/x 2>&1; touch /scratch/x && echo scratched
            stat -c %a /scratch
            """
        ) { spec in
            spec.readOnlyRoot = true
            var bind = MountSpec(type: .bind, source: "/usr/share", target: "/data/")
            bind.readOnly = true
            var scratch = MountSpec(type: .tmpfs, source: nil, target: "/scratch")
            scratch.size = 1 << 20
            scratch.options = ["exec", "mode=750"]
            spec.mounts = [bind, scratch]
            spec.sandbox.shmSize = 8 << 20
        }
        #expect(output.text.contains("touch: /x: Read-only file system"))
        #expect(output.text.contains("touch: /data/x: Read-only file system"))
        #expect(output.text.contains("scratched\n750"))
        #expect(output.text.contains("tmpfs /scratch tmpfs rw,nosuid,nodev,relatime,size=1024k,mode=750"))
        #expect(output.text.contains("shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=8192k"))
        #expect(output.text.contains(" /sys sysfs ro,"))
        #expect(output.text.contains(" /etc/hosts "))
    }

    @Test func `cgroups are read-only unless asked for`() throws {
        let script =
            "cd /sys/fs/cgroup; if busybox test -d pids; then cd pids; fi; busybox mkdir x && echo made"
        #expect(try Bundle.sh(script).errorText.contains("Read-only file system"))
        #expect(try Bundle.sh(script) { $0.writableCgroups = true }.text == "made\n")
    }

    @Test func `limits reach the kernel`() throws {
        let limit = try JSON.decode(
            RlimitSpec.self, from: #"{"type": "nofile", "soft": 100, "hard": 200}"#, what: "limit")
        let bundle = try Bundle({ spec in
            spec.command = ["sleep", "60"]
            spec.resources.cpus = 0.5
            spec.resources.cpuWeight = 200
            spec.resources.cpuset = "0"
            spec.resources.memory = 32 << 20
            spec.resources.pids = 17
            spec.rlimits = [limit]
        })
        try bundle.start()
        let pid = try #require(try bundle.cgroup.processes().first)
        #expect(
            try Files.readText("/proc/\(pid)/limits").contains("Max open files            100                  200"))
        let sample = bundle.cgroup.statistics(pid: pid)
        #expect(sample.memoryLimit == 32 << 20)
        #expect(sample.pidsLimit == 17)
        #expect(sample.pids ?? 0 >= 1)
        #expect(sample.memory.map { $0.bytes > 0 && $0.workingSet <= $0.bytes } ?? false)
        #expect(sample.cpuNs ?? 0 > 0)
        #expect(sample.oomKills == 0)
        #expect(sample.blockIO != nil)
    }

    @Test func `limits change while it runs`() throws {
        let bundle = try Bundle({
            $0.command = ["sleep", "60"]
            $0.resources.memory = 32 << 20
        })
        try bundle.start()
        var limits = ResourcesSpec()
        limits.memory = 64 << 20
        limits.pids = 9
        limits.cpus = 1.5
        let output = try Command(
            bundle.context.tools.ociRuntime,
            ["--root", bundle.paths.runtimeRoot, "update", "--resources", "-", bundle.record.id]
        ).run(Call(timeoutMs: 10_000), input: try OCIConfig.resources(limits, bundle.context))
        #expect(output.errorText == "")
        let sample = bundle.cgroup.statistics(pid: 0)
        #expect(sample.memoryLimit == 64 << 20 && sample.pidsLimit == 9)
    }

    @Test func `a command that devices and sysctls are given to has them`() throws {
        let device = try JSON.decode(
            DeviceSpec.self, from: #"{"source": "/dev/zero", "target": "/dev/my", "permissions": "r"}"#, what: "device")
        let output = try Bundle.sh(
            """
            ls -l /dev/my; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni
            busybox head -c 3 /dev/my && echo read
            """
        ) {
            $0.devices = [device]
            $0.sandbox.sysctls = ["net.ipv4.ip_forward": "1", "kernel.shmmni": "77"]
        }
        #expect(output.text.contains("1,   5") && output.text.contains("1\n77\n") && output.text.contains("read"))
    }

    @Test(.enabled(if: Command.find("tini-static") != nil)) func `init is process 1 and leaves no trace`() throws {
        let bundle = try Bundle({
            $0.`init` = true
            $0.command = ["sh", "-c", "cat /proc/1/cmdline; cat /proc/mounts | grep /dev/init"]
        })
        let output = try bundle.run()
        #expect(output.text.hasPrefix("/dev/init\0--\0sh\0"))
        #expect(!Files.exists("\(bundle.paths.rootfs)/dev/init"))
    }

    @Test func `a working directory that is not there is made`() throws {
        #expect(try Bundle.sh("pwd") { $0.workdir = "/deep/er" }.text == "/deep/er\n")
    }

    @Test func `a custom profile in the runtime's form filters`() throws {
        let output = try Bundle.sh("busybox mkdir /tmp/x; echo ran") {
            $0.seccomp.profile = .custom
            $0.seccomp.json = """
                {"defaultAction": "SCMP_ACT_ALLOW",
                 "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}
                """
        }
        #expect(output.errorText.contains("Permission denied") && output.text == "ran\n")
    }

    @Test func `an exec has the container's surroundings and its own changes`() throws {
        let bundle = try Bundle({ spec in
            spec.command = ["sleep", "60"]
            spec.env = ["A": "1", "B": "2"]
            spec.workdir = "/tmp"
        })
        try bundle.start()
        var spec = ProcessSpec(args: [
            "sh", "-c", "echo $A$B$C; pwd; id -un; echo $HOME; grep CapEff /proc/self/status",
        ])
        spec.env = ["B": "b", "C": "c"]
        #expect(try bundle.exec(spec).text == "1bc\n/tmp\nroot\n/root\nCapEff:\t00000000800405fb\n")
        spec.user = "alice"
        spec.workdir = "/etc"
        #expect(try bundle.exec(spec).text == "1bc\n/etc\nalice\n/home/alice\nCapEff:\t0000000000000000\n")
        spec.privileged = true
        let bounding = try Files.readText("/proc/self/status").split(separator: "\n").first { $0.hasPrefix("CapBnd:") }
        spec.user = nil
        #expect(try bundle.exec(spec).text.contains("CapEff:\t" + (bounding?.split(separator: "\t").last ?? "?")))
    }
}
