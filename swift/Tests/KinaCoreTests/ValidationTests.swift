import Testing

@testable import KinaCore

struct ValidationTests {
    private func problem(_ json: String) throws -> KinaError? {
        let spec = try JSON.decode(ContainerSpec.self, from: json, what: "spec")
        do {
            try spec.validate()
            return nil
        } catch {
            return KinaError(error)
        }
    }

    private static func spec(_ rest: String) -> String { #"{"image": "debian:12", \#(rest)}"# }
    private static func sandbox(_ rest: String) -> String { spec(#""sandbox": {\#(rest)}"#) }

    @Test(arguments: [
        #""name": "a.b_c-1""#, #""user": "1000:33""#, #""user": "www-data""#, #""groups": ["adm", "7"]"#,
        #""stopSignal": "rtmin+3""#, #""capAdd": ["all"], "capDrop": ["CAP_net_raw"]"#, #""env": {"a.b": "x=y\n"}"#,
        #""resources": {"memory": 6291456, "memorySwap": 6291456, "cpus": 0.01, "cpuset": "0,2-5", "pids": -1}"#,
        #""resources": {"memorySwap": -1}"#, #""mounts": [{"type": "volume", "target": "/x"}]"#,
        #""mounts": [{"type": "tmpfs", "target": "/x", "size": 1, "options": ["mode=755", "exec", "uid=7"]}]"#,
        #""mounts": [{"type": "bind", "source": "/a", "target": "/x", "options": ["rslave", "noexec"]}]"#,
        #""seccomp": {"profile": "custom", "json": "{}"}"#,
        #""devices": [{"source": "/dev/fuse", "permissions": "mr"}]"#,
        #""rlimits": [{"type": "nofile", "soft": 1, "hard": 18446744073709551615}]"#, #""workdir": "/a/b..c/.""#,
        #""sandbox": {"hostname": "a.b-c.d1"}"#,
        #""sandbox": {"sysctls": {"net.core.somaxconn": "5", "fs.mqueue.msg_max": "1", "kernel.sem": "1 2 3 4"}}"#,
        #""sandbox": {"namespaces": {"network": "none"}, "sysctls": {"net.ipv4.ip_forward": "1"}}"#,
        #""sandbox": {"ports": [{"containerPort": 1}, {"containerPort": 1}]}"#,
        #"""
        "sandbox": {"ports": [{"containerPort": 2, "hostPort": 9},
                              {"containerPort": 2, "hostPort": 9, "protocol": "udp"}]}
        """#,
        #""sandbox": {"networks": [{"network": "blue", "address": "10.0.0.7", "aliases": ["my_db"]}]}"#,
        #""sandbox": {"extraHosts": {"h_1": "1.2.3.4"}}"#,
        #""sandbox": {"dns": {"servers": ["1.1.1.1"], "search": ["."], "options": ["ndots:5"]}}"#,
    ])
    func `what is right passes`(rest: String) throws {
        #expect(try problem(Self.spec(rest)) == nil)
    }

    @Test(arguments: [
        (#"{"image": "a b"}"#, "image"), (#"{"image": ""}"#, "image"), (spec(#""schema": 2"#), "schema"),
        (spec(#""name": "-x""#), "name"), (spec(#""name": "../x""#), "name"), (spec(#""name": "a\u0000""#), "name"),
        (spec(#""env": {"": "1"}"#), "env"), (spec(#""env": {"A=B": "1"}"#), "env"),
        (spec(#""env": {"A": "\u0000"}"#), "env.A"),
        (spec(#""command": ["a", "b\u0000"]"#), "command[1]"), (spec(#""entrypoint": ["\u0000"]"#), "entrypoint[0]"),
        (spec(#""labels": {"": "x"}"#), "labels"), (spec(#""labels": {"a b": "x"}"#), "labels"),
        (spec(#""workdir": "rel""#), "workdir"), (spec(#""workdir": "/a/../b""#), "workdir"),
        (spec(#""workdir": """#), "workdir"),
        (spec(#""user": """#), "user"), (spec(#""user": "a:b:c""#), "user"), (spec(#""user": "4294967296""#), "user"),
        (spec(#""user": ":0""#), "user"), (spec(#""user": "a/b""#), "user"), (spec(#""user": "-1""#), "user"),
        (spec(#""groups": ["a:b"]"#), "groups[0]"), (spec(#""capAdd": ["CAP_NOPE"]"#), "capAdd[0]"),
        (spec(#""capDrop": ["KILL", "CAP_"]"#), "capDrop[1]"),
        (spec(#""seccomp": {"profile": "custom"}"#), "seccomp.json"),
        (spec(#""seccomp": {"json": "{}"}"#), "seccomp.json"),
        (spec(#""rlimits": [{"type": "NOFILE", "soft": 1}]"#), "rlimits[0].type"),
        (spec(#""rlimits": [{"type": "core", "soft": 2, "hard": 1}]"#), "rlimits[0].soft"),
        (spec(#""rlimits": [{"type": "core", "soft": 1}, {"type": "core", "soft": 2}]"#), "rlimits[1].type"),
        (spec(#""devices": [{"source": "fuse"}]"#), "devices[0].source"),
        (spec(#""devices": [{"source": "/dev/x", "permissions": "rr"}]"#), "devices[0].permissions"),
        (spec(#""devices": [{"source": "/dev/x", "permissions": ""}]"#), "devices[0].permissions"),
        (spec(#""devices": [{"source": "/dev/x", "target": "/"}]"#), "devices[0].target"),
        (spec(#""mounts": [{"type": "bind", "target": "/x"}]"#), "mounts[0].source"),
        (spec(#""mounts": [{"type": "bind", "source": "x", "target": "/x"}]"#), "mounts[0].source"),
        (spec(#""mounts": [{"type": "bind", "source": "/x/../etc", "target": "/x"}]"#), "mounts[0].source"),
        (spec(#""mounts": [{"type": "volume", "source": "/x", "target": "/x"}]"#), "mounts[0].source"),
        (spec(#""mounts": [{"type": "tmpfs", "source": "x", "target": "/x"}]"#), "mounts[0].source"),
        (spec(#""mounts": [{"type": "volume", "target": "x"}]"#), "mounts[0].target"),
        (spec(#""mounts": [{"type": "volume", "target": "/./"}]"#), "mounts[0].target"),
        (spec(#""mounts": [{"type": "volume", "target": "/x/../.."}]"#), "mounts[0].target"),
        (
            spec(#""mounts": [{"type": "volume", "target": "/x"}, {"type": "tmpfs", "target": "//x/."}]"#),
            "mounts[1].target"
        ),
        (spec(#""mounts": [{"type": "volume", "target": "/x", "size": 1}]"#), "mounts[0].size"),
        (spec(#""mounts": [{"type": "tmpfs", "target": "/x", "size": 0}]"#), "mounts[0].size"),
        (spec(#""mounts": [{"type": "tmpfs", "target": "/x", "options": ["size=1,uid=0"]}]"#), "mounts[0].options[0]"),
        (spec(#""mounts": [{"type": "tmpfs", "target": "/x", "options": ["rshared"]}]"#), "mounts[0].options[0]"),
        (spec(#""mounts": [{"type": "volume", "target": "/x", "options": ["upperdir=/"]}]"#), "mounts[0].options[0]"),
        (
            spec(#""mounts": [{"type": "volume", "target": "/x", "readOnly": true, "options": ["rw"]}]"#),
            "mounts[0].options"
        ),
        (spec(#""resources": {"cpus": 0}"#), "resources.cpus"), (spec(#""resources": {"cpus": -1}"#), "resources.cpus"),
        (spec(#""resources": {"cpuWeight": 0}"#), "resources.cpuWeight"),
        (spec(#""resources": {"cpuset": "3-1"}"#), "resources.cpuset"),
        (spec(#""resources": {"cpuset": ""}"#), "resources.cpuset"),
        (spec(#""resources": {"cpuset": "0,,1"}"#), "resources.cpuset"),
        (spec(#""resources": {"memory": 1024}"#), "resources.memory"),
        (spec(#""resources": {"memorySwap": 10485760}"#), "resources.memorySwap"),
        (spec(#""resources": {"memory": 20971520, "memorySwap": 10485760}"#), "resources.memorySwap"),
        (spec(#""resources": {"pids": 0}"#), "resources.pids"), (spec(#""resources": {"pids": -2}"#), "resources.pids"),
        (spec(#""stopSignal": "SIGNOPE""#), "stopSignal"), (spec(#""stopTimeout": -1"#), "stopTimeout"),
        (spec(#""logLimit": 0"#), "logLimit"),
        (sandbox(#""hostname": "a_b""#), "sandbox.hostname"), (sandbox(#""hostname": "-a""#), "sandbox.hostname"),
        (sandbox(#""hostname": "a..b""#), "sandbox.hostname"), (sandbox(#""hostname": """#), "sandbox.hostname"),
        (sandbox(#""hostname": "a", "namespaces": {"uts": "host"}"#), "sandbox.hostname"),
        (sandbox(#""shmSize": 0"#), "sandbox.shmSize"),
        (sandbox(#""ports": [{"containerPort": 0}]"#), "sandbox.ports[0].containerPort"),
        (sandbox(#""ports": [{"containerPort": 1, "hostPort": 65536}]"#), "sandbox.ports[0].hostPort"),
        (sandbox(#""ports": [{"containerPort": 1, "hostAddress": "localhost"}]"#), "sandbox.ports[0].hostAddress"),
        (
            sandbox(
                #"""
                "ports": [{"containerPort": 1, "hostPort": 9, "hostAddress": "0.0.0.0"},
                          {"containerPort": 2, "hostPort": 9}]
                """#
            ), "sandbox.ports[1].hostPort"
        ),
        (sandbox(#""ports": [{"containerPort": 1}], "namespaces": {"network": "none"}"#), "sandbox.ports"),
        (sandbox(#""networks": [{"network": "a"}], "namespaces": {"network": "host"}"#), "sandbox.networks"),
        (sandbox(#""networks": [{"network": "a"}, {"network": "a"}]"#), "sandbox.networks[1].network"),
        (sandbox(#""networks": [{"network": "a", "address": "10.0.0.07"}]"#), "sandbox.networks[0].address"),
        (sandbox(#""networks": [{"network": "a", "aliases": ["a b"]}]"#), "sandbox.networks[0].aliases[0]"),
        (sandbox(#""dns": {"servers": ["one"]}"#), "sandbox.dns.servers[0]"),
        (sandbox(#""dns": {"search": ["a\nnameserver 1.1.1.1"]}"#), "sandbox.dns.search[0]"),
        (sandbox(#""dns": {"options": ["a b"]}"#), "sandbox.dns.options[0]"),
        (sandbox(#""extraHosts": {"h": "1.2.3"}"#), "sandbox.extraHosts.h"),
        (sandbox(#""extraHosts": {"a\nb": "1.2.3.4"}"#), "sandbox.extraHosts"),
        (sandbox(#""sysctls": {"kernel.hostname": "x"}"#), "sandbox.sysctls"),
        (sandbox(#""sysctls": {"vm.swappiness": "1"}"#), "sandbox.sysctls"),
        (sandbox(#""sysctls": {"net.x": "1\n2"}"#), "sandbox.sysctls.net.x"),
        (sandbox(#""sysctls": {"net..x": "1"}"#), "sandbox.sysctls"),
        (sandbox(#""sysctls": {"net/../kernel": "1"}"#), "sandbox.sysctls"),
        (sandbox(#""sysctls": {"net.x": "1"}, "namespaces": {"network": "host"}"#), "sandbox.sysctls"),
        (sandbox(#""sysctls": {"kernel.shmmax": "1"}, "namespaces": {"ipc": "host"}"#), "sandbox.sysctls"),
    ])
    func `what is wrong is named`(json: String, field: String) throws {
        let error = try #require(try problem(json))
        #expect(error.code == .invalidArgument)
        #expect(error.details["field"] == field)
        #expect(error.message.hasPrefix(field))
        #expect(!error.message.utf8.contains(0))
    }

    @Test func `IPv6 is refused by name`() throws {
        let error = try problem(Self.sandbox(#""dns": {"servers": ["2001:db8::1"]}"#))
        #expect(error?.code == .unimplemented)
        #expect(error?.message == "sandbox.dns.servers[0] '2001:db8::1': IPv6 is not supported yet")
    }

    @Test func `everything that is wrong is told at once`() throws {
        let error = try #require(
            try problem(#"{"image": "", "user": "a b", "resources": {"cpus": 0, "memory": 1}, "stopTimeout": -1}"#))
        #expect(error.code == .invalidArgument)
        #expect(error.details["field"] == "image")
        #expect(error.details["problems"] == "5")
        #expect(
            error.message.split(separator: "\n").map { $0.prefix { $0 != " " && $0 != ":" } } == [
                "image", "user", "stopTimeout", "resources.cpus", "resources.memory",
            ])
        #expect(error.message.contains("6 MiB"))
    }

    @Test(arguments: [
        (#""hostname": "h""#, "hostname"), (#""networks": [{"network": "blue"}]"#, "networks"),
        (#""ports": [{"containerPort": 80}]"#, "ports"), (#""dns": {"servers": ["10.0.0.2"]}"#, "dns"),
        (#""extraHosts": {"db": "10.0.0.2"}"#, "extraHosts"), (#""sysctls": {"net.core.somaxconn": "9"}"#, "sysctls"),
        (#""shmSize": 1048576"#, "shmSize"), (#""namespaces": {"pid": "host"}"#, "namespaces"),
    ])
    func `in a pod the sandbox is the pod's`(sandbox: String, field: String) throws {
        #expect(try problem(Self.spec(#""pod": "p""#)) == nil)
        let error = try #require(try problem(#"{"image": "x", "pod": "p", "sandbox": {\#(sandbox)}}"#))
        #expect(error.code == .invalidArgument)
        #expect(error.details["field"] == "sandbox.\(field)")
        #expect(error.message.contains("is the pod's"))
    }

    @Test(arguments: [
        (#"{"name": "a/b"}"#, "name"), (#"{"labels": {"": "x"}}"#, "labels"), (#"{"cpus": 0}"#, "cpus"),
        (#"{"memory": 1}"#, "memory"), (#"{"sandbox": {"hostname": "-"}}"#, "sandbox.hostname"),
        (#"{"schema": 2}"#, "schema"),
    ])
    func `a pod's errors are named`(json: String, field: String) throws {
        let spec = try JSON.decode(PodSpec.self, from: json, what: "spec")
        #expect { try spec.validate() } throws: { KinaError($0).details["field"] == field }
    }

    @Test func `names close by are suggested`() throws {
        #expect(try problem(Self.spec(#""capAdd": ["NET_ADMN"]"#))?.hint == "did you mean 'NET_ADMIN'?")
        #expect(
            try problem(Self.spec(#""rlimits": [{"type": "NOFILES", "soft": 1}]"#))?.hint == "did you mean 'nofile'?")
        #expect(try problem(Self.spec(#""stopSignal": "TERMM""#))?.hint == "did you mean 'TERM'?")
        #expect(
            try problem(Self.spec(#""mounts": [{"type": "volume", "target": "/x", "options": ["nosiud"]}]"#))?.hint
                == "did you mean 'nosuid'?")
    }

    @Test func `a string longer than the kernel takes is refused`() throws {
        let long = String(repeating: "x", count: 131_072)
        let error = try #require(try problem(Self.spec(#""command": ["\#(long)"]"#)))
        #expect(error.details["field"] == "command[0]")
        #expect(error.message.utf8.count < 300)
    }

    @Test(arguments: [
        (#"{"args": []}"#, "args"), (#"{"args": [""]}"#, "args"), (#"{"args": ["a"], "env": {"=": ""}}"#, "env"),
        (#"{"args": ["a"], "workdir": "x"}"#, "workdir"), (#"{"args": ["a"], "user": ":"}"#, "user"),
        (#"{"args": ["a"], "timeoutMs": 0}"#, "timeoutMs"),
    ])
    func `a process's errors are named`(json: String, field: String) throws {
        let spec = try JSON.decode(ProcessSpec.self, from: json, what: "spec")
        #expect { try spec.validate() } throws: { KinaError($0).details["field"] == field }
    }

    @Test(arguments: [
        (#"{"name": "a/b"}"#, "name"),
        (#"{"name": "a", "mtu": 10}"#, "mtu"), (#"{"name": "a", "labels": {"": "x"}}"#, "labels"),
    ])
    func `a network's errors are named`(json: String, field: String) throws {
        let spec = try JSON.decode(NetworkSpec.self, from: json, what: "spec")
        #expect { try spec.validate() } throws: { KinaError($0).details["field"] == field }
    }

    @Test func `golden specs are valid`() throws {
        let read = { (name: String) in try Files.read("\(GoldenTests.directory)/\(name).json") }
        var spec = try JSON.decode(ContainerSpec.self, from: try read("container_spec"), what: "")
        spec.pod = nil
        try spec.validate()
        try JSON.decode(ProcessSpec.self, from: try read("process_spec"), what: "").validate()
        try JSON.decode(NetworkSpec.self, from: try read("network_spec"), what: "").validate()
        try JSON.decode(PodSpec.self, from: try read("pod_spec"), what: "").validate()
        try JSON.decode(VolumeSpec.self, from: try read("volume_spec"), what: "").validate()
        try JSON.decode(ImageConfig.self, from: try read("image_config"), what: "").validate()
        try JSON.decode(ResourcesSpec.self, from: try read("resources_spec"), what: "").validate()
    }
}

struct SignalTests {
    @Test(
        arguments: [
            ("TERM", 15), ("SIGTERM", 15), ("sigterm", 15), ("15", 15), ("KILL", 9), ("RTMIN", 34), ("RTMIN+3", 37),
            ("SIGRTMIN+3", 37), ("RTMAX", 64), ("RTMAX-1", 63), ("CLD", 17), ("64", 64), ("SYS", 31),
        ] as [(String, Int32)])
    func `a signal has a number`(name: String, number: Int32) throws {
        #expect(try Signals.number(of: name) == number)
    }

    @Test(arguments: [
        "", "SIG", "0", "65", "-9", "+9", "9.0", "RTMIN+31", "RTMIN-1", "RTMIN+", "RTMAX+1", "RTMIN+-1", "TERM ",
        "99999999999",
    ])
    func `what is no signal is refused`(name: String) {
        #expect { try Signals.number(of: name) } throws: { KinaError($0).details["field"] == "signal" }
    }

    @Test func `names and numbers agree`() throws {
        for number: Int32 in 1...64 { #expect(try Signals.number(of: Signals.name(of: number)) == number) }
        #expect(Signals.name(of: 15) == "TERM" && Signals.name(of: 37) == "RTMIN+3")
        // Against this host's own table.
        #expect(try Signals.number(of: "WINCH") == SIGWINCH && Signals.number(of: "STKFLT") == SIGSTKFLT)
    }
}

struct IPv4Tests {
    @Test func `addresses are read strictly`() {
        #expect(IPv4.parse("10.0.0.7") == 0x0A00_0007)
        for bad in ["", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4 ", "1..2.3", "a.b.c.d", "+1.2.3.4"] {
            #expect(IPv4.parse(bad) == nil, "\(bad)")
        }
    }
}
