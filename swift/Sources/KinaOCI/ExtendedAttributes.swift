import CKinaLinux
import KinaCore

/// Extended attributes of a file in an archive, set by ourselves: see `PaxTranslator`.
struct ExtendedAttributes {
    /// Before an attribute's name in a pax header, as GNU tar, bsdtar and Go write it.
    static let key = "SCHILY.xattr."

    /// Relative to where the archive is unpacked.
    var path: String
    var values: [String: [UInt8]]

    /// The user's own, and a program's capabilities. Others are a security module's or a file system's.
    static func areKept(_ name: String) -> Bool { name.hasPrefix("user.") || name == "security.capability" }

    /// Sets them on a file or directory beneath `directory` of the container's root, where the file system has a place
    /// for them: like cp, a copy that keeps all else is worth having.
    func set(in directory: String, of root: ContainerRoot) throws {
        guard !path.split(separator: "/").contains("..") else { return }  // nothing was unpacked there
        let place = try ContainerPath("\(directory)/\(path)").text
        try doing("setting extended attributes of '\(path)' in the container") {
            // Links were withheld, devices and pipes are left alone. Not blocking: a pipe would wait for a writer.
            let raw = kina_linux_open_in_root(
                root.directory.raw, place, UInt64(O_RDONLY | O_NOFOLLOW | O_NONBLOCK), 0)
            guard raw >= 0 else {
                if [ELOOP, ENXIO, ENOENT].contains(-raw) { return }
                throw Errno(-raw, "open \(place)")
            }
            let file = FileDescriptor(raw)
            for (name, value) in values.sorted(by: { $0.key < $1.key }) {
                let result = value.withUnsafeBytes {
                    kina_linux_set_attribute(file.raw, name, $0.baseAddress, $0.count)
                }
                if result < 0, ![EOPNOTSUPP, EPERM].contains(-result) { throw Errno(-result, "setxattr \(name)") }
            }
        }
    }
}
