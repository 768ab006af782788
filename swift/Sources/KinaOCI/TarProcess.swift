import CKinaLinux
import KinaCore

/// busybox's tar inside a container's root: the container's mounts and links, and none of its programs.
struct TarProcess {
    private let child: Child
    let errors: FileDescriptor

    init(_ root: ContainerRoot, _ context: Context, _ arguments: [String], cwd: String, stdin: Int32) throws {
        let program = try Self.program(context.tools.busybox)
        let pipe = try FileDescriptor.pipe()
        var pid: pid_t = 0
        let stdio = [stdin, -1, pipe.write.raw]
        let result = withCStrings(["busybox", "tar"] + arguments) { argv in
            withCStrings(["LC_ALL=C"]) { envp in
                kina_linux_spawn_in_root(
                    root.mounts?.raw ?? -1, root.directory.raw, cwd, program.raw, argv, envp, stdio, &pid)
            }
        }
        _ = try doing("starting tar in the container's '\(cwd)'") { try checkLinux("spawn", result) }
        child = Child(pid: pid, name: "tar")
        errors = pipe.read
    }

    private static func program(_ path: String) throws -> FileDescriptor {
        let fd = try doing("opening \(path)") { try FileDescriptor.open(path, O_RDONLY) }
        guard try doing("reading \(path)", { try ELF.isStatic(fd) }) else {
            throw KinaError(
                .unavailable, "\(path) is dynamically linked, so it can't run inside a container's root",
                hint: "apt-get install --no-install-recommends busybox-static")
        }
        return fd
    }

    /// Reads its complaints to their end and waits for its own.
    func finish(_ call: Call, _ what: String, complaints before: [UInt8] = []) throws {
        var text = before
        try orKill {
            while true {
                try call.waitReadable(errors.raw, for: what)
                guard let chunk = try errors.read(), !chunk.isEmpty else { return }
                text = (text + chunk).suffix(Self.longestComplaint)
            }
        }
        switch try child.wait(call) {
        case .exited(0): return
        case .exited, .signaled: throw TarFailure.classify(text, what)
        }
    }

    static let longestComplaint = 1 << 14

    func orKill<T>(_ body: () throws -> T) throws -> T {
        do { return try body() } catch {
            child.kill()
            _ = try? child.reap()
            throw error
        }
    }
}

/// Unpacks an archive that comes from a descriptor.
struct TarExtraction {
    private let root: ContainerRoot
    private let directory: String
    private let tar: TarProcess
    private let feed: FeedPipe

    /// Closed before tar is waited for.
    private final class FeedPipe {
        var write: FileDescriptor?
        init(_ write: FileDescriptor) { self.write = write }
    }

    init(_ root: ContainerRoot, _ context: Context, in directory: String) throws {
        self.root = root
        self.directory = directory
        let pipe = try FileDescriptor.pipe()
        _ = fcntl(pipe.write.raw, 1031 /* F_SETPIPE_SZ */, 1 << 20)  // fewer switches; not having it costs speed only
        let arguments = ["-x", "--numeric-owner", "-f", "-"]
        tar = try TarProcess(root, context, arguments, cwd: directory, stdin: pipe.read.raw)
        feed = FeedPipe(pipe.write)
    }

    func run(from source: Int32, _ call: Call, _ what: String) throws {
        var translator = PaxTranslator()
        let complaints = try tar.orKill { try pump(source, &translator, call, what) }
        feed.write = nil
        try tar.finish(call, what, complaints: complaints)
        // Last, so that nothing of the archive goes through one of its own links.
        for link in translator.links { try link.create(in: directory, of: root) }
        for attributes in translator.attributes { try attributes.set(in: directory, of: root) }
        // What follows the archive's end is padding: whoever writes it should not meet a closed pipe.
        while try !read(source, call, what).isEmpty {}
    }

