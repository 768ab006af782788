#if os(macOS)
    /// Makes something known through a descriptor: once set, that is readable for ever. A pipe.
    final class Latch: Sendable {
        let fd: FileDescriptor
        private let input: FileDescriptor

        init() throws {
            (fd, input) = try FileDescriptor.pipe()
            // Set many times by somebody who is impatient: what no longer fits says nothing new.
            _ = fcntl(input.raw, F_SETFL, O_WRONLY | O_NONBLOCK)
        }

        func set() {
            var one: UInt8 = 1
            _ = write(input.raw, &one, 1)
        }
    }
#endif
