#if os(macOS)
    import Synchronization

    /// A descriptor that becomes readable when something watched has changed. What has changed is looked up afresh, so
    /// events themselves carry nothing. kqueue(2), which wants a descriptor of each thing it watches.
    package final class FileChanges: Sendable {
        package struct Watch: Sendable { fileprivate let file: FileDescriptor }
        private let queue: Queue
        private let watched = Mutex<[FileDescriptor]>([])

        package init() throws { queue = try Queue() }

        package var fd: FileDescriptor { queue.fd }

        /// Files that come into a directory.
        package func watch(directory path: String) throws { _ = try add(path, O_DIRECTORY, NOTE_WRITE) }

        /// What is written to a file. nil: there is no such file.
        package func watch(file path: String) throws -> Watch? {
            do {
                return Watch(file: try add(path, 0, NOTE_WRITE | NOTE_EXTEND))
            } catch let error as Errno where error.code == ENOENT {
                return nil
            }
        }

        private func add(_ path: String, _ flags: Int32, _ notes: Int32) throws -> FileDescriptor {
            let file = try FileDescriptor.open(path, O_EVTONLY | flags)
            try queue.add(UInt(file.raw), EVFILT_VNODE, notes)
            watched.withLock { $0.append(file) }
            return file
        }

        /// Closing the descriptor ends it.
        package func end(_ watch: Watch) { watched.withLock { $0.removeAll { $0 === watch.file } } }

        /// Makes it unreadable until something further happens.
        package func drain() { queue.drain() }
    }
#endif
