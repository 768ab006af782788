/// Splits what is read from a descriptor into lines; keeps what has no end yet.
package struct LineReader {
    private let fd: FileDescriptor
    private var rest: [UInt8] = []

    package init(_ fd: FileDescriptor) { self.fd = fd }

    package var identity: FileIdentity? { FileIdentity(fd.raw) }

    /// Hands over each whole line up to the present end, without its newline, until `body` says false. false then.
    package mutating func lines(_ body: (ArraySlice<UInt8>) throws -> Bool) throws -> Bool {
        while let chunk = try fd.read(1 << 17), !chunk.isEmpty {
            let bytes = rest.isEmpty ? chunk : rest + chunk
            var start = 0
            while let end = bytes.firstNewline(from: start) {
                guard try body(bytes[start..<end]) else { return false }
                start = end + 1
            }
            rest = Array(bytes[start...])
        }
        return true
    }
}

extension [UInt8] {
    package func firstNewline(from start: Int) -> Int? {
        withUnsafeBytes { raw in
            guard start < raw.count, let base = raw.baseAddress,
                let found = memchr(base + start, 0x0A, raw.count - start)
            else { return nil }
            return base.distance(to: UnsafeRawPointer(found))
        }
    }
}

package struct FileIdentity: Equatable {
    private let device: dev_t
    private let inode: ino_t

    package init?(_ fd: Int32) {
        var info = stat()
        guard fstat(fd, &info) == 0 else { return nil }
        (device, inode) = (info.st_dev, info.st_ino)
    }

    package init?(path: String) {
        var info = stat()
        guard stat(path, &info) == 0 else { return nil }
        (device, inode) = (info.st_dev, info.st_ino)
    }
}

/// A file that others append to, and now and then put another one in the place of: read to the end, waited for.
package struct GrowingFile {
    private let path: String
    private let changes: FileChanges
    private var current: LineReader
    /// The one before: a writer that had it open may yet add a line.
    private var previous: LineReader?
    private var watch: FileChanges.Watch?

    /// `seek` moves an opened file to where reading begins.
    package init(_ path: String, seek: (FileDescriptor) throws -> Void = { _ in }) throws {
        self.path = path
        changes = try FileChanges()
        let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        try changes.watch(directory: directory)
        let fd = try FileDescriptor.open(path, O_RDONLY)
        try seek(fd)
        current = LineReader(fd)
        // Opened first: should another file take its place in between, `lines` sees that it reads the wrong one.
        watch = try changes.watch(file: path)
    }

    /// Every line up to the present end, over replacements; false when `body` said so.
    package mutating func lines(_ body: (ArraySlice<UInt8>) throws -> Bool) throws -> Bool {
        changes.drain()
        while true {
            guard try previous?.lines(body) ?? true, try current.lines(body) else { return false }
            guard let there = FileIdentity(path: path), there != current.identity else { return true }
            guard let fd = try? FileDescriptor.open(path, O_RDONLY) else { return true }
            // Its writer may have added to it between our last look and the change.
            guard try current.lines(body) else { return false }
            previous = current
            current = LineReader(fd)
            if let watch { changes.end(watch) }
            watch = try changes.watch(file: path)
        }
    }

    /// Readable when there may be more.
    package var pollable: pollfd { pollfd(fd: changes.fd.raw, events: Int16(POLLIN), revents: 0) }
}
