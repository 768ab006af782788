import KinaCore

/// How much a tree takes: links are not followed, a file of several names counts once, other file systems not at all.
struct TreeSize: Codable, Equatable, Sendable {
    var entries: Int64 = 0
    /// Blocks that are in use.
    var allocated: Int64 = 0
    /// Lengths, holes included.
    var apparent: Int64 = 0

    /// What vanishes or can't be read while it is measured is not counted.
    init(_ root: String) {
        var info = stat()
        guard lstat(root, &info) == 0 else { return }
        let device = info.st_dev
        var seen: Set<UInt64> = []
        add(info)
        // Bytes, not strings: a name need not be UTF-8.
        var pending: [[CChar]] = info.st_mode & S_IFMT == S_IFDIR ? [Array(root.utf8CString)] : []
        while let path = pending.popLast() {
            Self.forEach(in: path) { name, info in
                guard info.st_dev == device else { return }
                let isDirectory = info.st_mode & S_IFMT == S_IFDIR
                if !isDirectory, info.st_nlink > 1, !seen.insert(UInt64(info.st_ino)).inserted { return }
                add(info)
                if isDirectory { pending.append(path.dropLast() + [0x2F] + name) }
            }
        }
    }

    private mutating func add(_ info: stat) {
        entries += 1
        allocated += Int64(info.st_blocks) * 512
        if info.st_mode & S_IFMT == S_IFREG { apparent += Int64(info.st_size) }
    }

    private static func forEach(in path: [CChar], _ body: ([CChar], stat) -> Void) {
        let fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard fd >= 0 else { return }
        guard let directory = fdopendir(fd) else {
            close(fd)
            return
        }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { pointer in
                    Array(UnsafeBufferPointer(start: pointer, count: strlen(pointer) + 1))
                }
            }
            var info = stat()
            if strcmp(name, ".") == 0 || strcmp(name, "..") == 0 { continue }
            if fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 { body(name, info) }
        }
    }
}

/// Free bytes of the file system that a path is on.
func freeBytes(_ path: String) -> Int64? {
    var info = statvfs()
    return statvfs(path, &info) == 0 ? Int64(info.f_bfree) * Int64(info.f_frsize) : nil
}
