#if Containerization
    import Containerization
    import ContainerizationExtras
    import ContainerizationOCI
    import ContainerizationOS
    import Foundation
    import KinaCore

    /// A container's record in the words of Apple's package.
    struct Configuration {
        let record: ContainerRecord
        private var spec: KinaCore.ContainerSpec { record.spec }
        private var image: KinaCore.ImageConfig { record.imageConfig }

        /// When a spec does not say: what Apple's package gives.
        static let defaultMemory: UInt64 = 1 << 30
        /// No less than the kernel and its caches can live with.
        static let leastMemory: UInt64 = 64 << 20
        static var defaultCPUs: Int { min(4, ProcessInfo.processInfo.activeProcessorCount) }

        func container(
            _ streams: ProcessStreams, _ interfaces: [any Interface], nameservers: [String], hosts: Hosts,
            bootLog: String
        ) throws -> LinuxContainer.Configuration {
            var result = LinuxContainer.Configuration()
            result.process = try process(streams)
            result.cpus = spec.resources.cpus.map { Int($0) } ?? Self.defaultCPUs
            result.memoryInBytes = Self.memory(spec.resources.memory)
            result.hostname = record.hostname
            result.sysctl = spec.sandbox.effectiveSysctls
            result.interfaces = interfaces
            result.mounts = mounts()
            result.sockets = record.mounts.filter(\.isSocket).map(Self.relay)
            result.dns = dns(nameservers)
            result.hosts = hosts
            result.useInit = spec.`init`
            result.bootLog = .file(path: URL(fileURLWithPath: bootLog), append: false)
            if spec.privileged {
                result.maskedPaths = []
                result.readonlyPaths = []
            }
            return result
        }

        private static func memory(_ wanted: Int64?) -> UInt64 {
            max(wanted.map { UInt64($0) } ?? defaultMemory, leastMemory)
        }

        // MARK: Pods

        /// A machine for several, of the size asked for, or of what they may take together as far as they are known.
        static func pod(
            _ pod: PodRecord, limits: [ResourcesSpec], _ interfaces: [any Interface], bootLog: String
        ) -> LinuxPod.Configuration {
            // What a machine of one container's own has more than the container.
            let usual = LinuxContainer.Configuration()
            var result = LinuxPod.Configuration()
            result.cpus = (pod.spec.cpus.map { Int($0) } ?? defaultCPUs) + usual.cpuOverhead
            let together = limits.compactMap(\.memory).reduce(Int64(0)) { $0 + min($1, .max - $0) }
            result.memoryInBytes =
                (pod.spec.memory.map { memory($0) } ?? max(memory(together), defaultMemory)) + usual.memoryOverhead
            result.interfaces = interfaces
            result.hostname = pod.hostname
            result.volumes = [
                LinuxPod.PodVolume(
                    name: sharedMemory, source: .tmpfs(sizeBytes: UInt64(pod.spec.sandbox.shmSize)), format: "tmpfs")
            ]
            result.bootLog = .file(path: URL(fileURLWithPath: bootLog), append: false)
            return result
        }

        /// A container in a pod's machine, within limits of its own.
        func member(_ streams: ProcessStreams, nameservers: [String], hosts: Hosts) throws
            -> LinuxPod.ContainerConfiguration
        {
            var result = LinuxPod.ContainerConfiguration()
            result.process = try process(streams)
            result.cpus = spec.resources.cpus.map { Int($0) }
            result.memoryInBytes = spec.resources.memory.map { UInt64($0) }
            result.hostname = record.hostname
            result.sysctl = spec.sandbox.effectiveSysctls
            result.mounts = mounts(system: Self.shared)
            result.sockets = record.mounts.filter(\.isSocket).map(Self.relay)
            result.dns = dns(nameservers)
            result.hosts = hosts
            result.useInit = spec.`init`
            if spec.privileged {
                result.maskedPaths = []
                result.readonlyPaths = []
            }
            return result
        }

        /// Of the pod, a tmpfs that is /dev/shm for all.
        private static let sharedMemory = "shm"

        private static func shared(_ mount: Containerization.Mount) -> Containerization.Mount {
            guard mount.destination == "/dev/shm" else { return mount }
            return .sharedMount(
                name: sharedMemory, destination: mount.destination, options: ["nosuid", "noexec", "nodev"])
        }

        // MARK: Processes

        private func process(_ streams: ProcessStreams) throws -> LinuxProcessConfiguration {
            var result = LinuxProcessConfiguration()
            result.arguments = try spec.arguments(image)
            result.environmentVariables = environment(terminal: spec.terminal, [:])
            result.workingDirectory = spec.workdir ?? (image.workdir.isEmpty ? "/" : image.workdir)
            result.user = user(spec.user ?? image.user)
            result.terminal = spec.terminal
            try complete(&result, privileged: spec.privileged, streams)
            return result
        }

        func process(_ wanted: ProcessSpec, _ streams: ProcessStreams) throws -> LinuxProcessConfiguration {
            var result = LinuxProcessConfiguration()
            result.arguments = wanted.args
            result.environmentVariables = environment(terminal: wanted.terminal, wanted.env)
            result.workingDirectory =
                wanted.workdir ?? spec.workdir ?? (image.workdir.isEmpty ? "/" : image.workdir)
            result.user = user(wanted.user ?? spec.user ?? image.user)
            result.terminal = wanted.terminal
            try complete(&result, privileged: spec.privileged || wanted.privileged, streams)
            return result
        }

        private func complete(
            _ process: inout LinuxProcessConfiguration, privileged: Bool, _ streams: ProcessStreams
        ) throws {
            process.rlimits = try spec.rlimits.map { limit in
                LinuxRLimit(
                    kind: try LinuxRLimit.Kind("RLIMIT_" + limit.type.uppercased()), hard: limit.hard,
                    soft: limit.soft)
            }
            process.noNewPrivileges = spec.noNewPrivileges && !privileged
            process.capabilities = privileged ? .allCapabilities : try capabilities()
            process.stdin = streams.stdin
            process.stdout = streams.stdout
            process.stderr = streams.stderr
        }

        /// The guest's kernel can give every one, whatever this host may.
        private func capabilities() throws -> Containerization.LinuxCapabilities {
            let names = try CapabilitySets.of(spec, bounding: Set(KinaCore.Capabilities.names))
            return Containerization.LinuxCapabilities(
                capabilities: try names.sorted().map { try CapabilityName(rawValue: $0) })
        }

        private func environment(terminal: Bool, _ further: [String: String]) -> [String] {
            var variables = [
                "PATH": LinuxProcessConfiguration.defaultPath, "HOSTNAME": record.hostname,
            ]
            if terminal { variables["TERM"] = "xterm" }
            for more in [image.env, spec.env, further] { variables.merge(more) { $1 } }
            return variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        }

        /// The guest looks names up in the image's own files.
        private func user(_ text: String) -> ContainerizationOCI.User {
            ContainerizationOCI.User(
                additionalGids: spec.groups.compactMap { UInt32($0) }, username: text.isEmpty ? "0:0" : text)
        }

        // MARK: Files

        private func mounts(
            system change: (Containerization.Mount) -> Containerization.Mount = { $0 }
        ) -> [Containerization.Mount] {
            // What the container has a mount of its own for is that.
            let own = Set(record.mounts.map(\.spec.target))
            var result = LinuxContainer.defaultMounts().map(system)
                .map { own.contains($0.destination) ? $0 : change($0) }
            for mount in record.mounts where !mount.isSocket { result.append(Self.mount(mount)) }
            return result
        }

        /// /sys read-only unless privileged; /dev/shm of the size asked for; cgroups writable on demand.
        private func system(_ mount: Containerization.Mount) -> Containerization.Mount {
            var mount = mount
            switch mount.destination {
            case "/sys" where !spec.privileged: mount.options.append("ro")
            case "/sys/fs/cgroup" where !(spec.privileged || spec.writableCgroups): mount.options.append("ro")
            case "/dev/shm":
                mount.options.removeAll { $0.hasPrefix("size=") }
                mount.options.append("size=\(spec.sandbox.shmSize / 1024)k")
            default: break
            }
            return mount
        }

        private static func mount(_ mount: ContainerRecord.ResolvedMount) -> Containerization.Mount {
            var options = mount.spec.options.filter { $0 != "bind" && $0 != "rbind" }
            if mount.spec.readOnly, !options.contains("ro") { options.append("ro") }
            if let source = mount.source {
                return .share(source: source, destination: mount.spec.target, options: options)
            }
            if let size = mount.spec.size { options.append("size=\(size)") }
            return .any(type: "tmpfs", source: "tmpfs", destination: mount.spec.target, options: options)
        }

        /// A socket of the host's is no file that could be shared: what connects to it in the guest is handed on.
        private static func relay(_ mount: ContainerRecord.ResolvedMount) -> UnixSocketConfiguration {
            UnixSocketConfiguration(
                source: URL(fileURLWithPath: mount.source ?? ""),
                destination: URL(fileURLWithPath: mount.spec.target), direction: .into)
        }

        private func dns(_ nameservers: [String]) -> DNS {
            let dns = spec.sandbox.dns
            return DNS(
                nameservers: dns.servers.isEmpty ? nameservers : dns.servers, searchDomains: dns.search,
                options: dns.options)
        }
    }

    extension ContainerRecord.ResolvedMount {
        var isSocket: Bool { spec.type == .bind && source.map(Self.isSocket) ?? false }

        static func isSocket(_ path: String) -> Bool {
            var info = stat()
            return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFSOCK
        }
    }
#endif
