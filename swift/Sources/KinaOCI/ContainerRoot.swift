import CKinaLinux
import KinaCore

/// A container's root directory. Whatever is opened or started by it stays beneath, links included.
struct ContainerRoot {
    /// nil: the host's.
    let mounts: FileDescriptor?
    let directory: FileDescriptor

    init(at path: String) throws {
        mounts = nil
        directory = try doing("opening \(path)") { try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) }
    }

    init(of process: ProcessIdentity, name: String) throws {
        (mounts, directory) = try doing("entering container '\(name)'") {
            (
                try FileDescriptor.open("/proc/\(process.pid)/ns/mnt", O_RDONLY),
                try FileDescriptor.open("/proc/\(process.pid)/root", O_RDONLY | O_DIRECTORY)
            )
        }
        guard process.isAlive else {
            throw KinaError(.failedPrecondition, "container '\(name)' has just ended", hint: "try again")
        }
    }

    /// O_PATH, a GNU extension that the overlay lacks; the same on x86 and arm.
    private static let path: Int32 = 0o10000000

    func requireDirectory(_ path: String) throws { try require(path, Self.path | O_DIRECTORY, "directory") }
    /// The last component may be a link, also one that leads nowhere.
    func requireAnything(_ path: String) throws { try require(path, Self.path | O_NOFOLLOW, "file or directory") }

    /// A directory of it, to be read by a program of the host: beneath, nothing follows links.
    func readableDirectory(_ path: String) throws -> FileDescriptor {
        try doing("opening '\(path)' in the container") { try open(path, Self.readable) }
    }

    /// What a copy of the whole root has: all but the kernel's own file systems and /dev, where they are mounted.
    func entries() throws -> [String] {
        try doing("listing the container's root") {
            let own = "/proc/self/fd/\(directory.raw)"
            var root = stat()
            try attempt("fstat") { fstat(directory.raw, &root) }
            let names = try Files.list(own).sorted().filter { name in
                var info = stat()
                guard ["dev", "proc", "sys"].contains(name), lstat("\(own)/\(name)", &info) == 0 else { return true }
                return info.st_dev == root.st_dev
            }
            return names.map { "./\($0)" }
        }
    }

    /// The directory, made with all that leads to it where it is not there.
    func makeDirectories(_ path: String) throws -> FileDescriptor {
        try doing("making '\(path)' in the container") {
            var place = "", made = try open("/", Self.readable)
            for part in path.split(separator: "/") {
                place += "/\(part)"
                let next = kina_linux_open_in_root(directory.raw, place, UInt64(Self.readable), 0)
                if next == -ENOENT {
                    try attempt("mkdirat \(place)") { mkdirat(made.raw, String(part), 0o755) }
                    made = try open(place, Self.readable)
                } else {
                    made = FileDescriptor(try checkLinux("open \(place)", next))
                }
            }
            return made
        }
    }

    private static let readable = O_RDONLY | O_DIRECTORY

    private func open(_ path: String, _ flags: Int32) throws -> FileDescriptor {
        FileDescriptor(try checkLinux("open \(path)", kina_linux_open_in_root(directory.raw, path, UInt64(flags), 0)))
    }

    /// Mounts a directory or file of the host at a path, which is made where it is not there.
    func bind(_ source: String, at path: String, readOnly: Bool) throws {
        let target = try mountPoint(path, isDirectory: Files.isDirectory(source))
        try doing("mounting \(source) at '\(path)' in the container") {
            let place = "/proc/self/fd/\(target.raw)"
            try checkLinux("bind", kina_linux_mount(source, place, nil, UInt(MS_BIND | MS_REC), nil))
            // The first descriptor is of what is beneath the mount by now.
            let mounted = try open(path, Self.path)
            let there = "/proc/self/fd/\(mounted.raw)"
            // Else what is mounted below the source would be unmounted on the host together with this.
            try checkLinux("make private", kina_linux_mount(nil, there, nil, UInt(MS_REC | MS_PRIVATE), nil))
            if readOnly {
                let flags = UInt(MS_BIND | MS_REMOUNT | MS_RDONLY)
                try checkLinux("remount", kina_linux_mount(nil, there, nil, flags, nil))
            }
        }
    }

    private func mountPoint(_ path: String, isDirectory: Bool) throws -> FileDescriptor {
        if isDirectory { return try makeDirectories(path) }
        let place = try ContainerPath(path)
        let parent = try makeDirectories(place.parent)
        return try doing("making '\(path)' in the container") {
            let made = openat(parent.raw, place.last, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
            if made >= 0 { close(made) }
            return try open(path, Self.path)
        }
    }

    private func require(_ path: String, _ flags: Int32, _ what: String) throws {
        let fd = kina_linux_open_in_root(directory.raw, path, UInt64(flags), 0)
        if fd >= 0 {
            close(fd)
        } else if fd == -ENOENT || fd == -ENOTDIR {
            throw KinaError(
                .notFound, "there is no \(what) '\(path)' in the container", hint: "make it first, or name another one",
                details: ["field": "path", "value": path])
        } else {
            throw KinaError(Errno(-fd, "openat2"), "opening '\(path)' in the container")
        }
    }
}
