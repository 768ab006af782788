import KinaCore
import Testing

@testable import KinaOCI

/// Real files of several owners, under a KINA_HOME that goes with the test.
struct VolumeTests {
    private final class Bench {
        let context: Context
        let volumes: OCIVolumes
        let rootfs: String
        let call: Call

        init() throws {
            var options = RuntimeOptions()
            options.home = "/tmp/kina-test-\(Identifier.random(8))"
            context = try Context(options)
            volumes = try OCIVolumes(context)
            rootfs = "\(context.home)/rootfs"
            call = try Call(timeoutMs: 60_000)
            try Files.makeDirectories("\(rootfs)/srv/data/sub", mode: 0o755)
        }

        deinit {
            try? Files.removeTree(context.run)
            try? Files.removeTree(context.home)
        }

        /// What `create` does before it resolves mounts.
        func container() throws -> String {
            let id = Identifier.random()
            try Files.makeDirectories(ContainerPaths(context, id).state)
            try Files.writeAtomically("\(ContainerPaths(context, id).state)/record.json", [])
            return id
        }

        func forget(_ container: String) throws { try Files.removeTree(ContainerPaths(context, container).state) }

        func write(_ path: String, _ text: String) throws {
            try Files.writeAtomically("\(rootfs)/\(path)", Array(text.utf8), mode: 0o640)
        }

        func run(_ program: String, _ arguments: String...) throws -> String {
            let output = try Command(try #require(Command.find(program)), arguments).run(call)
            try #require(output.status.isSuccess, "\(program): \(output.errorText)")
            return output.text
        }
    }

    private func mount(_ name: String?, _ target: String = "/srv/data", copyUp: Bool = true) -> MountSpec {
        var mount = MountSpec(type: .volume, source: name, target: target)
        mount.copyUp = copyUp
        return mount
    }

    private func code(_ body: () throws -> some Any) -> KinaError.Code? {
        do {
            _ = try body()
            return nil
        } catch { return KinaError(error).code }
    }

    @Test func `create, get, list and delete`() throws {
        let bench = try Bench()
        var spec = VolumeSpec(name: "db")
        spec.labels = ["app": "shop"]
        let made = try bench.volumes.create(spec, bench.call)
        #expect(made.usedBy.isEmpty && !made.anonymous && made.labels == ["app": "shop"])
        #expect(try bench.volumes.get("db") == made)
        #expect(try bench.volumes.get(String(made.id.prefix(6))) == made)
        #expect(code { try bench.volumes.create(spec, bench.call) } == .alreadyExists)
        #expect(code { try bench.volumes.create(VolumeSpec(name: "../db"), bench.call) } == .invalidArgument)
        let unnamed = try bench.volumes.create(VolumeSpec(name: nil), bench.call)
        #expect(try bench.volumes.list().volumes.map(\.name).sorted() == ["db", unnamed.name].sorted())
        try bench.volumes.delete("db", bench.call)
        #expect(code { try bench.volumes.get("db") } == .notFound)
        #expect(code { try bench.volumes.delete("db", bench.call) } == .notFound)
        #expect(!Files.exists(made.path))
    }

    @Test func `copy-up keeps owners, modes, links and extended attributes`() throws {
        let bench = try Bench()
        try bench.write("srv/data/sub/secret", "s")
        try bench.write("srv/data/plain", "p")
        let root = "\(bench.rootfs)/srv/data"
        _ = try bench.run("chown", "-R", "1234:5678", root)
        _ = try bench.run("chmod", "2750", root)
        _ = try bench.run("chmod", "4711", "\(root)/plain")
        _ = try bench.run("ln", "-s", "/etc/passwd", "\(root)/link")
        _ = try bench.run("ln", "\(root)/plain", "\(root)/hard")
        let attribute = "import os, sys; os.setxattr(sys.argv[1], 'user.kina', b'x')"
        _ = try bench.run("python3", "-c", attribute, "\(root)/plain")

        let volume = try bench.volumes.resolve(
            mount("v"), for: try bench.container(), image: DirectoryOrigin(bench.rootfs), bench.call)
        let format = "%a %u:%g %h %F %n"
        let names = [".", "sub/secret", "plain", "link", "hard"]
        let before = try names.map { try bench.run("stat", "-c", format, "\(root)/\($0)") }
        let after = try names.map { try bench.run("stat", "-c", format, "\(volume.path)/\($0)") }
        #expect(after == before.map { $0.replacing(root, with: volume.path) })
        #expect(readLink("\(volume.path)/link") == "/etc/passwd")
        let listed = "import os, sys; print(os.getxattr(sys.argv[1], 'user.kina').decode(), end='')"
        #expect(try bench.run("python3", "-c", listed, "\(volume.path)/plain") == "x")
    }

