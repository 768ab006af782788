#if Containerization
    import Containerization
    import ContainerizationArchive
    import Foundation
    import KinaCore

    extension Guest {
        /// Puts what is in a directory of the host into one of the container's root.
        ///
        /// Containerization 0.40 has this too, but leaves out links that lead out of the directory, without a word, puts a
        /// directory that is there already into itself, and uses up a stream of the machine's for each name.
        func unpack(_ directory: URL, into path: String, port: UInt32) async throws {
            let target = URL(fileURLWithPath: guestRoot + path)
            try await withVirtualMachineInstance { machine in
                let listener = try machine.listen(port)
                defer { try? listener.finish() }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await machine.asking { agent in
                            guard let agent = agent as? Vminitd else { throw noAgent }
                            try await agent.copy(
                                direction: .copyIn, guestPath: target, vsockPort: port, isArchive: true)
                        }
                    }
                    group.addTask {
                        guard let connection = await listener.first(where: { _ in true }) else { throw noAgent }
                        try listener.finish()
                        try await TreeArchive.write(directory, to: connection)
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    private let noAgent = KinaError(.unavailable, "the guest's agent does not take a copy")

    /// A tree as the guest's agent unpacks it: files, directories and links, all by gzip.
    private enum TreeArchive {
        /// Writing blocks, which Swift's cooperative pool must not.
        private static let queue = DispatchQueue(label: "kina.copies", attributes: .concurrent)

        static func write(_ directory: URL, to connection: FileHandle) async throws {
            try await withCheckedThrowingContinuation { continuation in
                queue.async {
                    defer { connection.closeFile() }
                    continuation.resume(
                        with: Result {
                            let writer = try ArchiveWriter(configuration: .init(format: .pax, filter: .gzip))
                            try writer.open(fileDescriptor: connection.fileDescriptor)
                            // Not the directory itself: the one in the container keeps its mode.
                            try add(directory.path, as: "", to: writer)
                            try writer.finishEncoding()
                        })
                }
            }
        }

        private static func add(_ directory: String, as prefix: String, to writer: ArchiveWriter) throws {
            for name in try doing("reading \(directory)", { try Files.list(directory).sorted() }) {
                let path = "\(directory)/\(name)"
                var info = stat()
                try doing("reading \(path)") { _ = try attempt("lstat") { lstat(path, &info) } }
                let entry = WriteEntry()
                entry.path = prefix + name
                entry.permissions = info.st_mode
                entry.owner = info.st_uid
                entry.group = info.st_gid
                switch info.st_mode & S_IFMT {
                case S_IFDIR:
                    entry.fileType = .directory
                    try writer.writeEntry(entry: entry, data: nil)
                    try add(path, as: "\(prefix)\(name)/", to: writer)
                case S_IFLNK:
                    entry.fileType = .symbolicLink
                    entry.symlinkTarget = try FileManager.default.destinationOfSymbolicLink(atPath: path)
                    try writer.writeEntry(entry: entry, data: nil)
                case S_IFREG:
                    entry.fileType = .regular
                    entry.size = Int64(info.st_size)
                    try add(file: path, entry, to: writer.makeTransactionWriter())
                default:
                    throw KinaError(
                        .unimplemented, "'\(prefix)\(name)': only files, directories and links can be copied",
                        hint: "leave it out, or make it in the container")
                }
            }
        }

        private static func add(file path: String, _ entry: WriteEntry, to writer: ArchiveWriterTransaction) throws {
            let file = try doing("reading \(path)") { try FileDescriptor.open(path, O_RDONLY) }
            try writer.writeHeader(entry: entry)
            while let chunk = try file.read(1 << 20), !chunk.isEmpty {
                try chunk.withUnsafeBytes { try writer.writeChunk(data: $0) }
            }
            try writer.finish()
        }
    }
#endif
