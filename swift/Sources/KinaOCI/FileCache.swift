import KinaCore
import Synchronization

/// What files said when they were last read, as long as they are still the same: one stat(2) instead of reading and
/// parsing. For files that are only ever replaced as a whole.
final class FileCache<Value: Sendable>: Sendable {
    private struct Stamp: Equatable {
        var device: UInt64
        var inode: UInt64
        var seconds: Int
        var nanoseconds: Int

        init?(_ path: String) {
            var info = stat()
            guard stat(path, &info) == 0 else { return nil }
            device = UInt64(info.st_dev)
            inode = UInt64(info.st_ino)
            seconds = info.st_ctim.tv_sec
            nanoseconds = info.st_ctim.tv_nsec
        }
    }

    private let entries = Mutex<[String: (stamp: Stamp, value: Value)]>([:])

    /// nil when there is no such file.
    func value(_ path: String, read: () throws -> Value?) rethrows -> Value? {
        // Before reading: a file replaced in between is then read once more, next time.
        guard let stamp = Stamp(path) else {
            entries.withLock { _ = $0.removeValue(forKey: path) }
            return nil
        }
        if let entry = entries.withLock({ $0[path] }), entry.stamp == stamp { return entry.value }
        guard let value = try read() else { return nil }
        entries.withLock { $0[path] = (stamp, value) }
        return value
    }

    /// Forgets all other files.
    func keep(only paths: some Sequence<String>) {
        let kept = Set(paths)
        entries.withLock { entries in
            if entries.count > kept.count { entries = entries.filter { kept.contains($0.key) } }
        }
    }
}
