import KinaCore
import Testing

@testable import KinaOCI

struct AccountsTests {
    private let accounts = Accounts(
        passwd:
            "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x\nalice:x:1000:1001::/home/alice:\n7:x:8:8::/seven:\n"
            + "huge:x:4294967296:0::/:\n",
        group: "root:x:0:\nstaff:x:50:alice\nwheel:x:10:bob,alice\nalice:x:1001:alice\n")

    @Test(arguments: [
        ("", ContainerUser(uid: 0, gid: 0, groups: [], home: "/root")),
        ("root", ContainerUser(uid: 0, gid: 0, groups: [], home: "/root")),
        ("alice", ContainerUser(uid: 1000, gid: 1001, groups: [50, 10], home: "/home/alice")),
        ("1000", ContainerUser(uid: 1000, gid: 1001, groups: [50, 10], home: "/home/alice")),
        ("alice:wheel", ContainerUser(uid: 1000, gid: 10, groups: [], home: "/home/alice")),
        ("1000:99", ContainerUser(uid: 1000, gid: 99, groups: [], home: "/home/alice")),
        ("4242", ContainerUser(uid: 4242, gid: 0, groups: [], home: "/")),
        ("7", ContainerUser(uid: 8, gid: 8, groups: [], home: "/seven")),
    ])
    func `users resolve as Docker resolves them`(user: String, expected: ContainerUser) throws {
        #expect(try accounts.resolve(user, groups: []) == expected)
    }

    @Test func `further groups are added once`() throws {
        #expect(try accounts.resolve("alice", groups: ["staff", "4", "wheel"]).groups == [50, 10, 4])
    }

    @Test(arguments: ["bob", "huge", "4294967296", "alice:nope", ":", "2147483648"])
    func `who is not there is named`(user: String) {
        #expect { try accounts.resolve(user, groups: []) } throws: { KinaError($0).details["field"] == "user" }
    }

    @Test func `links of the image lead nowhere but into it`() throws {
        let root = "/tmp/kina-accounts-\(Identifier.random(8))"
        defer { try? Files.removeTree(root) }
        try Files.makeDirectories("\(root)/etc")
        symlink("/etc/../../../../../../etc/passwd", "\(root)/etc/passwd")
        #expect(try Accounts(root: root).resolve("", groups: []).home == "/")
        try Files.remove("\(root)/etc/passwd")
        mkfifo("\(root)/etc/passwd", 0o644)
        #expect { try Accounts(root: root) } throws: { KinaError($0).code == .failedPrecondition }
    }
}

struct CapabilitySetsTests {
    private let host = Set(Capabilities.names).subtracting(["CAP_SYS_RESOURCE"])

    private func set(_ change: (inout ContainerSpec) -> Void) throws -> Set<String> {
        var spec = ContainerSpec(image: "x")
        change(&spec)
        return try CapabilitySets.of(spec, bounding: host)
    }

    @Test func `sets add up`() throws {
        #expect(try set { _ in } == CapabilitySets.defaults)
        #expect(try set { $0.privileged = true } == host)
        #expect(try set { $0.capAdd = ["ALL"] } == host)
        #expect(
            try set {
                $0.capAdd = ["ALL"]; $0.capDrop = ["kill"]
            } == host.subtracting(["CAP_KILL"]))
        #expect(try set { $0.capDrop = ["ALL"] } == [])
        #expect(
            try set {
                $0.capDrop = ["ALL"]; $0.capAdd = ["net_raw"]
            } == ["CAP_NET_RAW"])
        #expect(
            try set {
                $0.capAdd = ["KILL"]; $0.capDrop = ["KILL"]
            } == CapabilitySets.defaults.subtracting(["CAP_KILL"]))
    }

    @Test func `what the host lacks is refused by name`() {
        #expect { try set { $0.capAdd = ["SYS_RESOURCE"] } } throws: {
            KinaError($0).code == .failedPrecondition && KinaError($0).message.contains("CAP_SYS_RESOURCE")
        }
    }

    @Test func `the bounding set is read from status`() {
        #expect(CapabilitySets.parseBounding("Name:\tx\nCapBnd:\t0000000000000021\n") == ["CAP_CHOWN", "CAP_KILL"])
        #expect(CapabilitySets.parseBounding("CapBnd:\t000001ffffffffff\n") == Set(Capabilities.names))
        #expect(CapabilitySets.parseBounding("nothing") == [])
    }
}