    @Test func `links in the image lead nowhere outside of it`() throws {
        let bench = try Bench()
        try Files.makeDirectories("\(bench.context.home)/outside")
        try Files.writeAtomically("\(bench.context.home)/outside/stolen", [])
        _ = try bench.run("ln", "-s", "\(bench.context.home)/outside", "\(bench.rootfs)/absolute")
        _ = try bench.run("ln", "-s", "../../../../../../..\(bench.context.home)/outside", "\(bench.rootfs)/relative")
        for target in ["/absolute", "/relative", "/../outside"] {
            let volume = try bench.volumes.resolve(
                mount(nil, target), for: try bench.container(), image: DirectoryOrigin(bench.rootfs), bench.call)
            #expect(try Files.list(volume.path).isEmpty, "\(target)")
        }
    }

    @Test func `a volume on a file of the image is refused`() throws {
        let bench = try Bench()
        try bench.write("srv/data/plain", "p")
        let container = try bench.container()
        #expect(
            code {
                try bench.volumes.resolve(
                    mount("v", "/srv/data/plain"), for: container, image: DirectoryOrigin(bench.rootfs), bench.call)
            }
                == .invalidArgument)
    }

    @Test func `a volume is filled once, and never over files`() throws {
        let bench = try Bench()
        try bench.write("srv/data/plain", "p")
        let first = try bench.container()
        let volume = try bench.volumes.resolve(mount("v"), for: first, image: DirectoryOrigin(bench.rootfs), bench.call)
        try Files.remove("\(volume.path)/plain")
        rmdir("\(volume.path)/sub")
        _ = try bench.volumes.resolve(
            mount("v"), for: try bench.container(), image: DirectoryOrigin(bench.rootfs), bench.call)
        #expect(try Files.list(volume.path).isEmpty, "what a container deleted stays deleted")

        let own = try bench.volumes.create(VolumeSpec(name: "own"), bench.call)
        try Files.writeAtomically("\(own.path)/mine", [])
        _ = try bench.volumes.resolve(mount("own"), for: first, image: DirectoryOrigin(bench.rootfs), bench.call)
        #expect(try Files.list(own.path) == ["mine"])

        let bare = try bench.volumes.resolve(
            mount("bare", copyUp: false), for: first, image: DirectoryOrigin(bench.rootfs), bench.call)
        #expect(try Files.list(bare.path).isEmpty)
    }

