#if os(Linux)
    import CKinaLinux

    extension Command {
        /// Starts it with descriptors 0 to 2 (-1: /dev/null) and from 3 on.
        func start(_ stdio: [Int32], keep: [Int32]) throws -> pid_t {
            var pid: pid_t = 0
            let status = withCStrings([path] + arguments) { argv in
                withCStrings(environment.map { "\($0.key)=\($0.value)" }) { envp in
                    kina_linux_spawn(
                        path, argv, envp, workingDirectory, stdio, keep, Int32(keep.count), ownSession ? 1 : 0,
                        diesWithCaller ? 1 : 0, &pid)
                }
            }
            try checkLinux("exec \(path)", status)
            return pid
        }
    }
#endif
