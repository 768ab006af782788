#if os(Linux)
    /// A descriptor that becomes readable when something watched has changed. What has changed is looked up afresh, so
    /// events themselves carry nothing. inotify(7).
    package final class FileChanges: Sendable {
        package struct Watch: Sendable { fileprivate let number: Int32 }
        package let fd: FileDescriptor

        package init() throws {
            fd = FileDescriptor(try attempt("inotify_init1") { inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK)) })
        }

        /// Files that come into a directory under another name than they had.
        package func watch(directory path: String) throws { try add(path, IN_MOVED_TO | IN_ONLYDIR) }

        /// What is written to a file. nil: there is no such file.
        package func watch(file path: String) throws -> Watch? {
            do {
                return Watch(number: try add(path, IN_MODIFY))
            } catch let error as Errno where error.code == ENOENT {
                return nil
            }
        }

        @discardableResult
        private func add(_ path: String, _ mask: some BinaryInteger) throws -> Int32 {
            do {
                return try attempt("inotify_add_watch \(path)") { inotify_add_watch(fd.raw, path, UInt32(mask)) }
            } catch let error as Errno where error.code == ENOSPC {
                throw KinaError(
                    .resourceExhausted, "no inotify watches are left on this host",
                    hint: "raise fs.inotify.max_user_watches (sysctl)")
            }
        }

        package func end(_ watch: Watch) { inotify_rm_watch(fd.raw, watch.number) }

        /// Makes it unreadable until something further happens.
        package func drain() { while let events = try? fd.read(4096), !events.isEmpty {} }
    }
#endif
