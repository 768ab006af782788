import KinaCore

/// Deletes what is unused, and whatever crashes left behind.
struct Pruner: Sendable {
    let context: Context
    let images: OCIImages
    let networks: OCINetworks
    let volumes: OCIVolumes
    let containers: OCIContainers
    let pods: OCIPods

    init(
        _ context: Context, _ images: OCIImages, _ networks: OCINetworks, _ volumes: OCIVolumes,
        _ containers: OCIContainers, _ pods: OCIPods
    ) {
        self.context = context
        self.images = images
        self.networks = networks
        self.volumes = volumes
        self.containers = containers
        self.pods = pods
    }

    func prune(_ request: PruneRequest, _ call: Call) throws -> PruneResult {
        var result = PruneResult()
        try pruneContainers(request, &result, call)
        result.leftovers += try containers.store.sweep()
        try sweepRunDirectories(&result, call)
        try pods.prune(request, &result, call)
        let live = Set(try containers.store.ids() + pods.sandboxes.store.ids())
        try networks.prune(unused: request.networks, labels: request.labels, live: live, &result, call)
        try volumes.prune(unused: request.volumes, labels: request.labels, &result, call)
        try images.prune(unused: request.images, &result, call)
        removeEmptyDirectories()
        return result
    }

    private func pruneContainers(_ request: PruneRequest, _ result: inout PruneResult, _ call: Call) throws {
        for record in try containers.store.all() {
            try call.check("containers to be pruned")
            let status = containers.status(record)
            let wanted = request.labels.allSatisfy {
                record.spec.labels[$0] == $1 || ($1.isEmpty && record.spec.labels[$0] != nil)
            }
            let unused = request.containers && wanted && [.stopped, .created].contains(status.state)
            do {
                if status.state == .deleting {
                    try containers.delete(record.id, force: true, call)
                    result.leftovers.append("container \(record.name), half made or half deleted")
                } else if record.spec.remove, status.state == .stopped {
                    // It should have gone by itself, but its supervisor was killed.
                    try containers.delete(record.id, force: false, call)
                    result.leftovers.append("container \(record.name), which was to be removed at its end")
                } else if unused {
                    try containers.delete(record.id, force: false, call)
                    result.containers.append(record.name)
                } else if record.run != nil, containers.liveProcess(record) == nil {
                    // Settles a run whose end nobody recorded.
                    try containers.locked(record.id, call) { _ in }
                } else if record.run != nil {
                    for process in try containers.endOrphans(record) {
                        result.leftovers.append("process \(process) in container \(record.name), whose caller is gone")
                    }
                }
            } catch let error as KinaError where [.notFound, .failedPrecondition].contains(error.code) {
                // Somebody else deleted or started it meanwhile: theirs.
            }
        }
    }

    /// Runs without a record: nothing should be there, and what is there belongs to nobody.
    private func sweepRunDirectories(_ result: inout PruneResult, _ call: Call) throws {
        let live = Set(try containers.store.ids())
        for id in try Files.list("\(context.run)/c") where !live.contains(id) {
            try containers.tearDown(id, call)
            result.leftovers.append("run of container \(id)")
        }
    }

    /// Whoever needs one makes it again.
    private func removeEmptyDirectories() {
        for directory in ["c", "n", "oci", "pods"] { rmdir("\(context.run)/\(directory)") }
        if (try? containers.store.ids().isEmpty) == true { CgroupTree.removeParents(context) }
        rmdir(context.run)
    }
}
