import KinaCore

/// A tar that a caller handed in through a descriptor: plain, seekable and listed.
struct ImageArchive: Sendable {
    enum Kind { case oci, docker }

    struct Entry: Sendable {
        /// tar's letter: "-" for a file, "d" for a directory.
        var type: Character
        var size: Int64
        /// As the archive spells it.
        var name: String

        var cleanName: String { name.hasPrefix("./") ? String(name.dropFirst(2)) : name }
    }

    private let fd: FileDescriptor
    private let tar: String

    /// Where a child that keeps `keep` finds it.
    static let childPath = "/proc/self/fd/3"
    var keep: [Int32] { [fd.raw] }

    /// Takes a regular file as it is; what comes through a pipe, or compressed, is first written to the workspace.
    init(_ fd: Int32, _ workspace: ImageWorkspace, limit: Int64, _ call: Call) throws {
        tar = try hostTool("tar")
        self.fd = try doing("reading the archive") {
            try Self.open(fd, workspace, limit: limit, call)
        }
    }

    private static func open(_ fd: Int32, _ workspace: ImageWorkspace, limit: Int64, _ call: Call) throws
        -> FileDescriptor
    {
        var source = FileDescriptor(try attempt("dup") { fcntl(fd, F_DUPFD_CLOEXEC, 3) })
        var info = stat()
        try attempt("fstat") { fstat(fd, &info) }
        if info.st_mode & S_IFMT != S_IFREG || lseek(fd, 0, SEEK_CUR) != 0 {
            source = try copy(source, to: workspace.file("archive"), limit: limit, call)
        }
        try attempt("fstat") { fstat(source.raw, &info) }
        guard info.st_size > 0 else { throw invalid("is empty") }
        if let program = try decompressor(source) {
            source = try decompress(program, source, to: workspace.file("archive.tar"), limit: limit, call)
            try Files.remove(workspace.file("archive"))
        }
        return source
    }

    static func invalid(_ why: String) -> KinaError {
        KinaError(
            .invalidArgument, "the archive \(why)",
            hint: "pass a whole tar archive, plain or compressed with gzip, zstd or xz", details: ["field": "fd"])
    }

    /// Copies what is left to read. Answers the copy, from its beginning.
    static func copy(_ source: FileDescriptor, to path: String, limit: Int64, _ call: Call) throws -> FileDescriptor {
        let target = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL)
        var total: Int64 = 0
        while true {
            try call.waitReadable(source.raw, for: "the archive")
            guard let chunk = try source.read(1 << 18) else { continue }
            if chunk.isEmpty { break }
            total += Int64(chunk.count)
            guard total <= limit else { throw UnpackWatch.exceeded(limit) }
            try writeAll(target.raw, chunk)
        }
        try attempt("lseek") { lseek(target.raw, 0, SEEK_SET) }
        return target
    }

    /// nil for what is not compressed.
    private static func decompressor(_ fd: FileDescriptor) throws -> String? {
        var magic = [UInt8](repeating: 0, count: 6)
        try attempt("read") { pread(fd.raw, &magic, magic.count, 0) }
        let programs: [(magic: [UInt8], name: String)] = [
            ([0x1F, 0x8B], "gzip"), ([0x28, 0xB5, 0x2F, 0xFD], "zstd"), ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "xz"),
            ([0x42, 0x5A, 0x68], "bzip2"),
        ]
        return try programs.first { magic.starts(with: $0.magic) }.map { try hostTool($0.name) }
    }

    private static func decompress(
        _ program: String, _ source: FileDescriptor, to path: String, limit: Int64, _ call: Call
    ) throws -> FileDescriptor {
        let target = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL)
        let input = try FileDescriptor.open("/proc/self/fd/\(source.raw)", O_RDONLY)
        let output = try Command(program, ["-dc"]).run(call, stdinFd: input.raw, stdoutFd: target.raw) {
            var info = stat()
            if fstat(target.raw, &info) == 0, Int64(info.st_size) > limit { throw UnpackWatch.exceeded(limit) }
        }
        guard output.status.isSuccess else {
            let said = output.errorText
            if ToolFailure.isDiskFull(output) { throw Errno(ENOSPC, "write \(path)") }
            throw invalid("can't be decompressed: \(said)")
        }
        try attempt("lseek") { lseek(target.raw, 0, SEEK_SET) }
        return target
    }

    private func run(_ arguments: [String], _ call: Call) throws -> Command.Output {
        let output = try Command(tar, arguments).run(call, keep: keep, limit: 64 << 20)
        guard output.status.isSuccess else {
            if ToolFailure.isDiskFull(output) { throw Errno(ENOSPC, "tar") }
            let said = output.errorText.split(separator: "\n").first?.replacingPrefix("\(tar): ") ?? "tar failed"
            throw Self.invalid("can't be read: \(said)")
        }
        return output
    }

    func entries(_ call: Call) throws -> [Entry] {
        let output = try run(["-tvf", Self.childPath, "--numeric-owner", "--quoting-style=escape"], call)
        guard output.stdout.count < 64 << 20 else { throw Self.invalid("has too many entries") }
        return try output.text.split(separator: "\n").map { line in
            // -rw-r--r-- 0/0 12 2024-01-01 00:00 name
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
            guard fields.count == 6, let type = line.first else { throw Self.invalid("can't be listed") }
            return Entry(type: type, size: Int64(fields[2]) ?? 0, name: String(fields[5]))
        }
    }

    func kind(_ entries: [Entry]) throws -> Kind {
        let names = Set(entries.map(\.cleanName))
        // Docker 25 and later write both; its own form has whole names.
        if names.contains("manifest.json") { return .docker }
        if names.contains("index.json"), names.contains("oci-layout") { return .oci }
        throw Self.invalid("is no image: neither manifest.json nor index.json is in it")
    }

    func file(_ entry: Entry, _ call: Call) throws -> [UInt8] {
        guard entry.size < 8 << 20 else { throw Self.invalid("has a \(entry.name) of \(entry.size) bytes") }
        return try run(["-xOf", Self.childPath, "--", entry.name], call).stdout
    }

    /// Unpacks an archive of files and directories only, so nothing can lead out of the directory.
    func extract(_ entries: [Entry], to directory: String, limit: Int64, _ call: Call) throws {
        for entry in entries {
            guard entry.type == "-" || entry.type == "d" else {
                throw Self.invalid("has '\(entry.name)', which is neither a file nor a directory")
            }
            let parts = entry.name.split(separator: "/", omittingEmptySubsequences: false)
            guard !entry.name.hasPrefix("/"), !parts.contains("..") else {
                throw Self.invalid("has '\(entry.name)', which leads out of it")
            }
        }
        guard entries.reduce(0, { $0 &+ $1.size }) <= limit else { throw UnpackWatch.exceeded(limit) }
        try Files.makeDirectories(directory)
        _ = try run(
            ["-xf", Self.childPath, "-C", directory, "--no-same-owner", "--no-same-permissions", "--no-xattrs"], call)
    }
}

/// A program that any host has, and that kina needs only now and then.
func hostTool(_ name: String) throws -> String {
    guard let path = Command.find(name) else {
        let package = ["sha256sum": "coreutils", "xz": "xz-utils"][name] ?? name
        throw KinaError(
            .unavailable, "missing program: \(name)", hint: "apt-get install \(package)", details: ["missing": name])
    }
    return path
}
