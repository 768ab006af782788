import KinaCore

/// Containers on Linux, composed of what Podman and CRI-O trust and without a daemon: skopeo, umoci, overlayfs, CNI
/// plugins, conmon and an OCI runtime.
public final class OCIBackend: Backend {
    public let info: RuntimeInfo
    public let images: any ImageBackend
    public let pods: any PodBackend
    public let containers: any ContainerBackend
    public let processes: any ProcessBackend
    public let networks: any NetworkBackend
    public let volumes: any VolumeBackend
    private let context: Context
    private let pruner: Pruner

    public init(_ options: RuntimeOptions) throws {
        let context = try Context(options)
        let images = try OCIImages(context)
        let networks = try OCINetworks(context)
        let volumes = try OCIVolumes(context)
        let sandboxes = try OCISandboxes(context, networks)
        let containers = try OCIContainers(context, images, networks, volumes, sandboxes)
        let pods = OCIPods(sandboxes: sandboxes, containers: containers)
        images.users = { try containers.store.imagesInUse() }
        networks.users = {
            try containers.store.networkUsers().merging(try sandboxes.store.networkUsers()) { $0 + $1 }
        }
        volumes.users = { try containers.store.volumeUsers() }
        self.context = context
        self.images = images
        self.networks = networks
        self.volumes = volumes
        self.containers = containers
        self.pods = pods
        processes = OCIProcesses(context, containers)
        pruner = Pruner(context, images, networks, volumes, containers, pods)
        info = RuntimeInfo(
            backend: "oci", version: Context.version, home: context.home, runDirectory: context.run,
            ociRuntime: context.tools.ociRuntime, cgroups: context.cgroups.rawValue, platform: Context.platform)
    }

    public func events(_ filter: EventFilter, to fd: Int32, _ call: Call) throws {
        try context.journal.follow(filter, to: fd, call)
    }

    public func prune(_ request: PruneRequest, _ call: Call) throws -> PruneResult { try pruner.prune(request, call) }
}
