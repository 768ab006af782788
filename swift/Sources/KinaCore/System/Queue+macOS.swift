#if os(macOS)
    /// kqueue(2): a descriptor that is readable while something registered has happened and was not yet taken.
    struct Queue: Sendable {
        let fd: FileDescriptor

        init() throws {
            fd = FileDescriptor(try attempt("kqueue") { kqueue() })
            _ = fcntl(fd.raw, F_SETFD, FD_CLOEXEC)
        }

        /// It is told of once, until it happens anew.
        func add(_ identifier: UInt, _ filter: Int32, _ flags: some BinaryInteger) throws {
            var change = kevent(
                ident: identifier, filter: Int16(filter), flags: UInt16(EV_ADD | EV_CLEAR), fflags: UInt32(flags),
                data: 0, udata: nil)
            try attempt("kevent") { kevent(fd.raw, &change, 1, nil, 0, nil) }
        }

        /// Takes what has happened.
        func drain() {
            var event = kevent(), now = timespec()
            while kevent(fd.raw, nil, 0, &event, 1, &now) > 0 {}
        }
    }
#endif
