#if os(Linux)
    import CKinaLinux

    /// What is done in another way on each system, and needs no type of its own. (macOS' Foundation has a `Host`.)
    public enum HostSystem {
        /// Where the state of a user who names no other place is kept.
        static func defaultHome() throws -> String { "/var/lib/kina" }

        /// Where what is of no use after a reboot goes.
        static func runDirectory() throws -> String { "/run/kina" }

        /// What lets a user do what the system has refused.
        static var permissionHint: String? { geteuid() == 0 ? nil : "run as root" }

        /// In which programs speak English and UTF-8.
        static let locale = "C.UTF-8"

        static let systemPath = [
            "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
        ]

        /// The file that this code was loaded from.
        public static var libraryPath: String? { kina_linux_library_path().map { String(cString: $0) } }

        /// Nanoseconds since the epoch when a file was made; 0 where its file system does not know.
        public static func birthTime(of path: String) -> Int64 { kina_linux_birth_time(path) }

        /// Close-on-exec ends of a pipe.
        static func pipe() throws -> (read: Int32, write: Int32) {
            var ends: [Int32] = [-1, -1]
            try checkLinux("pipe", kina_linux_pipe(&ends))
            return (ends[0], ends[1])
        }

        /// A close-on-exec socket of IPv4.
        static func internetSocket(isStream: Bool) throws -> Int32 {
            let kind = Int32((isStream ? SOCK_STREAM : SOCK_DGRAM).rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            return try attempt("socket") { socket(AF_INET, kind, 0) }
        }

        /// Makes a pipe hold as little as the system allows.
        public static func shortenPipe(_ fd: Int32) {
            let setPipeSize: Int32 = 1031  // F_SETPIPE_SZ, a GNU extension; a page is the least
            _ = fcntl(fd, setPipeSize, 4096)
        }

        /// A file without a name, to write and read.
        static func memoryFile() throws -> FileDescriptor {
            FileDescriptor(try checkLinux("memfd_create", kina_linux_memfd()))
        }

        /// Waits until a descriptor (-1: none) is readable, at most so long.
        static func wait(_ fd: Int32, ns: Int64) { _ = kina_linux_poll_ns(fd, ns) }

        /// Readable when the process has ended; nil when that can't be seen, or there is no such process any more.
        public static func end(of pid: Int32) -> FileDescriptor? {
            let fd = kina_linux_pidfd_open(pid)
            return fd >= 0 ? FileDescriptor(fd) : nil
        }

        /// Field 22 of /proc/<pid>/stat; nil when there is no such process (a zombie counts as gone). As bytes: a list
        /// asks this of two processes a container.
        static func startTicks(of pid: pid_t) -> UInt64? {
            guard let bytes = SmallFile.read("/proc/\(pid)/stat")?.bytes, let end = bytes.lastIndex(of: 0x29 /* ) */)
            else {
                return nil
            }
            // After the parenthesis: state is field 3, starttime field 22.
            let fields = bytes[(end + 1)...].split(separator: 0x20, maxSplits: 20)
            guard fields.count > 19, !fields[0].elementsEqual("Z".utf8), !fields[0].elementsEqual("X".utf8) else {
                return nil
            }
            return SmallFile.number(fields[19])
        }

        /// Another one after each boot.
        static func bootID() throws -> String {
            try Files.readText("/proc/sys/kernel/random/boot_id").split(separator: "\n").first.map(String.init) ?? ""
        }
    }

    /// `attempt` for CKinaLinux, which answers -errno.
    @discardableResult
    public func checkLinux(_ operation: @autoclosure () -> String, _ result: Int32) throws -> Int32 {
        if result < 0 { throw Errno(-result, operation()) }
        return result
    }

    extension stat {
        /// When its contents were last changed.
        package var modified: timespec { st_mtim }
    }
#endif
