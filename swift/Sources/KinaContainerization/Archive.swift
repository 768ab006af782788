#if Containerization
    import Foundation
    import KinaCore

    /// Tar streams by the host's tar, which keeps inside its directory what an archive holds.
    enum Archive {
        /// From a file, since tar looks into one to see how it is compressed, and can't into a stream.
        static func extract(_ fd: Int32, to directory: URL, _ call: Call) throws {
            let file = directory.appendingPathExtension("tar")
            defer { try? Files.remove(file.path) }
            let target = try doing("writing \(file.path)") {
                try FileDescriptor.open(file.path, O_WRONLY | O_CREAT | O_EXCL)
            }
            try copy(fd, to: target, call)
            try tar(["-x", "-f", file.path, "-C", directory.path], "unpacking the archive", call)
        }

        /// The directory's contents, each under its own name.
        static func write(_ directory: URL, to fd: Int32, _ call: Call) throws {
            let names = try doing("reading \(directory.path)") { try Files.list(directory.path).sorted() }
            try tar(
                // macOS's tar takes a name with @ for an archive; other tools look for names as they are.
                ["-c", "-f", "-", "-C", directory.path, "--"] + names.map { $0.hasPrefix("@") ? "./\($0)" : $0 },
                "packing the archive",
                stdout: fd, call)
        }

        /// A layer's tar from a stream or from a directory of the host.
        static func layer(from fd: Int32?, or directory: String?, to file: URL, _ call: Call) throws {
            let target = try doing("writing \(file.path)") {
                try FileDescriptor.open(file.path, O_WRONLY | O_CREAT | O_EXCL)
            }
            if let fd {
                try copy(fd, to: target, call)
                return try unzip(file, call)
            }
            guard let directory, Files.isDirectory(directory) else {
                throw KinaError.invalid("directory", directory, "is no directory", hint: "pass one, or a tar stream")
            }
            try tar(["-c", "-f", "-", "-C", directory, "."], "packing \(directory)", stdout: target.raw, call)
        }

        private static func copy(_ fd: Int32, to target: FileDescriptor, _ call: Call) throws {
            let source = FileDescriptor(
                try doing("keeping a stream") { try attempt("dup") { fcntl(fd, F_DUPFD_CLOEXEC, 3) } })
            try doing("copying the archive") {
                while true {
                    try call.waitReadable(source.raw, for: "the archive")
                    guard let chunk = try source.read(1 << 18) else { continue }
                    if chunk.isEmpty { return }
                    try writeAll(target.raw, chunk)
                }
            }
        }

        /// A layer's digest is that of its plain tar.
        private static func unzip(_ file: URL, _ call: Call) throws {
            let start = try doing("reading \(file.path)") { try FileDescriptor.open(file.path, O_RDONLY).read(2) ?? [] }
            guard start == [0x1F, 0x8B] else { return }
            guard let program = Command.find("gzip") else {
                throw KinaError(.unavailable, "missing program: gzip", hint: "install gzip, or pass a plain tar")
            }
            let packed = "\(file.path).gz"
            try doing("renaming \(file.path)") { _ = try attempt("rename") { rename(file.path, packed) } }
            defer { try? Files.remove(packed) }
            let target = try doing("writing \(file.path)") {
                try FileDescriptor.open(file.path, O_WRONLY | O_CREAT | O_EXCL)
            }
            let output = try Command(program, ["-dc", packed]).run(call, stdoutFd: target.raw)
            guard output.status.isSuccess else {
                throw KinaError(
                    .invalidArgument, "unpacking the layer: \(output.errorText)",
                    hint: "pass a tar stream, or one by gzip")
            }
        }

        private static func tar(
            _ arguments: [String], _ what: String, stdin: Int32? = nil, stdout: Int32? = nil, _ call: Call
        ) throws {
            guard let program = Command.find("tar") else {
                throw KinaError(.unavailable, "missing program: tar", hint: "install tar")
            }
            var command = Command(program, arguments)
            // macOS's would add a file for each extended attribute.
            command.environment["COPYFILE_DISABLE"] = "1"
            let output = try command.run(call, stdinFd: stdin, stdoutFd: stdout)
            // Who reads has seen enough.
            if stdout != nil, case .signaled(SIGPIPE) = output.status { return }
            guard output.status.isSuccess else {
                let isFull = output.errorText.contains(String(cString: strerror(ENOSPC)))
                throw KinaError(
                    isFull ? .resourceExhausted : .invalidArgument, "\(what): \(output.errorText)",
                    hint: isFull ? "free disk space, or run kina.prune(images=True)" : "pass a tar archive")
            }
        }
    }
#endif