struct SeccompTests {
    private let host = SeccompProfile.Host(arch: "amd64", architecture: "SCMP_ARCH_X86_64", kernel: KernelVersion(5, 0))

    private func resolve(_ json: String, _ capabilities: Set<String> = []) throws -> OCI.Seccomp {
        let profile = try JSON.decode(SeccompProfile.self, from: json, what: "profile")
        try profile.check()
        return profile.resolved(capabilities, host)
    }

    private func rule(_ condition: String) -> String {
        #"""
        {"defaultAction": "SCMP_ACT_ERRNO",
         "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", \#(condition)}]}
        """#
    }

    @Test(arguments: [
        (#""includes": {}, "excludes": {}"#, true), (#""includes": {"caps": ["CAP_A"]}"#, true),
        (#""includes": {"caps": ["CAP_A", "CAP_B"]}"#, false),
        (#""excludes": {"caps": ["CAP_A"]}"#, false), (#""excludes": {"caps": ["CAP_B"]}"#, true),
        (#""includes": {"arches": ["s390"]}"#, false),
        (#""includes": {"arches": ["amd64", "x32"]}"#, true), (#""excludes": {"arches": ["amd64"]}"#, false),
        (#""includes": {"minKernel": "4.8"}"#, true),
        (#""includes": {"minKernel": "5.1"}"#, false), (#""excludes": {"minKernel": "4.8"}"#, false),
    ])
    func `conditions decide which rules hold`(condition: String, holds: Bool) throws {
        #expect(try resolve(rule(condition), ["CAP_A"]).syscalls.isEmpty == !holds)
    }

    @Test func `the runtime's form stays as it is`() throws {
        let profile = try resolve(
            #"""
            {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_ARM"],
             "syscalls": [{"name": "kill", "action": "SCMP_ACT_ERRNO", "errnoRet": 7,
                           "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}]}]}
            """#
        )
        #expect(profile.architectures == ["SCMP_ARCH_ARM"])
        #expect(
            profile.syscalls[0].names == ["kill"] && profile.syscalls[0].errnoRet == 7
                && profile.syscalls[0].args?[0].value == 9)
    }

    @Test(arguments: [
        "{}", "[]", #"{"defaultAction": "ALLOW"}"#,
        #"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_KILL"}]}"#,
        #"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_KIL"}]}"#,
        #"""
        {"defaultAction": "SCMP_ACT_ALLOW",
         "syscalls": [{"names": ["x"], "action": "SCMP_ACT_KILL",
                       "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}
        """#,
    ])
    func `a profile with mistakes is refused`(json: String) {
        var spec = ContainerSpec(image: "x")
        spec.seccomp.profile = .custom
        spec.seccomp.json = json
        #expect { try Seccomp.json(spec, capabilities: []) } throws: {
            KinaError($0).details["field"] == "seccomp.json"
        }
    }

    @Test(.enabled(if: Seccomp.files.contains(where: Files.exists)))
    func `the default profile follows the capabilities and is made once for them`() throws {
        let spec = ContainerSpec(image: "x")
        let plain = try #require(try Seccomp.json(spec, capabilities: CapabilitySets.defaults))
        let admin = try #require(try Seccomp.json(spec, capabilities: ["CAP_SYS_ADMIN"]))
        #expect(plain != admin)
        #expect(try Seccomp.json(spec, capabilities: CapabilitySets.defaults) == plain)
        #expect(String(decoding: plain, as: UTF8.self).contains("SCMP_ARCH_"))
    }

    @Test func `kernel versions compare`() {
        #expect(KernelVersion("6.18.44-fc") == KernelVersion(6, 18))
        #expect(KernelVersion("1.1.5+ds1") == KernelVersion(1, 1))
        #expect(KernelVersion(5, 9) < KernelVersion(5, 11))
        #expect(KernelVersion("six") == nil)
    }
}

/// Documents that need no runtime.
@Suite(.enabled(if: Bundle.canRun))
struct ConfigUnitTests {
    private struct Config: Decodable {
        struct Process: Decodable {
            var args: [String]
            var env: [String]
            var cwd: String
        }
        struct Mount: Decodable {
            var destination: String
            var options: [String]
        }
        struct Linux: Decodable {
            struct Device: Decodable { var path: String }
            struct Namespace: Decodable {
                var type: String
                var path: String?
            }
            var devices: [Device]
            var namespaces: [Namespace]
            var cgroupsPath: String
            var sysctl: [String: String]
            var rootfsPropagation: String?
        }
        var process: Process
        var hostname: String?
        var mounts: [Mount]
        var linux: Linux
    }

    private func config(_ image: ImageConfig = ImageConfig(), _ change: (inout ContainerSpec) -> Void) throws -> Config
    {
        try JSON.decode(Config.self, from: try Bundle(change, image: image).config(), what: "config.json")
    }

    private var image: ImageConfig {
        var image = ImageConfig()
        image.entrypoint = ["entry"]
        image.command = ["serve"]
        image.env = ["A": "image", "B": "image", "PATH": "/image"]
        image.workdir = "/srv"
        return image
    }

    @Test func `entrypoint and command combine by Docker's rules`() throws {
        #expect(try config(image) { _ in }.process.args == ["entry", "serve"])
        #expect(try config(image) { $0.command = ["x"] }.process.args == ["entry", "x"])
        #expect(try config(image) { $0.command = [] }.process.args == ["entry"])
        #expect(try config(image) { $0.entrypoint = ["e"] }.process.args == ["e"])
        #expect(
            try config(image) {
                $0.entrypoint = []; $0.command = ["x"]
            }.process.args == ["x"])
        #expect { try config { _ in } } throws: {
            KinaError($0).details["field"] == "command" && KinaError($0).hint != nil
        }
        #expect { try config(image) { $0.entrypoint = [] } } throws: { KinaError($0).details["field"] == "command" }
    }

    @Test func `the environment is layered`() throws {
        let process = try config(image) {
            $0.env = ["B": "spec", "HOME": "/mine"]; $0.terminal = true
        }.process
        #expect(process.env == ["A=image", "B=spec", "HOME=/mine", "HOSTNAME=box", "PATH=/image", "TERM=xterm"])
        #expect(process.cwd == "/srv")
    }

    @Test func `outer mounts come first, and the user's take the usual ones' place`() throws {
        let config = try config(image) { spec in
            spec.mounts = [
                MountSpec(type: .tmpfs, source: nil, target: "/a/b/c"),
                MountSpec(type: .tmpfs, source: nil, target: "/a"),
                MountSpec(type: .tmpfs, source: nil, target: "/dev/shm/"),
                MountSpec(type: .tmpfs, source: nil, target: "/etc"),
            ]
        }
        let targets = config.mounts.map(\.destination)
        let place = { (target: String) in targets.firstIndex(of: target) ?? -1 }
        #expect(
            place("/a") < place("/a/b/c") && place("/etc") < place("/etc/hosts") && place("/dev") < place("/dev/shm"))
        #expect(targets.filter { $0 == "/dev/shm" }.count == 1)
        #expect(config.mounts[place("/dev/shm")].options == ["nosuid", "nodev", "mode=1777"])
    }

    @Test func `namespaces are the host's where asked for`() throws {
        let config = try config(image) {
            $0.sandbox.namespaces.network = .host
            $0.sandbox.namespaces.pid = .host
            $0.sandbox.namespaces.ipc = .host
            $0.sandbox.namespaces.uts = .host
            $0.sandbox.namespaces.cgroup = .host
        }
        #expect(config.linux.namespaces.map(\.type) == ["mount"])
        #expect(config.hostname == nil)
        #expect(config.linux.sysctl == [:])
        #expect(
            try self.config(image) { _ in }.linux.namespaces.map(\.type) == [
                "mount", "network", "pid", "ipc", "uts", "cgroup",
            ])
    }

    @Test func `a mount that others shall see makes the root pass it on`() throws {
        var mount = MountSpec(type: .bind, source: "/tmp", target: "/x")
        #expect(try config(image) { $0.mounts = [mount] }.linux.rootfsPropagation == nil)
        mount.options = ["rshared"]
        #expect(try config(image) { $0.mounts = [mount] }.linux.rootfsPropagation == "rshared")
    }

    @Test func `what the host does not have is named`() throws {
        #expect {
            try config(image) { $0.mounts = [MountSpec(type: .bind, source: "/no/such", target: "/x")] }
        } throws: {
            KinaError($0).details["field"] == "mounts[0].source"
        }
        let device = try JSON.decode(DeviceSpec.self, from: #"{"source": "/etc/passwd"}"#, what: "")
        #expect { try config(image) { $0.devices = [device] } } throws: {
            KinaError($0).details["field"] == "devices[0].source"
        }
        let limit = try JSON.decode(
            RlimitSpec.self, from: #"{"type": "nofile", "soft": 1, "hard": 18446744073709551615}"#, what: "")
        if !CapabilitySets.bounding.contains("CAP_SYS_RESOURCE") {
            #expect { try config(image) { $0.rlimits = [limit] } } throws: {
                KinaError($0).message.contains("CAP_SYS_RESOURCE")
            }
        }
    }

    @Test func `a privileged container sees the host's devices`() throws {
        let paths = try config(image) { $0.privileged = true }.linux.devices.map(\.path)
        #expect(
            paths.contains("/dev/kmsg") && !paths.contains("/dev/null") && !paths.contains { $0.hasPrefix("/dev/pts") })
        #expect(try config(image) { _ in }.linux.devices.isEmpty)
    }
}

struct DoctorTests {
    @Test func `every concern has a check, with a reason, and a fix where it fails`() {
        let report = Doctor.examine(RuntimeOptions())
        let names = report.checks.map(\.name)
        for name in [
            "root", "kernel", "cgroups", "overlayfs", "bridge", "veth", "iptables", "IP forwarding", "capabilities",
            "inotify", "OCI runtime",
            "conmon", "skopeo", "umoci", "dnsmasq", "CNI plugins", "busybox", "tini", "seccomp", "KINA_HOME",
        ] { #expect(names.contains(name), "\(name)") }
        #expect(Set(names).count == names.count)
        for check in report.checks {
            #expect(!check.reason.isEmpty)
            if check.state == .failed { #expect(check.fix != nil, "\(check.name)") }
        }
        #expect(report.usable == !report.checks.contains { $0.state == .failed })
    }

    @Test func `it says what is wrong with a home and a runtime`() {
        var options = RuntimeOptions()
        options.home = "relative"
        options.ociRuntime = "/no/such/runtime"
        let failed = Doctor.examine(options).checks.filter { $0.state == .failed }.map(\.name)
        #expect(failed.contains("KINA_HOME") && failed.contains("OCI runtime"))
        options.home = "/proc/version/x"
        #expect(Doctor.examine(options).checks.contains { $0.name == "KINA_HOME" && $0.state == .failed })
    }

    @Test func `programs that need a loader are told apart`() {
        #expect(!Doctor.isStatic("/bin/sh"))
        #expect(!Doctor.isStatic("/etc/passwd"))
        #expect(!Doctor.isStatic("/no/such"))
    }

    @Test func `a v2 host without controllers is refused`() throws {
        let root = "/tmp/kina-doctor-\(Identifier.random(8))"
        defer { try? Files.removeTree(root) }
        try Files.makeDirectories(root)
        try Files.writeAtomically("\(root)/cgroup.controllers", Array("cpuset cpu io memory\n".utf8))
        let check = KernelChecks.cgroups(.v2, root: root)
        #expect(check.state == .failed && check.reason == "v2, without pids")
        try Files.writeAtomically("\(root)/cgroup.controllers", Array("cpu memory pids\n".utf8))
        #expect(KernelChecks.cgroups(.v2, root: root).state == .ok)
        for (file, text) in [("cgroup.type", "domain\n"), ("cgroup.subtree_control", "\n"), ("cgroup.procs", "1\n")] {
            try Files.writeAtomically("\(root)/\(file)", Array(text.utf8))
        }
        #expect(KernelChecks.cgroups(.v2, root: root).state == .failed)
        try Files.writeAtomically("\(root)/cgroup.subtree_control", Array("cpu memory pids\n".utf8))
        #expect(KernelChecks.cgroups(.v2, root: root).state == .ok)
        #expect(KernelChecks.cgroups(nil).state == .failed)
    }
}
