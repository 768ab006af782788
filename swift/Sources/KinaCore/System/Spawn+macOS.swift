#if os(macOS)
    extension Command {
        /// Starts it with descriptors 0 to 2 (-1: /dev/null) and from 3 on, as CKinaLinux does: signal mask empty,
        /// dispositions default, all other descriptors closed. macOS has nothing that ends a program with its caller:
        /// what is waited for right away ends soon by itself.
        func start(_ stdio: [Int32], keep: [Int32]) throws -> pid_t {
            // Everything moves above the targets first, so that no dup2 overwrites a source.
            let first = Int32(stdio.count + keep.count)
            let sources = try (stdio + keep).map { fd in
                fd < 0 ? nil : FileDescriptor(try attempt("dup") { fcntl(fd, F_DUPFD_CLOEXEC, first) })
            }
            let actions = try SpawnActions(), attributes = try SpawnAttributes(ownSession: ownSession)
            for (target, source) in sources.enumerated() {
                if let source {
                    try actions.move(source.raw, to: Int32(target))
                } else {
                    try actions.openNull(Int32(target))
                }
            }
            if let workingDirectory { try actions.enter(workingDirectory) }
            var pid: pid_t = 0
            let failed = withCStrings([path] + arguments) { argv in
                withCStrings(environment.map { "\($0.key)=\($0.value)" }) { envp in
                    posix_spawn(&pid, path, &actions.raw, &attributes.raw, argv, envp)
                }
            }
            try checkCode("exec \(path)", failed)
            return pid
        }
    }

    /// The posix_spawn(2) family answers the errno itself.
    private func checkCode(_ operation: @autoclosure () -> String, _ code: Int32) throws {
        if code != 0 { throw Errno(code, operation()) }
    }

    private final class SpawnActions {
        var raw: posix_spawn_file_actions_t?

        init() throws { try checkCode("posix_spawn_file_actions_init", posix_spawn_file_actions_init(&raw)) }
        deinit { posix_spawn_file_actions_destroy(&raw) }

        func move(_ source: Int32, to target: Int32) throws {
            try checkCode("adddup2", posix_spawn_file_actions_adddup2(&raw, source, target))
        }

        func openNull(_ target: Int32) throws {
            let flags = target == 0 ? O_RDONLY : O_WRONLY
            try checkCode("addopen", posix_spawn_file_actions_addopen(&raw, target, "/dev/null", flags, 0))
        }

        func enter(_ directory: String) throws {
            try checkCode("addchdir", posix_spawn_file_actions_addchdir_np(&raw, directory))
        }
    }

    private final class SpawnAttributes {
        var raw: posix_spawnattr_t?

        /// In a process group, or a session, of its own.
        init(ownSession: Bool) throws {
            try checkCode("posix_spawnattr_init", posix_spawnattr_init(&raw))
            var all = sigset_t(), none = sigset_t()
            sigfillset(&all)
            sigemptyset(&none)
            let place = ownSession ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP
            let flags = POSIX_SPAWN_CLOEXEC_DEFAULT | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | place
            try checkCode("setsigdefault", posix_spawnattr_setsigdefault(&raw, &all))
            try checkCode("setsigmask", posix_spawnattr_setsigmask(&raw, &none))
            try checkCode("setpgroup", posix_spawnattr_setpgroup(&raw, 0))
            try checkCode("setflags", posix_spawnattr_setflags(&raw, Int16(flags)))
        }

        deinit { posix_spawnattr_destroy(&raw) }
    }
#endif
