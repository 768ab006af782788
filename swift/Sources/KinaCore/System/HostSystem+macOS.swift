#if os(macOS)
    /// What is done in another way on each system, and needs no type of its own. (macOS' Foundation has a `Host`.)
    public enum HostSystem {
        /// Where the state of a user who names no other place is kept.
        static func defaultHome() throws -> String {
            guard let home = getenv("HOME").map({ String(cString: $0) }), home.hasPrefix("/") else {
                throw KinaError(
                    .failedPrecondition, "HOME names no directory", hint: "set KINA_HOME to an absolute path")
            }
            return "\(home)/Library/Application Support/kina"
        }

        /// Where what is of no use after a reboot goes: the user's own directory for caches, which nobody else can enter,
        /// nothing is taken from unasked (as from the temporary one), and whose path is short enough for sockets.
        static func runDirectory() throws -> String {
            var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = confstr(_CS_DARWIN_USER_CACHE_DIR, &bytes, bytes.count)
            guard count > 1, count <= bytes.count else {
                throw KinaError(Errno(errno, "confstr"), "finding the user's directory for caches")
            }
            return text(bytes) + (bytes[count - 2] == 0x2F ? "kina" : "/kina")
        }

        private static func text(_ bytes: [CChar]) -> String {
            String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        /// What lets a user do what the system has refused: nothing of kina's needs root on a Mac.
        static var permissionHint: String? {
            "see who owns it, and what your terminal may use (System Settings, Privacy & Security)"
        }

        /// In which programs speak English and UTF-8: on every Mac, which C.UTF-8 is not known to be.
        static let locale = "en_US.UTF-8"

        static let systemPath = [
            "/opt/homebrew/bin", "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin",
        ]

        /// The file that this code was loaded from.
        public static var libraryPath: String? {
            var info = Dl_info()
            guard dladdr(#dsohandle, &info) != 0, let name = info.dli_fname else { return nil }
            return String(cString: name)
        }

        /// Nanoseconds since the epoch when a file was made; 0 where its file system does not know.
        public static func birthTime(of path: String) -> Int64 {
            var info = stat()
            guard stat(path, &info) == 0 else { return 0 }
            return max(0, Int64(info.st_birthtimespec.tv_sec) * 1_000_000_000 + Int64(info.st_birthtimespec.tv_nsec))
        }

        /// Close-on-exec ends of a pipe. There is no pipe2(2): what another thread starts at this very moment, with
        /// anything but `Command`, inherits them.
        static func pipe() throws -> (read: Int32, write: Int32) {
            var ends: [Int32] = [-1, -1]
            try attempt("pipe") { Darwin.pipe(&ends) }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            return (ends[0], ends[1])
        }

        /// A close-on-exec socket of IPv4.
        static func internetSocket(isStream: Bool) throws -> Int32 {
            let opened = try attempt("socket") { socket(AF_INET, isStream ? SOCK_STREAM : SOCK_DGRAM, 0) }
            _ = fcntl(opened, F_SETFD, FD_CLOEXEC)
            return opened
        }

        /// There is no way to: a pipe's size is the system's affair.
        public static func shortenPipe(_ fd: Int32) {}

        /// A file without a name, to write and read.
        static func memoryFile() throws -> FileDescriptor {
            let directory = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
            let path = "\(directory)/kina-\(Identifier.random())"
            let fd = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL)
            unlink(path)
            return fd
        }

        /// Waits until a descriptor (-1: none) is readable, at most so long.
        static func wait(_ fd: Int32, ns: Int64) {
            var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            _ = poll(&entry, 1, Int32(clamping: max(0, (ns + 999_999) / 1_000_000)))
        }

        /// Readable when the process has ended; nil when there is no such process any more, a zombie included.
        public static func end(of pid: Int32) -> FileDescriptor? {
            guard let queue = try? Queue() else { return nil }
            do {
                try queue.add(UInt(pid), EVFILT_PROC, NOTE_EXIT)
                return queue.fd
            } catch {
                return nil
            }
        }

        /// Microseconds of its start; nil when there is no such process (a zombie counts as gone).
        static func startTicks(of pid: pid_t) -> UInt64? {
            var info = proc_bsdinfo()
            let size = Int32(MemoryLayout<proc_bsdinfo>.size)
            guard proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &info, size) == size, info.pbi_status != UInt32(SZOMB) else {
                return nil
            }
            return info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec
        }

        /// Another one after each boot.
        static func bootID() throws -> String {
            var bytes = [CChar](repeating: 0, count: 64)
            var count = bytes.count
            try attempt("kern.bootsessionuuid") { sysctlbyname("kern.bootsessionuuid", &bytes, &count, nil, 0) }
            return text(bytes)
        }
    }

    extension stat {
        /// When its contents were last changed.
        package var modified: timespec { st_mtimespec }
    }
#endif