    /// Source to translation to tar, until tar hangs up or the source ends. Gives what tar complained of meanwhile.
    private func pump(_ source: Int32, _ translator: inout PaxTranslator, _ call: Call, _ what: String) throws
        -> [UInt8]
    {
        guard let pipe = feed.write else { return [] }
        let sink = Output(pipe.raw)
        var complaints: [UInt8] = [], pending: ArraySlice<UInt8> = []
        var isOpen = true
        while isOpen || !pending.isEmpty, !sink.isGone {
            var entries = [
                pollfd(fd: pending.isEmpty ? source : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: pipe.raw, events: pending.isEmpty ? 0 : Int16(POLLOUT), revents: 0),
                pollfd(fd: tar.errors.raw, events: Int16(POLLIN), revents: 0),
            ]
            try call.poll(&entries, for: what)
            sink.noteHangup(entries[1])
            if entries[2].revents & Int16(POLLIN) != 0 {
                complaints = (complaints + (try tar.errors.read() ?? [])).suffix(TarProcess.longestComplaint)
            }
            if entries[0].revents != 0 {
                let chunk = try read(source, call, what)
                isOpen = !chunk.isEmpty
                if isOpen { pending = try translator.translate(chunk)[...] } else { try translator.finish() }
            }
            while !pending.isEmpty {
                let taken = try pending.withUnsafeBytes { try sink.writeSome($0) }
                if taken == 0 { break }
                pending = pending.dropFirst(taken)
            }
        }
        return complaints
    }

    /// Borrowed, so it is not ours to close.
    private func read(_ source: Int32, _ call: Call, _ what: String) throws -> [UInt8] {
        try doing("\(what): reading the archive") {
            while true {
                try call.waitReadable(source, for: "the archive")
                do {
                    return try [UInt8](unsafeUninitializedCapacity: 1 << 18) { buffer, filled in
                        filled = try attempt("read") { Glibc.read(source, buffer.baseAddress, buffer.count) }
                    }
                } catch let error as Errno where error.code == EAGAIN { continue }
            }
        }
    }
}

/// busybox's tar has one exit code for everything: this is the one place that reads its words.
enum TarFailure {
    static func classify(_ text: [UInt8], _ what: String) -> KinaError {
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
            .filter { !$0.contains("error exit delayed") && !$0.contains("removing leading") }
        for (endings, code, hint) in kinds {
            if let line = lines.first(where: { line in
                endings.contains { line.hasSuffix($0) || line.contains("tar: \($0)") }
            }) {
                return KinaError(code, "\(what): \(line)", hint: hint)
            }
        }
        // A link that is refused, for want of an errno to name, ends in its quoted target.
        if let line = lines.first(where: { $0.contains("can't create symlink") && $0.hasSuffix("'") }) {
            return KinaError(.invalidArgument, "\(what): \(line)", hint: "the archive has something else of that name")
        }
        return KinaError(.internal, "\(what): \(lines.first ?? "tar failed")")
    }

    private static let kinds: [([String], KinaError.Code, String)] = [
        (
            ["No space left on device", "Disk quota exceeded"], .resourceExhausted,
            "free disk space, or enlarge the volume or tmpfs"
        ),
        (
            ["Read-only file system", "Permission denied", "Operation not permitted"], .permissionDenied,
            "choose a directory that the container can write to"
        ),
        (
            ["short read", "invalid tar magic", "invalid tar header checksum", "corrupted octal value in tar header"],
            .invalidArgument, "pass a whole, uncompressed tar archive"
        ),
        (
            ["Device or resource busy", "Text file busy"], .failedPrecondition,
            "something is mounted on it, or it runs: write to it from inside, or copy beside it"
        ),
        (["unknown typeflag"], .invalidArgument, "make the archive in the ustar, GNU or pax format"),
        (["No such file or directory"], .notFound, "something was removed meanwhile: try again"),
    ]
}

/// Executables.
enum ELF {
    /// Whether it runs without a dynamic linker. True for what is no 64-bit ELF file: then starting it will tell.
    static func isStatic(_ fd: FileDescriptor) throws -> Bool {
        let header = try bytes(fd, at: 0, count: 64)
        guard header.count == 64, header.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2, 1]) else { return true }
        let table = Int64(truncatingIfNeeded: number(header[32..<40]))
        let size = Int(number(header[54..<56])), count = Int(number(header[56..<58]))
        let segments = try bytes(fd, at: table, count: size * count)
        guard size >= 4, segments.count == size * count else { return true }
        let interpreter: UInt64 = 3  // PT_INTERP
        return !(0..<count).contains { number(segments[($0 * size)..<($0 * size + 4)]) == interpreter }
    }

    private static func bytes(_ fd: FileDescriptor, at offset: Int64, count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = try attempt("pread") { pread(fd.raw, buffer.baseAddress, count, off_t(offset)) }
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
