import KinaCore
import Testing

@testable import KinaOCI

@Suite struct PathsInContainers {
    @Test(arguments: [
        ("/", "/", "/", "."), ("/a", "/a", "/", "a"), ("//a/./b/", "/a/b", "/a", "b"), ("/a/../../b", "/b", "/", "b"),
        ("/a/b/..", "/a", "/", "a"), ("/-x", "/-x", "/", "-x"),
    ])
    func areCleaned(_ given: String, _ text: String, _ parent: String, _ last: String) throws {
        let path = try ContainerPath(given)
        #expect(text == path.text)
        #expect(parent == path.parent)
        #expect(last == path.last)
    }

    @Test(arguments: ["", "a", "./a"]) func mustBeAbsolute(_ given: String) {
        #expect(throws: KinaError.self) { try ContainerPath(given) }
    }
}

@Suite struct PaxTranslation {
    /// What GNU tar makes, unpacked by busybox after the translation: both are on every host that kina runs on.
    private func roundTrip(_ format: String, _ scratch: Scratch, chunk: Int) throws -> String {
        let call = try Call(timeoutMs: 20_000)
        let tar = try #require(Command.find("tar")), busybox = try #require(Command.find("busybox"))
        let archive = try Command(tar, ["--format=\(format)", "-C", "\(scratch.path)/in", "-cf", "-", "."]).run(call)
        #expect(archive.status.isSuccess, "\(archive.errorText)")
        var translator = PaxTranslator()
        var translated: [UInt8] = []
        for start in stride(from: 0, to: archive.stdout.count, by: chunk) {
            translated += try translator.translate(
                Array(archive.stdout[start..<min(start + chunk, archive.stdout.count)]))
        }
        try translator.finish()
        let out = "\(scratch.path)/out"
        try Files.removeTree(out)
        try Files.makeDirectories(out)
        let unpacked = try Command(busybox, ["tar", "-x", "--numeric-owner", "-f", "-", "-C", out]).run(
            call, input: translated)
        #expect(unpacked.status.isSuccess, "\(unpacked.errorText)")
        let root = try ContainerRoot(at: out)
        for link in translator.links { try link.create(in: "/", of: root) }
        return out
    }

    @Test(arguments: ["posix", "gnu"], [512, 700, 1 << 16]) func keepsWhatBusyboxWouldCut(
        _ format: String, _ chunk: Int
    ) throws {
        let scratch = try Scratch()
        let long = String(repeating: "n", count: 180), deep = "d/\(long)/\(long)"
        try Files.makeDirectories("\(scratch.path)/in/d/\(long)")
        try Files.writeAtomically("\(scratch.path)/in/\(deep)", Array("content".utf8), mode: 0o640)
        try Files.writeAtomically("\(scratch.path)/in/\u{E9}", Array(repeating: 7, count: 1025))
        symlink(deep, "\(scratch.path)/in/link")
        #expect(0 == lchown("\(scratch.path)/in/link", 1000, 2_000_000))
        link("\(scratch.path)/in/\(deep)", "\(scratch.path)/in/hard")
        #expect(0 == chown("\(scratch.path)/in/\u{E9}", 3_000_000_000, 4_000_000))
        let out = try roundTrip(format, scratch, chunk: chunk)
        #expect("content" == (try Files.readText("\(out)/\(deep)")))
        #expect(1025 == (try Files.read("\(out)/\u{E9}")).count)
        #expect(deep == readLink("\(out)/link"))
        #expect(FileIdentity(path: "\(out)/\(deep)") == FileIdentity(path: "\(out)/hard"))
        var info = stat()
        #expect(0 == stat("\(out)/\u{E9}", &info))
        #expect([3_000_000_000, 4_000_000] == [info.st_uid, info.st_gid])
        #expect(0 == lstat("\(out)/link", &info))
        #expect([1000, 2_000_000] == [info.st_uid, info.st_gid])
        #expect(0 == stat("\(out)/hard", &info))
        #expect([0, 0] == [info.st_uid, info.st_gid])
        #expect(0o640 == info.st_mode & 0o7777)
    }

    @Test func makesLinksThatLeadOutOnlyInside() throws {
        let scratch = try Scratch()
        try Files.makeDirectories("\(scratch.path)/out/etc")
        symlink("/etc", "\(scratch.path)/out/away")
        let root = try ContainerRoot(at: "\(scratch.path)/out")
        let made = SymbolicLink(path: "away/made", target: "/etc/passwd", uid: 1, gid: 2, mtime: 3)
        try made.create(in: "/", of: root)
        #expect("/etc/passwd" == readLink("\(scratch.path)/out/etc/made"))
        let out = SymbolicLink(path: "../x", target: "y", uid: 0, gid: 0, mtime: 0)
        #expect(throws: KinaError.self) { try out.create(in: "/", of: root) }
    }

