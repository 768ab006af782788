import CKinaLinux
import KinaCore

/// A symbolic link of an archive, made by ourselves: see `PaxTranslator`.
struct SymbolicLink {
    /// Relative to where the archive is unpacked.
    var path: String
    var target: String
    var uid: UInt32
    var gid: UInt32
    /// Seconds since the epoch.
    var mtime: Int64

    /// Makes it beneath `directory` of the container's root, in the place of whatever is there and no directory.
    func create(in directory: String, of root: ContainerRoot) throws {
        let parts = path.split(separator: "/").filter { $0 != "." }
        guard let name = parts.last.map(String.init), !parts.contains("..") else {
            throw KinaError(
                .invalidArgument, "the archive has a link named '\(path)'", hint: "names may not lead out with '..'")
        }
        let place = try ContainerPath(([directory] + parts.dropLast().map(String.init)).joined(separator: "/"))
        let parent = try root.makeDirectories(place.text)
        try doing("making the link '\(path)' in the container") {
            var before = stat()
            try attempt("fstat") { fstat(parent.raw, &before) }
            if unlinkat(parent.raw, name, 0) < 0, errno != ENOENT {
                guard errno == EISDIR else { throw Errno(errno, "unlinkat") }
                throw KinaError(
                    .invalidArgument, "'\(path)' is a directory in the container and a link in the archive",
                    hint: "remove the directory first")
            }
            try attempt("symlinkat") { symlinkat(target, parent.raw, name) }
            try attempt("fchownat") { fchownat(parent.raw, name, uid, gid, AT_SYMLINK_NOFOLLOW) }
            let time = timespec(tv_sec: Int(mtime), tv_nsec: 0)
            try attempt("utimensat") { utimensat(parent.raw, name, [time, time], AT_SYMLINK_NOFOLLOW) }
            // The directory came with a time of its own.
            try attempt("futimens") { futimens(parent.raw, [before.st_atim, before.st_mtim]) }
        }
    }
}
