#if os(Linux)
    extension Output {
        /// The same pipe, which does not block this time.
        static func openAnew(_ pipe: Int32) -> FileDescriptor? {
            try? FileDescriptor.open("/proc/self/fd/\(pipe)", O_WRONLY | O_NONBLOCK)
        }

        /// Keeps a SIGPIPE that `body` causes from the program, which may not ignore it as Python does.
        static func withoutSigpipe<T>(_: Int32, _ body: () throws -> T) throws -> T {
            var pipe = sigset_t(), before = sigset_t(), pending = sigset_t()
            sigemptyset(&pipe)
            sigaddset(&pipe, SIGPIPE)
            sigpending(&pending)
            pthread_sigmask(SIG_BLOCK, &pipe, &before)
            defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
            do { return try body() } catch {
                if (error as? Errno)?.code == EPIPE, sigismember(&pending, SIGPIPE) == 0 {
                    var now = timespec()
                    sigtimedwait(&pipe, nil, &now)  // SIGPIPE is sent to the thread: it is ours
                }
                throw error
            }
        }
    }
#endif