    @Test func refusesWhatIsNoArchive() {
        var translator = PaxTranslator()
        let error = #expect(throws: KinaError.self) { try translator.translate([UInt8](repeating: 1, count: 512)) }
        #expect(.invalidArgument == error?.code)
    }

    @Test func refusesATruncatedArchive() throws {
        var translator = PaxTranslator()
        _ = try translator.translate(TarHeader.long(Array("name".utf8), type: UInt8(ascii: "L")).dropLast())
        #expect(throws: KinaError.self) { try translator.finish() }
    }

    @Test func refusesSparseFiles() throws {
        let scratch = try Scratch()
        try Files.makeDirectories("\(scratch.path)/in")
        try Files.writeAtomically("\(scratch.path)/in/s", [1])
        #expect(0 == truncate("\(scratch.path)/in/s", 1 << 20))
        for format in ["gnu", "posix"] {
            let archive = try Command(
                try #require(Command.find("tar")),
                ["--format=\(format)", "-S", "-C", "\(scratch.path)/in", "-cf", "-", "s"]
            ).run(try Call(timeoutMs: 20_000))
            var translator = PaxTranslator()
            #expect(throws: KinaError.self) { try translator.translate(archive.stdout) }
        }
    }
}

@Suite struct TarWords {
    @Test(arguments: [
        ("tar: write error: No space left on device\n", KinaError.Code.resourceExhausted),
        (
            "tar: can't create directory 'd': Read-only file system\ntar: can't open 'd/f': No such file or directory\n",
            .permissionDenied
        ),
        ("tar: short read\n", .invalidArgument), ("tar: unknown typeflag: 0x53\n", .invalidArgument),
        ("tar: x: No such file or directory\ntar: error exit delayed from previous errors\n", .notFound),
        ("", .internal),
    ])
    func haveCodes(_ words: String, _ expected: KinaError.Code) {
        #expect(expected == TarFailure.classify(Array(words.utf8), "copying").code)
    }
}

@Suite struct ComplaintsOfGNUTar {
    private func complaints(_ text: String) -> TarComplaints { TarComplaints(Array(text.utf8)) }

    @Test func filesInUseAreNoFailure() {
        #expect(complaints("/usr/bin/tar: a/log: file changed as we read it\n").isOnlyAboutLiveFiles)
        #expect(
            complaints("tar: a: File removed before we read it\ntar: b: file changed as we read it\n")
                .isOnlyAboutLiveFiles)
        #expect(!complaints("tar: a: File shrank by 9 bytes; padding with zeros\n").isOnlyAboutLiveFiles)
        #expect(!complaints("").isOnlyAboutLiveFiles)
    }

    @Test(arguments: [
        ("/bin/tar: x: Cannot stat: No such file or directory\n", KinaError.Code.notFound, "x: Cannot stat"),
        ("tar: -: Cannot write: No space left on device\n", .resourceExhausted, "-: Cannot write"),
        ("tar: f: Cannot open: Permission denied\n", .permissionDenied, "f: Cannot open"),
        ("tar: Error is not recoverable: exiting now\n", .internal, "Error is not recoverable"), ("", .internal, "tar"),
    ])
    func haveCodes(_ words: String, _ code: KinaError.Code, _ part: String) {
        let failure = complaints(words).failure("copying")
        #expect(code == failure.code)
        #expect(failure.message.hasPrefix("copying: \(part)"))
    }
}

@Suite struct Executables {
    @Test func staticOnesAreKnown() throws {
        let busybox = try #require(Command.find("busybox")), tar = try #require(Command.find("tar"))
        #expect(try ELF.isStatic(try FileDescriptor.open(busybox, O_RDONLY)))
        #expect(try !ELF.isStatic(try FileDescriptor.open(tar, O_RDONLY)))
    }
}

@Suite struct ExecReports {
    @Test func linesMayComeInPieces() throws {
        let pipe = try FileDescriptor.pipe()
        var report = ExecReport(pipe.read)
        try writeAll(pipe.write.raw, Array("started 12\nsign".utf8))
        #expect(try report.read())
        #expect(report.hasStarted)
        try writeAll(pipe.write.raw, Array("aled 9\n".utf8))
        #expect(try report.read())
        guard case .signaled(9) = report.end else { return #expect(Bool(false), "\(String(describing: report.end))") }
    }

    @Test func anEndWithoutAWordIsAFailure() throws {
        var report = ExecReport(try FileDescriptor.pipe().read)
        #expect(try !report.read())
        #expect(report.hasFailed)
    }
}
