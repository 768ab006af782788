#if canImport(Glibc)
    @_exported import Glibc
#elseif canImport(Darwin)
    @_exported import Darwin
#endif

/// A failed system call. Turned into a KinaError by the layer that knows what it meant.
public struct Errno: Error, Sendable, CustomStringConvertible {
    public let code: Int32
    public let operation: String

    public init(_ code: Int32, _ operation: String) {
        self.code = code
        self.operation = operation
    }

    public var description: String { "\(operation): \(String(cString: strerror(code)))" }
}

extension KinaError {
    /// What the user can make of an errno.
    public init(_ error: Errno, _ doing: String) {
        let message = "\(doing): \(String(cString: strerror(error.code)))"
        switch error.code {
        case ENOENT, ENOTDIR: self.init(.notFound, message)
        case EEXIST: self.init(.alreadyExists, message)
        case EACCES, EPERM, EROFS:
            self.init(.permissionDenied, message, hint: HostSystem.permissionHint)
        case ENOSPC, EDQUOT:
            self.init(.resourceExhausted, message, hint: "free disk space, or run kina.prune(images=True)")
        case EMFILE, ENFILE: self.init(.resourceExhausted, message, hint: "raise the limit of open files (ulimit -n)")
        case ENOMEM, EAGAIN: self.init(.resourceExhausted, message)
        default: self.init(.internal, message)
        }
        details["errno"] = "\(error.code)"
        details["operation"] = error.operation
    }
}

/// The one place where -1 and errno become an error; retries EINTR.
@discardableResult
public func attempt<T: SignedInteger>(_ operation: @autoclosure () -> String, _ body: () -> T) throws -> T {
    while true {
        let result = body()
        if result >= 0 { return result }
        let code = errno
        if code != EINTR { throw Errno(code, operation()) }
    }
}

// The C library's own, for who has a function of the same name: its module is another on each system.

