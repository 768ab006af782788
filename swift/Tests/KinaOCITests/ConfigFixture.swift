import CKinaLinux
import KinaCore
import Testing

@testable import KinaOCI

/// A root file system of busybox alone, and what a bundle needs around it. Goes with the object.
final class Bundle {
    let directory: String
    let context: Context
    var record: ContainerRecord
    let paths: ContainerPaths
    static let canRun = geteuid() == 0 && Command.find("runc") != nil && Command.find("busybox") != nil

    init(_ change: (inout ContainerSpec) -> Void = { _ in }, image: ImageConfig = ImageConfig()) throws {
        directory = "/tmp/kina-config-\(Identifier.random(8))"
        var options = RuntimeOptions()
        options.home = "\(directory)/home"
        options.ociRuntime = "runc"
        context = try Context(options)
        var spec = ContainerSpec(image: "test")
        spec.sandbox.namespaces.network = .none
        change(&spec)
        let id = Identifier.random()
        record = ContainerRecord(
            id: id, name: "config-\(id)", spec: spec, imageDigest: "sha256:0", imageConfig: image, hostname: "box",
            createdAt: 0)
        record.mounts = spec.mounts.map { ContainerRecord.ResolvedMount(spec: $0, source: $0.source) }
        paths = ContainerPaths(context, id)
        try makeRoot()
    }

    deinit {
        try? cgroup.kill(.unbounded)
        _ = try? runc(["delete", "--force", record.id])
        try? cgroup.remove()
        for hierarchy in cgroup.hierarchies.all { rmdir(hierarchy + cgroup.path.dropLast(Identifier.length + 1)) }
        try? Files.removeTree(context.run)
        try? Files.removeTree(directory)
    }

    private func makeRoot() throws {
        for name in ["bin", "etc", "tmp", "dev", "proc", "sys", "home"] {
            try Files.makeDirectories("\(paths.rootfs)/\(name)", mode: 0o755)
        }
        let busybox = try Files.read(try #require(Command.find("busybox")))
        try Files.writeAtomically("\(paths.rootfs)/bin/busybox", busybox, mode: 0o755, sync: false)
        for applet in [
            "sh", "id", "cat", "env", "sleep", "true", "mount", "ping", "grep", "ls", "stat", "touch", "hostname",
        ] {
            symlink("busybox", "\(paths.rootfs)/bin/\(applet)")
        }
        try write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001:Alice:/home/alice:/bin/sh\n")
        try write("etc/group", "root:x:0:\nalice:x:1001:\nwheel:x:10:alice,bob\naudio:x:29:bob\n")
        for (path, text) in [
            (paths.hosts, "127.0.0.1 localhost\n"), (paths.hostnameFile, "box\n"), (paths.resolvConf, ""),
        ] {
            try Files.makeDirectories(paths.state)
            try Files.writeAtomically(path, Array(text.utf8), mode: 0o644, sync: false)
        }
    }

    func write(_ path: String, _ text: String) throws {
        try Files.writeAtomically("\(paths.rootfs)/\(path)", Array(text.utf8), mode: 0o644, sync: false)
    }

    var cgroup: Cgroup { Cgroup(context, record.id) }

    func config() throws -> [UInt8] {
        try OCIConfig.bundle(
            BundleRequest(record: record, paths: paths, cgroup: cgroup.path, netns: nil), context)
    }

    @discardableResult
    func runc(_ arguments: [String], limitMs: Int64 = 30_000) throws -> Command.Output {
        try Command(context.tools.ociRuntime, ["--root", paths.runtimeRoot] + arguments).run(Call(timeoutMs: limitMs))
    }

    func write() throws {
        try Files.writeAtomically("\(paths.bundle)/config.json", try config(), sync: false)
    }

    /// Runs the container to its end.
    func run() throws -> Command.Output {
        try write()
        return try runc(["run", "--bundle", paths.bundle, record.id])
    }

    /// Starts it and leaves it running.
    func start() throws {
        try write()
        let null = try FileDescriptor.open("/dev/null", O_RDWR)
        let status = try Command(
            context.tools.ociRuntime,
            ["--root", paths.runtimeRoot, "run", "--detach", "--bundle", paths.bundle, record.id]
        ).spawn(stdin: null.raw, stdout: null.raw, stderr: 2).wait(Call(timeoutMs: 30_000))
        try #require(status.isSuccess)
    }

    func exec(_ spec: ProcessSpec, group: String? = nil) throws -> Command.Output {
        let root = "/proc/\(try #require(try cgroup.processes().first))/root"
        let file = "\(directory)/process-\(Identifier.random(4)).json"
        try Files.writeAtomically(file, try OCIConfig.process(spec, in: record, root: root, context), sync: false)
        let arguments = group.map(cgroup.processGroupArguments) ?? []
        return try runc(["exec"] + arguments + ["--process", file, record.id])
    }
}

extension Bundle {
    /// Runs a shell script as the container's command.
    static func sh(_ script: String, _ change: @escaping (inout ContainerSpec) -> Void = { _ in }) throws
        -> Command.Output
    {
        try Bundle({ spec in
            spec.command = ["sh", "-c", script]
            change(&spec)
        }).run()
    }
}
