import CKinaLinux
import KinaCore

enum Mounts {
    /// Whatever is mounted there, until nothing is left. Fine when nothing is.
    static func unmount(_ path: String) throws {
        while true {
            let result = kina_linux_unmount(path)
            if result == 0 { continue }
            if result == -EINVAL || result == -ENOENT { return }
            throw KinaError(Errno(-result, "umount"), "unmounting \(path)")
        }
    }
}
