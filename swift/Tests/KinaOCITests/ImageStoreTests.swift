import KinaCore
import Testing

@testable import KinaOCI

/// The store over real skopeo and umoci; containers on Linux need root, and so do these.
@Suite(.enabled(if: geteuid() == 0)) struct ImageStoreTests {
    static let tree: [TarEntry] = [.directory("bin/"), .file("bin/tool"), .symlink("bin/link", "tool")]

    // MARK: - Import, find, prepare

    @Test func anImportIsFoundByEveryName() throws {
        let fixture = try ImageFixture()
        var config = ImageConfig()
        config.command = ["tool", "-v"]
        config.entrypoint = ["/bin/init"]
        config.env = ["PATH": "/bin", "EQUALS": "a=b", "EMPTY": ""]
        config.exposedPorts = ["80/tcp"]
        config.volumes = ["/data"]
        config.labels = ["a": "b"]
        config.workdir = "/bin"
        config.user = "1:2"
        config.stopSignal = "INT"
        let status = try fixture.importTar(Self.tree, as: "localhost/tool", config)
        #expect("localhost/tool:latest" == status.reference)
        #expect(config == status.config)
        #expect(1 == status.layers)
        let digits = status.id.dropFirst("sha256:".count)
        for name in [
            "localhost/tool", "localhost/tool:latest", "localhost/tool@\(status.digest)", status.digest, status.id,
            String(digits), String(digits.prefix(12)), "sha256:\(digits.prefix(20))",
        ] {
            #expect(status == (try fixture.images.get(name)), "\(name)")
        }
        #expect(throws: KinaError.self) { try fixture.images.get(String(digits.prefix(11))) }
        #expect(throws: KinaError.self) { try fixture.images.get("localhost/other@\(status.digest)") }
    }

    @Test func theSameTarIsTheSameImage() throws {
        let fixture = try ImageFixture()
        let first = try fixture.importTar(Self.tree, as: "localhost/a")
        let before = try inode(fixture.images.trees.path(first.digest))
        let second = try fixture.importTar(Self.tree, as: "localhost/b")
        #expect(first.digest == second.digest)
        #expect(before == (try inode(fixture.images.trees.path(second.digest))))
        #expect(["localhost/a:latest", "localhost/b:latest"] == (try fixture.images.list().images.map(\.reference)))
    }

    @Test func aDirectoryIsImportedWithItsOwnersAndModes() throws {
        let fixture = try ImageFixture()
        let source = "\(fixture.home)/source"
        try Files.makeDirectories("\(source)/sub", mode: 0o711)
        try Files.writeAtomically("\(source)/sub/file", Array("x".utf8), mode: 0o640)
        chown("\(source)/sub/file", 12, 34)
        let request = try JSON.decode(
            ImageImportRequest.self, from: #"{"reference": "d", "directory": "\#(source)"}"#, what: "request")
        _ = try fixture.images.import(request, from: nil, .unbounded)
        let prepared = try fixture.images.prepare("d", .never, .unbounded)
        var info = stat()
        #expect(0 == stat("\(prepared.rootfs)/sub/file", &info))
        #expect(12 == info.st_uid && 34 == info.st_gid && 0o640 == info.st_mode & 0o7777)
        let again = try fixture.images.import(request, from: nil, .unbounded)
        #expect(prepared.status.digest == again.digest)
    }

    @Test func preparingMakesATreeOnce() async throws {
        let fixture = try ImageFixture()
        let status = try fixture.importTar(Self.tree, as: "localhost/tool")
        let path = try fixture.images.trees.path(status.digest)
        try Files.removeTree(path)
        let inodes = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for _ in 0..<6 {
                group.addTask {
                    let prepared = try fixture.reopened().prepare("localhost/tool", .missing, .unbounded)
                    return try inode(prepared.rootfs)
                }
            }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(1 == inodes.count)
        #expect("content\n" == (try Files.readText("\(path)/bin/link")))
    }

    @Test func preparingNeverPullsWhenToldSo() throws {
        let fixture = try ImageFixture()
        let error = #expect(throws: KinaError.self) {
            try fixture.images.prepare("127.0.0.1:1/none", .never, .unbounded)
        }
        #expect(.notFound == error?.code)
        let malformed = #expect(throws: KinaError.self) { try fixture.images.prepare("No", .missing, .unbounded) }
        #expect("image" == malformed?.details["field"])
    }

    @Test func aTreeThatACrashLeftHalfIsMadeAnew() throws {
        let fixture = try ImageFixture()
        let status = try fixture.importTar(Self.tree, as: "localhost/tool")
        let path = try fixture.images.trees.path(status.digest)
        try Files.remove("\(path)/bin/tool")
        try Files.remove("\(path).json")
        let prepared = try fixture.images.prepare(digest: status.digest, .unbounded)
        #expect("content\n" == (try Files.readText("\(prepared.rootfs)/bin/tool")))
    }

    /// After a power failure files may be shorter than they were.
    @Test func aTreeOfAnotherBootIsComparedFirst() throws {
        let fixture = try ImageFixture()
        let status = try fixture.importTar(Self.tree, as: "localhost/tool")
        let path = try fixture.images.trees.path(status.digest)
        let marker = try Files.readText("\(path).json")
        let bootID = try Context.bootID()
        let older = Array(marker.replacing(bootID, with: "another").utf8)
        let before = try inode(path)

        try Files.writeAtomically("\(path).json", older)
        _ = try fixture.reopened().prepare("localhost/tool", .never, .unbounded)
        #expect(before == (try inode(path)))
        #expect(marker == (try Files.readText("\(path).json")))

        try Files.writeAtomically("\(path).json", older)
        truncate("\(path)/bin/tool", 0)
        let prepared = try fixture.reopened().prepare("localhost/tool", .never, .unbounded)
        #expect("content\n" == (try Files.readText("\(prepared.rootfs)/bin/tool")))
    }

    // MARK: - Hostile layers

    /// umoci 0.4.7 removes the parent of the tree for the first of these.
    @Test(arguments: [
        [TarEntry.file(".wh...", "")], [.file(".wh..", "")], [.directory("a/"), .file("a/.wh...", "")],
        [.file("../../../escaped")], [.file("/escaped")], [.hardLink("a", "../../../victim")],
        [.symlink("a", "/VICTIM"), .file("a")], [.symlink("a", "/HOME"), .file("a/escaped")],
        [.symlink("a", "../../../.."), .file("a/escaped")], [.symlink(".", "/HOME"), .file("escaped")],
        [.symlink("a", "/HOME"), .file("a/.wh.victim", ""), .file("a/.wh..wh..opq", "")],
    ])
    func nothingIsWrittenOutsideTheTree(_ entries: [TarEntry]) throws {
        let fixture = try ImageFixture()
        let victim = "\(fixture.home)/victim"
        try Files.writeAtomically(victim, Array("untouched".utf8))
        let entries = entries.map { entry in
            var entry = entry
            entry.link = entry.link.replacing("/VICTIM", with: victim).replacing("/HOME", with: fixture.home)
            return entry
        }
        // The journal is written where it should be.
        let list = { try Files.list(fixture.home).filter { $0 != "events.jsonl" }.sorted() }
        let before = try list()
        do {
            let status = try fixture.importTar(entries, as: "localhost/hostile")
            try fixture.images.delete(status.digest, force: false, .unbounded)
        } catch let error as KinaError {
            #expect(.invalidArgument == error.code, "\(error)")
        }
        #expect("untouched" == (try Files.readText(victim)))
        #expect(before == (try list()))
        #expect(!Files.exists("/escaped"))
        #expect([] == (try fixture.remains))
    }

    @Test func deviceNodesAreLegal() throws {
        let fixture = try ImageFixture()
        try fixture.importTar([TarEntry(name: "null", type: "3"), TarEntry(name: "fifo", type: "6")], as: "d")
        let prepared = try fixture.images.prepare("d", .never, .unbounded)
        var info = stat()
        #expect(0 == lstat("\(prepared.rootfs)/null", &info) && info.st_mode & S_IFMT == S_IFCHR)
    }

    @Test func anUnpackingBeyondTheLimitIsEnded() throws {
        let fixture = try ImageFixture(unpackLimit: 8 << 20)
        let zeros = TarEntry(name: "zeros", content: [UInt8](repeating: 0, count: 7 << 20))
        // The layer is below the limit and what it unpacks to above: a hard link costs nothing, a copy does.
        var second = zeros
        second.name = "more"
        let packed = try Command(hostTool("gzip"), ["-c"]).run(
            .unbounded, input: TarEntry.archive([zeros, second]))
        let request = try JSON.decode(ImageImportRequest.self, from: #"{"reference": "bomb"}"#, what: "request")
        let error = #expect(throws: KinaError.self) {
            try fixture.with(packed.stdout) { try fixture.images.import(request, from: $0, .unbounded) }
        }
        #expect(.resourceExhausted == error?.code)
        #expect("unpackLimit" == error?.details["field"])
        #expect([] == (try fixture.remains))
    }

    @Test func aTreeBeyondTheLimitIsNotKept() throws {
        let generous = try ImageFixture()
        let status = try generous.importTar(
            [TarEntry(name: "zeros", content: [UInt8](repeating: 0, count: 2 << 20))], as: "localhost/big")
        let watch = UnpackWatch(try generous.images.trees.path(status.digest), limit: 1 << 20)
        #expect(throws: KinaError.self) { try watch.checkAll() }
        #expect(throws: Never.self) {
            try UnpackWatch(generous.images.trees.path(status.digest), limit: 4 << 20).checkAll()
        }
    }

    @Test func treesDeeperThanDescriptorsGoAreRemoved() throws {
        let fixture = try ImageFixture()
        let top = "\(fixture.home)/deep"
        try Files.makeDirectories(top)
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        var directory = try FileDescriptor.open(top, O_RDONLY | O_DIRECTORY)
        for _ in 0..<min(limit.rlim_cur + 100, 5000) {
            #expect(0 == mkdirat(directory.raw, "d", 0o700))
            directory = FileDescriptor(openat(directory.raw, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        }
        try Files.removeTree(top)
        #expect(!Files.exists(top))
    }

    // MARK: - Archives

    @Test(arguments: ["oci", "docker"])
    func savedImagesAreLoadedAgain(_ format: String) throws {
        let fixture = try ImageFixture(), other = try ImageFixture()
        let first = try fixture.importTar(Self.tree, as: "localhost/a")
        try fixture.importTar([.file("other")], as: "localhost/b:2")
        _ = try fixture.images.tag("localhost/a", as: "localhost/c")
        let archive = try fixture.empty("saved")
        let request = try JSON.decode(
            ImageSaveRequest.self,
            from: #"{"references": ["localhost/a", "localhost/b:2", "localhost/c"], "format": "\#(format)"}"#,
            what: "request")
        try fixture.images.save(request, to: archive.raw, .unbounded)
        lseek(archive.raw, 0, SEEK_SET)
        let loaded = try other.images.load(loadRequest(), from: archive.raw, .unbounded).images
        #expect(
            ["localhost/a:latest", "localhost/b:2", "localhost/c:latest"] == loaded.map(\.reference).sorted())
        if format == "oci" {
            // Nothing was compressed or rewritten on the way.
            #expect(first.digest == (try other.images.get("localhost/a").digest))
        }
        let prepared = try other.images.prepare("localhost/c", .never, .unbounded)
        #expect("content\n" == (try Files.readText("\(prepared.rootfs)/bin/tool")))
    }

    @Test(arguments: ["gzip", "zstd", "xz"])
    func compressedArchivesAreLoadedFromAPipe(_ program: String) throws {
        let fixture = try ImageFixture()
        try fixture.importTar(Self.tree, as: "localhost/a")
        let archive = try save(["localhost/a"], fixture)
        try fixture.images.delete("localhost/a", force: false, .unbounded)
        let packed = try Command(hostTool(program), ["-c"]).run(.unbounded, input: Files.read(archive))
        let reader = try pipe(packed.stdout)
        let loaded = try withExtendedLifetime(reader) {
            try fixture.images.load(loadRequest(#"{"reference": "renamed"}"#), from: reader.raw, .unbounded)
        }
        #expect(["docker.io/library/renamed:latest"] == loaded.images.map(\.reference))
    }

    @Test func brokenArchivesLeaveNothing() throws {
        let fixture = try ImageFixture()
        try fixture.importTar(
            [TarEntry(name: "big", content: [UInt8](repeating: 7, count: 100_000))], as: "localhost/a")
        let whole = try Files.read(save(["localhost/a"], fixture))
        try fixture.images.delete("localhost/a", force: false, .unbounded)
        var damaged = whole
        let middle = try #require(whole.lastIndex(of: 7)) - 50_000
        damaged[middle] = 8
        let empty = TarEntry.archive([.file("file")])
        let fifo = TarEntry.archive([
            .file("oci-layout", "{}"), .file("index.json", "{}"), TarEntry(name: "x", type: "6"),
        ])
        let outside = TarEntry.archive([.file("oci-layout", "{}"), .file("index.json", "{}"), .file("../x")])
        let malformed = TarEntry.archive([.file("manifest.json", "{")])
        let cases: [([UInt8], KinaError.Code)] = [
            ([], .invalidArgument), (Array("no archive".utf8), .invalidArgument),
            (Array(whole.prefix(60_000)), .invalidArgument), (damaged, .dataLoss), (empty, .invalidArgument),
            (fifo, .invalidArgument), (outside, .invalidArgument), (malformed, .invalidArgument),
            ([0x1F, 0x8B, 8, 0, 1, 2, 3], .invalidArgument),
        ]
        for (index, (bytes, code)) in cases.enumerated() {
            let error = #expect(throws: KinaError.self, "case \(index)") {
                try fixture.with(bytes) { try fixture.images.load(loadRequest(), from: $0, .unbounded) }
            }
            #expect(code == error?.code, "case \(index): \(error?.message ?? "")")
            #expect([] == (try fixture.remains), "case \(index)")
        }
    }

    // MARK: - Deleting

    @Test func theLastReferenceTakesEverythingAlong() throws {
        let fixture = try ImageFixture()
        try fixture.importTar(Self.tree, as: "localhost/a")
        _ = try fixture.images.tag("localhost/a", as: "localhost/b")
        try fixture.images.delete("localhost/a", force: false, .unbounded)
        #expect("localhost/b:latest" == (try fixture.images.get("localhost/b").reference))
        _ = try fixture.images.prepare("localhost/b", .never, .unbounded)
        try fixture.images.delete("localhost/b", force: false, .unbounded)
        #expect([] == (try fixture.remains))
        let error = #expect(throws: KinaError.self) {
            try fixture.images.delete("localhost/b", force: true, .unbounded)
        }
        #expect(.notFound == error?.code)
    }

    @Test func aReplacedImageGoes() throws {
        let fixture = try ImageFixture()
        try fixture.importTar(Self.tree, as: "localhost/a")
        let second = try fixture.importTar([.file("new")], as: "localhost/a")
        #expect(5 == (try fixture.remains.count))  // manifest, configuration, layer; tree and its marker
        #expect(second == (try fixture.images.get("localhost/a")))
    }

    @Test func containersKeepWhatTheyUse() throws {
        let fixture = try ImageFixture()
        let status = try fixture.importTar(Self.tree, as: "localhost/a")
        fixture.images.users = { [status.digest: ["web", "db"]] }
        let error = #expect(throws: KinaError.self) {
            try fixture.images.delete("localhost/a", force: false, .unbounded)
        }
        #expect(.failedPrecondition == error?.code)
        #expect("db,web" == error?.details["containers"])
        try fixture.images.delete("localhost/a", force: true, .unbounded)
        #expect([] == (try fixture.images.list().images))
        let prepared = try fixture.images.prepare(digest: status.digest, .unbounded)
        #expect("content\n" == (try Files.readText("\(prepared.rootfs)/bin/tool")))
        prepared.hold.unlock()

        var result = PruneResult()
        try fixture.images.prune(unused: true, &result, .unbounded)
        #expect(Files.isDirectory(prepared.rootfs))
        fixture.images.users = { [:] }
        try fixture.images.prune(unused: false, &result, .unbounded)
        #expect([] == (try fixture.remains))
        #expect(result.reclaimed > 0)
    }

    @Test func aHeldTreeCanNotGo() throws {
        let fixture = try ImageFixture()
        try fixture.importTar(Self.tree, as: "localhost/a")
        let prepared = try fixture.images.prepare("localhost/a", .never, .unbounded)
        let error = #expect(throws: KinaError.self) {
            try fixture.images.delete("localhost/a", force: true, Call(timeoutMs: 50))
        }
        #expect(.deadlineExceeded == error?.code)
        #expect(Files.isDirectory(prepared.rootfs))
        prepared.hold.unlock()
        try fixture.images.delete("localhost/a", force: true, .unbounded)
        #expect(!Files.exists(prepared.rootfs))
    }

    @Test func pruningRemovesWhatIsUnused() throws {
        let fixture = try ImageFixture()
        let used = try fixture.importTar(Self.tree, as: "localhost/used")
        try fixture.importTar([.file("x")], as: "localhost/unused")
        fixture.images.users = { [used.digest: ["web"]] }
        var result = PruneResult()
        try fixture.images.prune(unused: true, &result, .unbounded)
        #expect(["localhost/unused:latest"] == result.images)
        #expect(["localhost/used:latest"] == (try fixture.images.list().images.map(\.reference)))
    }

    @Test func pruningTellsTheDeadFromTheLiving() throws {
        let fixture = try ImageFixture()
        let living = try ImageWorkspace(fixture.home, .unbounded)
        let dead = "\(fixture.home)/tmp/image-0123456789abcdef"
        try Files.makeDirectories(dead)
        try Files.writeAtomically("\(dead)/oci-put-blob1", Array("x".utf8))
        try Files.writeAtomically("\(dead).lock", [])
        try Files.writeAtomically("\(fixture.home)/images/blobs/sha256/\(String(repeating: "0", count: 64))", [1])
        var result = PruneResult()
        try fixture.images.prune(unused: false, &result, .unbounded)
        #expect(Files.isDirectory(living.path))
        #expect(!Files.exists(dead) && !Files.exists("\(dead).lock"))
        #expect(2 == result.leftovers.count)
    }

    // MARK: -

    /// The end to read from of a pipe that has all of it and no writer.
    private func pipe(_ bytes: [UInt8]) throws -> FileDescriptor {
        let pipe = try FileDescriptor.pipe()
        try #require(bytes.count < 65536)
        try writeAll(pipe.write.raw, bytes)
        return pipe.read
    }

    private func loadRequest(_ text: String = "{}") throws -> ImageLoadRequest {
        try JSON.decode(ImageLoadRequest.self, from: text, what: "request")
    }

    private func save(_ references: [String], _ fixture: ImageFixture) throws -> String {
        let path = "\(fixture.home)/saved-\(Identifier.random(4))"
        let fd = try FileDescriptor.open(path, O_RDWR | O_CREAT)
        let list = references.map { "\"\($0)\"" }.joined(separator: ",")
        try fixture.images.save(
            try JSON.decode(ImageSaveRequest.self, from: #"{"references": [\#(list)]}"#, what: "request"), to: fd.raw,
            .unbounded)
        return path
    }
}

private func inode(_ path: String) throws -> UInt64 {
    var info = stat()
    try attempt("stat \(path)") { stat(path, &info) }
    return UInt64(info.st_ino)
}