func systemOpen(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 { open(path, flags, mode) }
func systemPoll(_ entries: UnsafeMutablePointer<pollfd>, _ count: Int, _ ms: Int32) -> Int32 {
    poll(entries, nfds_t(count), ms)
}
func systemRead(_ fd: Int32, _ room: UnsafeMutableRawPointer?, _ count: Int) -> Int { read(fd, room, count) }
package func systemWrite(_ fd: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int { write(fd, bytes, count) }
package func systemConnect(_ fd: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t) -> Int32 {
    connect(fd, address, size)
}
package func systemListen(_ fd: Int32, _ backlog: Int32) -> Int32 { listen(fd, backlog) }

/// Says in KinaError's words what a system call's failure meant.
public func doing<T>(_ what: @autoclosure () -> String, _ body: () throws -> T) throws -> T {
    do { return try body() } catch let error as Errno { throw KinaError(error, what()) }
}

/// A descriptor that closes itself.
public final class FileDescriptor: Sendable {
    public let raw: Int32
    public init(_ raw: Int32) { self.raw = raw }
    deinit { close(raw) }

    public static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws -> FileDescriptor {
        FileDescriptor(try attempt("open \(path)") { systemOpen(path, flags | O_CLOEXEC, mode) })
    }

    public static func pipe() throws -> (read: FileDescriptor, write: FileDescriptor) {
        let (read, write) = try HostSystem.pipe()
        return (FileDescriptor(read), FileDescriptor(write))
    }

    /// Reads what there is, at most `count` bytes; empty at the end. nil when a nonblocking one has nothing now.
    public func read(_ count: Int = 65536) throws -> [UInt8]? {
        do {
            return try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                filled = try attempt("read") { systemRead(raw, buffer.baseAddress, count) }
            }
        } catch let error as Errno where error.code == EAGAIN {
            return nil
        }
    }
}

/// Writes all of it.
public func writeAll(_ fd: Int32, _ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { buffer in
        var offset = 0
        while offset < buffer.count {
            offset += try attempt("write") { write(fd, buffer.baseAddress! + offset, buffer.count - offset) }
        }
    }
}

public enum Files {
    public static func read(_ path: String) throws -> [UInt8] {
        let fd = try FileDescriptor.open(path, O_RDONLY)
        var bytes: [UInt8] = []
        while let chunk = try fd.read(), !chunk.isEmpty { bytes += chunk }
        return bytes
    }

    public static func readText(_ path: String) throws -> String { String(decoding: try read(path), as: UTF8.self) }

    /// The whole file or nothing, also when the machine stops: temporary file, fsync, rename.
    public static func writeAtomically(_ path: String, _ bytes: [UInt8], mode: mode_t = 0o600, sync: Bool = true) throws
    {
        let temporary = "\(path).\(Identifier.random(8)).tmp"
        do {
            let fd = try FileDescriptor.open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
            try writeAll(fd.raw, bytes)
            if sync { try attempt("fsync \(temporary)") { fsync(fd.raw) } }
            try attempt("rename \(path)") { rename(temporary, path) }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    public static func isDirectory(_ path: String) -> Bool {
        var info = stat()
        return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
    }

    /// The directory and its parents, private unless said otherwise.
    public static func makeDirectories(_ path: String, mode: mode_t = 0o700) throws {
        if isDirectory(path) { return }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try makeDirectories(String(path[..<slash]), mode: mode)
        }
        if mkdir(path, mode) < 0, errno != EEXIST { throw Errno(errno, "mkdir \(path)") }
    }

    /// Names in a directory, without "." and ".."; none when it does not exist.
    public static func list(_ path: String) throws -> [String] {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return [] }
            throw Errno(errno, "opendir \(path)")
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    public static func remove(_ path: String) throws {
        if unlink(path) < 0, errno != ENOENT { throw Errno(errno, "unlink \(path)") }
    }

    /// The tree, without crossing into another file system or through a link; fine when it is gone already.
    public static func removeTree(_ path: String) throws {
        var info = stat()
        guard lstat(path, &info) == 0 else {
            if errno == ENOENT { return }
            throw Errno(errno, "lstat \(path)")
        }
        guard info.st_mode & S_IFMT == S_IFDIR else { return try remove(path) }
        let parent = try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        try removeContents(parent, device: info.st_dev, path)
        if rmdir(path) < 0, errno != ENOENT { throw Errno(errno, "rmdir \(path)") }
    }

    private struct Level {
        var name: [CChar]
        var inode: ino_t
        var rest: [[CChar]]
    }

    /// With one directory open at a time: a tree may be deeper than descriptors go.
    private static func removeContents(_ root: FileDescriptor, device: dev_t, _ path: String) throws {
        func enter(_ directory: FileDescriptor, _ name: [CChar]) throws -> Level {
            var info = stat()
            try attempt("fstat in \(path)") { fstat(directory.raw, &info) }
            if info.st_dev != device { throw Errno(EBUSY, "a mount is left in \(path)") }
            return Level(name: name, inode: info.st_ino, rest: try names(in: directory, path))
        }
        func open(_ name: [CChar], in directory: FileDescriptor) throws -> FileDescriptor {
            FileDescriptor(
                try attempt("open in \(path)") {
                    openat(directory.raw, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                })
        }
        var current = root
        var levels = [try enter(root, [])]
        while var level = levels.popLast() {
            if let name = level.rest.popLast() {
                levels.append(level)
                if unlinkat(current.raw, name, 0) == 0 || errno == ENOENT { continue }
                let code = errno
                guard code == EISDIR || code == EPERM else { throw Errno(code, "unlink in \(path)") }
                current = try open(name, in: current)
                levels.append(try enter(current, name))
            } else if let parent = levels.last {
                current = try open([0x2E, 0x2E, 0], in: current)
                var info = stat()
                try attempt("fstat in \(path)") { fstat(current.raw, &info) }
                // Somebody who moves directories about must not make us remove others.
                guard info.st_dev == device, info.st_ino == parent.inode else { throw Errno(EBUSY, "\(path) changes") }
                if unlinkat(current.raw, level.name, AT_REMOVEDIR) < 0, errno != ENOENT {
                    throw Errno(errno, "rmdir in \(path)")
                }
            }
        }
    }

    private static func names(in directory: FileDescriptor, _ path: String) throws -> [[CChar]] {
        let copy = try attempt("dup") { fcntl(directory.raw, F_DUPFD_CLOEXEC, 0) }
        guard let stream = fdopendir(copy) else {
            close(copy)
            throw Errno(errno, "fdopendir \(path)")
        }
        defer { closedir(stream) }
        var names: [[CChar]] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { pointer in
                    Array(UnsafeBufferPointer(start: pointer, count: strlen(pointer) + 1))
                }
            }
            if strcmp(name, ".") != 0, strcmp(name, "..") != 0 { names.append(name) }
        }
        return names
    }
}

public enum Clock {
    /// Nanoseconds since the epoch.
    public static func now() -> Int64 { read(CLOCK_REALTIME) }
    /// Nanoseconds of a clock that never jumps.
    public static func monotonic() -> Int64 { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// Random ids and what may be a name.
public enum Identifier {
    public static let length = 16

    /// Lower-case hexadecimal.
    public static func random(_ length: Int = Identifier.length) -> String {
        var generator = SystemRandomNumberGenerator()
        return String((0..<length).map { _ in "0123456789abcdef".randomElement(using: &generator)! })
    }

    /// Letters, digits, '.', '_' and '-', starting with a letter or digit, at most 128.
    public static func checkName(_ name: String, field: String) throws {
        let rest: (UInt8) -> Bool = { isAlphanumeric($0) || $0 == 0x2E || $0 == 0x5F || $0 == 0x2D }
        guard let first = name.utf8.first, isAlphanumeric(first), name.utf8.allSatisfy(rest), name.utf8.count <= 128
        else {
            throw KinaError.invalid(
                field, name, "is not a name",
                hint: "use 1 to 128 letters, digits, '.', '_' and '-', starting with a letter or a digit")
        }
    }

    static func isAlphanumeric(_ c: UInt8) -> Bool {
        (0x30...0x39).contains(c) || (0x41...0x5A).contains(c) || (0x61...0x7A).contains(c)
    }
}