    @Test func `two containers at once fill it once`() async throws {
        let bench = try Bench()
        for index in 0..<200 { try bench.write("srv/data/sub/\(index)", "content \(index)") }
        let volumes = bench.volumes, rootfs = bench.rootfs, call = bench.call, mount = mount("shared")
        let containers = try (0..<4).map { _ in try bench.container() }
        let statuses = try await withThrowingTaskGroup(of: VolumeStatus.self) { group in
            for container in containers {
                group.addTask { try volumes.resolve(mount, for: container, image: DirectoryOrigin(rootfs), call) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(statuses.map(\.id)).count == 1)
        #expect(try Files.list("\(statuses[0].path)/sub").count == 200)
        #expect(try volumes.get("shared").usedBy == containers.sorted())
        #expect(!Files.exists("\(volumes.store.directory(statuses[0].id))/filling"))
    }

    @Test func `an interrupted copy is made again`() throws {
        let bench = try Bench()
        try bench.write("srv/data/plain", "whole")
        let volume = try bench.volumes.create(VolumeSpec(name: "v"), bench.call)
        // What kill -9 in the middle of the copy leaves.
        let half = "\(bench.volumes.store.directory(volume.id))/filling"
        try Files.makeDirectories("\(half)/sub")
        try Files.writeAtomically("\(half)/garbage", [])
        _ = try bench.volumes.resolve(
            mount("v"), for: try bench.container(), image: DirectoryOrigin(bench.rootfs), bench.call)
        #expect(try Files.list(volume.path).sorted() == ["plain", "sub"])
        #expect(try Files.readText("\(volume.path)/plain") == "whole")
        #expect(!Files.exists(half))
    }

    @Test func `a cancelled copy leaves an empty volume`() throws {
        let bench = try Bench()
        try bench.write("srv/data/plain", "whole")
        let container = try bench.container()
        let call = try Call(timeoutMs: -1)
        call.cancel()
        #expect(
            code { try bench.volumes.resolve(mount("v"), for: container, image: DirectoryOrigin(bench.rootfs), call) }
                == .cancelled)
        let volume = try bench.volumes.get("v")
        #expect(try Files.list(volume.path).isEmpty)
        _ = try bench.volumes.resolve(mount("v"), for: container, image: DirectoryOrigin(bench.rootfs), bench.call)
        #expect(try Files.list(volume.path).sorted() == ["plain", "sub"])
    }

    @Test func `anonymous volumes go with their container`() throws {
        let bench = try Bench()
        let container = try bench.container()
        let one = try bench.volumes.resolve(
            mount(nil), for: container, image: DirectoryOrigin(bench.rootfs), bench.call)
        let other = try bench.volumes.resolve(
            mount(nil, "/srv"), for: container, image: DirectoryOrigin(bench.rootfs), bench.call)
        let named = try bench.volumes.resolve(
            mount("named"), for: container, image: DirectoryOrigin(bench.rootfs), bench.call)
        #expect(one.anonymous && one.id != other.id && !named.anonymous)
        #expect(
            try bench.volumes.resolve(mount(nil), for: container, image: DirectoryOrigin(bench.rootfs), bench.call)
                == one)
        #expect(code { try bench.volumes.delete(one.id, bench.call) } == .failedPrecondition)
        #expect(code { try bench.volumes.delete("named", bench.call) } == .failedPrecondition)
        try bench.volumes.release(container)
        try bench.volumes.release(container)
        #expect(try bench.volumes.list().volumes.map(\.name) == ["named"])
        try bench.volumes.delete("named", bench.call)
    }

    @Test func `delete names the containers that mount it`() throws {
        let bench = try Bench()
        let volume = try bench.volumes.create(VolumeSpec(name: "v"), bench.call)
        bench.volumes.users = { [volume.id: ["0123456789abcdef"]] }
        do {
            try bench.volumes.delete("v", bench.call)
            Issue.record("deleted under a container")
        } catch let error as KinaError {
            #expect(error.code == .failedPrecondition && error.message.contains("0123456789abcdef"))
            #expect(error.hint != nil)
        }
        #expect(try bench.volumes.get("v").usedBy == ["0123456789abcdef"])
    }

    @Test func `prune takes what nobody uses and what crashes left`() throws {
        let bench = try Bench()
        try bench.write("srv/data/plain", String(repeating: "x", count: 100_000))
        let alive = try bench.container(), crashed = try bench.container()
        _ = try bench.volumes.resolve(mount("used"), for: alive, image: DirectoryOrigin(bench.rootfs), bench.call)
        let orphan = try bench.volumes.resolve(
            mount(nil), for: crashed, image: DirectoryOrigin(bench.rootfs), bench.call)
        var labelled = VolumeSpec(name: "labelled")
        labelled.labels = ["keep": "no"]
        _ = try bench.volumes.create(labelled, bench.call)
        _ = try bench.volumes.create(VolumeSpec(name: "plain"), bench.call)
        try bench.forget(crashed)

        var result = PruneResult()
        try bench.volumes.prune(unused: false, labels: [:], &result, bench.call)
        #expect(result.volumes.isEmpty && result.leftovers.count == 1 && result.reclaimed >= 100_000)
        #expect(code { try bench.volumes.get(orphan.id) } == .notFound)
        result = PruneResult()
        try bench.volumes.prune(unused: true, labels: ["keep": ""], &result, bench.call)
        #expect(result.volumes == ["labelled"])
        result = PruneResult()
        try bench.volumes.prune(unused: true, labels: [:], &result, bench.call)
        #expect(result.volumes == ["plain"])
        #expect(try bench.volumes.list().volumes.map(\.name) == ["used"])
    }
}
