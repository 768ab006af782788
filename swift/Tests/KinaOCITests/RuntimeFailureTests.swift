import KinaCore
import Testing

@testable import KinaOCI

/// What runc and crun say, word by word, and what becomes of it.
@Suite struct RuntimeFailures {
    private static let runc = "runc create failed: unable to start container process: "

    @Test(arguments: [
        (runc + "exec: \"nope\": executable file not found in $PATH", KinaError.Code.notFound, "command"),
        (runc + "exec: \"/etc/passwd\": permission denied", .permissionDenied, "command"),
        (runc + "chdir to cwd (\"/x\") set in config.json failed: no such file or directory", .notFound, "workdir"),
        (
            runc + "error during container init: open /proc/sys/net/no/such: no such file or directory",
            .invalidArgument, "sandbox.sysctls"
        ),
        (
            runc + "error during container init: write /proc/sys/net/ipv4/ip_forward: invalid argument",
            .invalidArgument, "sandbox.sysctls"
        ),
        (runc + "error during container init: error mounting \"/a\" to rootfs at \"/b\"", .invalidArgument, "mounts"),
        ("cannot start a container that has stopped", .aborted, ""),
        (
            "openat2 /sys/fs/cgroup/kina/1/2/pids.max: no such file or directory", .failedPrecondition, ""
        ),
        ("the requested cgroup controller `cpuset` is not available", .failedPrecondition, ""),
        ("setrlimit (RLIM_MEMLOCK): Operation not permitted", .permissionDenied, ""), ("", .internal, ""),
    ])
    func haveCodes(_ words: String, _ code: KinaError.Code, _ field: String) {
        let failure = RuntimeFailure.classify(words, "start container x")
        #expect(code == failure.code)
        #expect(field == failure.details["field"] ?? "")
        #expect(code == .internal || failure.hint != nil)
    }

    @Test func aParameterIsNamedAsPeopleWriteIt() {
        let failure = RuntimeFailure.classify("open /proc/sys/net/no/such: no such file or directory", "start")
        #expect("net.no.such" == failure.details["value"])
        #expect(failure.message.hasPrefix("sandbox.sysctls 'net.no.such': "))
    }

    @Test func aMissingControllerIsNamed() {
        let failure = RuntimeFailure.classify("openat2 /sys/fs/cgroup/a/memory.swap.max: no such file", "run")
        #expect(failure.message.contains("'memory'"))
    }
}
