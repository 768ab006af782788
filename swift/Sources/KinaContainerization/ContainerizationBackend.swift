#if Containerization
    import KinaCore

    /// A virtual machine for each container and each pod, by Apple's Containerization: Virtualization.framework on macOS,
    /// cloud-hypervisor with KVM on Linux.
    public final class ContainerizationBackend: Backend {
        public let info: RuntimeInfo
        public let images: any ImageBackend
        public let pods: any PodBackend
        public let containers: any ContainerBackend
        public let processes: any ProcessBackend
        public let networks: any NetworkBackend
        public let volumes: any VolumeBackend
        private let journal: Journal
        private let machines: PodMachines
        private let pruning: @Sendable (PruneRequest, Call) throws -> PruneResult

        public init(_ options: RuntimeOptions) throws {
            let home = try Home(options.home)
            try doing("creating \(home.path)/tmp") {
                try Files.makeDirectories("\(home.path)/tmp")
                try Files.makeDirectories(home.runDirectory)
            }
            let journal = Journal("\(home.path)/events.jsonl")
            let images = try MachineImages(options, home: home.path, journal)
            let networks = try MachineNetworks(home: home.path, journal)
            let volumes = try DirectoryVolumes(home: home.path, journal)
            let containers = try MachineContainers(
                home, journal, Hypervisor(options, home), images, networks, volumes)
            let pods = MachinePods(machines: containers.pods, containers: containers)
            images.users = { try containers.store.imagesInUse() }
            volumes.users = { try containers.store.volumeUsers() }
            networks.names = { id in
                let name = try? containers.store.load(id)?.name ?? containers.pods.store.load(id)?.name
                return name ?? id
            }
            // This home's one server: what an earlier one left runs no more, or must not.
            try doing("ending what an earlier server left") { try PlatformMonitor.endOrphans(home) }
            try networks.endOrphans()
            try containers.settleAll()
            self.journal = journal
            self.images = images
            self.networks = networks
            self.volumes = volumes
            self.containers = containers
            self.pods = pods
            machines = containers.pods
            processes = MachineProcesses(containers, journal)
            pruning = { request, call in
                var result = PruneResult()
                try containers.prune(request, &result, call)
                try pods.prune(request, &result, call)
                try networks.prune(request, &result, call)
                try volumes.prune(unused: request.volumes, labels: request.labels, &result, call)
                try images.prune(request, &result, call)
                return result
            }
            info = RuntimeInfo(
                backend: "vm", version: Kina.version, home: home.path, runDirectory: home.runDirectory,
                ociRuntime: "containerization \(Hypervisor.packageVersion)", cgroups: "v2", platform: Kina.platform)
        }

        public func events(_ filter: EventFilter, to fd: Int32, _ call: Call) throws {
            try journal.follow(filter, to: fd, call)
        }

        /// Those of pods: a container's own runs for as long as the container.
        public var holdsMachines: Bool { !machines.isEmpty }

        public func prune(_ request: PruneRequest, _ call: Call) throws -> PruneResult { try pruning(request, call) }
    }
#endif
