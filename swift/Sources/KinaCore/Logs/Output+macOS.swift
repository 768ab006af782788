#if os(macOS)
    extension Output {
        /// /dev/fd has no more than duplicates, which share O_NONBLOCK.
        static func openAnew(_ pipe: Int32) -> FileDescriptor? { nil }

        /// Keeps a SIGPIPE that `body` causes from the program, which may not ignore it as Python does. It would be sent
        /// to the process, whatever this thread's mask is; but a descriptor can be told to cause none.
        static func withoutSigpipe<T>(_ fd: Int32, _ body: () throws -> T) throws -> T {
            let isUsual = fcntl(fd, F_GETNOSIGPIPE) == 0
            if isUsual { _ = fcntl(fd, F_SETNOSIGPIPE, 1) }
            defer { if isUsual { _ = fcntl(fd, F_SETNOSIGPIPE, 0) } }
            return try body()
        }
    }
#endif
