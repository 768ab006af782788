#if os(Linux)
    import CKinaLinux

    /// Makes something known through a descriptor: once set, that is readable for ever. An eventfd(2).
    final class Latch: Sendable {
        let fd: FileDescriptor

        init() throws { fd = FileDescriptor(try checkLinux("eventfd", kina_linux_eventfd())) }

        func set() {
            var one: UInt64 = 1
            _ = write(fd.raw, &one, 8)
        }
    }
#endif
