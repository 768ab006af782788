import KinaCore

/// Packs files of a container with the host's GNU tar, which keeps what busybox's can't: owners above 2097151 and
/// extended attributes. It reads beneath a directory that is open already and follows no link, so that it needs no
/// place inside the container's root.
struct TarCreation {
    let program: String
    let directory: FileDescriptor

    /// Times lose their fractions: they would cost three blocks more for each file.
    private static let format = [
        "--format=posix", "--pax-option=delete=atime,delete=ctime,delete=mtime", "--numeric-owner",
        "--xattrs", "--xattrs-include=user.*", "--xattrs-include=security.capability",
    ]

    func run(_ entries: [String], to fd: Int32, _ call: Call, _ what: String) throws {
        let arguments = ["--create", "--file=-", "--directory=/proc/self/fd/3"] + Self.format + ["--"] + entries
        let output = try Command(program, arguments).run(call, stdoutFd: fd, keep: [directory.raw], limit: 1 << 14)
        let words = TarComplaints(output.stderr)
        switch output.status {
        case .exited(0):
            // Whoever asks for just a socket must not get nothing in silence.
            if let socket = words.line(endingIn: "socket ignored"), entries.count == 1,
                socket == "\(entries[0]): socket ignored"
            {
                throw KinaError(.invalidArgument, "\(what): it is a socket", hint: "copy the files beside it")
            }
        case .exited(1) where words.isOnlyAboutLiveFiles: break
        case .exited(1):
            throw KinaError(
                .aborted, "\(what): \(words.lines.first ?? "something changed while it was read")",
                hint: "copy it again when nothing writes to it, or pause the container meanwhile")
        case .signaled(SIGPIPE):
            throw KinaError(
                .aborted, "\(what): the reader of the archive has gone", hint: "read the archive to its end")
        case .exited, .signaled: throw words.failure(what)
        }
    }
}

/// What GNU tar complains of: its exit codes only tell whether files changed (1) or something failed (2).
struct TarComplaints {
    let lines: [String]

    init(_ text: [UInt8]) {
        lines = String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
            .filter { !$0.contains("Exiting with failure status") }
            .map { $0.replacingPrefix("\($0.prefix { $0 != ":" }): ") }  // "tar: ", or its whole path
    }

    func line(endingIn words: String) -> String? { lines.first { $0.hasSuffix(words) } }

    /// A log that grows and files that come and go belong to what runs: what was there is whole. A file that became
    /// shorter is not: tar fills it up with zeros.
    var isOnlyAboutLiveFiles: Bool {
        let harmless = ["file changed as we read it", "File removed before we read it"]
        return !lines.isEmpty && lines.allSatisfy { line in harmless.contains { line.hasSuffix($0) } }
    }

    func failure(_ what: String) -> KinaError {
        for (ending, code, hint) in Self.kinds {
            if let line = line(endingIn: ending) { return KinaError(code, "\(what): \(line)", hint: hint) }
        }
        return KinaError(.internal, "\(what): \(lines.first ?? "tar failed")")
    }

    private static let kinds: [(String, KinaError.Code, String)] = [
        ("No space left on device", .resourceExhausted, "free disk space where the archive goes"),
        ("Disk quota exceeded", .resourceExhausted, "free disk space where the archive goes"),
        ("Permission denied", .permissionDenied, "not even root may read that"),
        ("Operation not permitted", .permissionDenied, "not even root may read that"),
        ("No such file or directory", .notFound, "something was removed meanwhile: try again"),
        ("Input/output error", .dataLoss, "the file system that it is on is damaged"),
    ]
}
