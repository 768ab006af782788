import KinaCore

extension OCIContainers {
    func create(_ spec: ContainerSpec, _ call: Call) throws -> ContainerStatus {
        let (record, lock, _) = try make(spec, call)
        lock.unlock()
        context.journal.append(
            .container, "create", id: record.id, name: record.name, ["image": record.spec.image])
        return status(record)
    }

    /// A finished record, still locked, and so is its pod. Everything is undone when it throws. A short run's lives no
    /// longer than we do.
    func make(_ spec: ContainerSpec, short: Bool = false, _ call: Call) throws -> (
        ContainerRecord, FileLock, pod: HeldPod?
    ) {
        try spec.validate()
        try spec.require(.namespaces)
        try spec.resources.requireCPUs()
        if let name = spec.name { try store.requireFree(name) }
        if let pod = spec.pod { _ = try sandboxes.store.find(pod) }
        let image = try images.prepare(spec.image, spec.pullPolicy, call)
        _ = try OCIProcess.command(of: spec, image.config)
        var record = try draft(spec, image)
        // Not while the image came, which may have taken long.
        let pod = try spec.pod.map { try sandboxes.hold($0, up: short, call) }
        if let pod { record.join(pod.pod) }
        // The image's hold is let go only once a record names the image.
        try Step.createRecord.perform(call) { try store.insert(record, sync: false) }
        let lock = try store.lock(record.id, call)
        do {
            try withExtendedLifetime(image) { try equip(&record, image, short, call) }
            return (record, lock, pod)
        } catch {
            throw undo(error) { try destroy(&record, call) }
        }
    }

    private func draft(_ spec: ContainerSpec, _ image: OCIImages.Prepared) throws -> ContainerRecord {
        spec.draft(
            imageDigest: image.status.digest, image.config,
            hostname: spec.sandbox.namespaces.uts == .host ? Self.hostName() : nil,
            owner: ProcessIdentity(pid: getpid()))
    }

    /// Addresses, ports, volumes and files, then the record that names them.
    private func equip(_ record: inout ContainerRecord, _ image: OCIImages.Prepared, _ short: Bool, _ call: Call) throws
    {
        let sandbox = record.spec.sandbox
        let id = record.id
        if record.podID == nil, sandbox.namespaces.network == .private {
            record.addresses = try Step.createLeases.perform(call) { try networks.lease(id, sandbox.networks, call) }
            record.ports = try Step.createPorts.perform(call) { try networks.leasePorts(id, sandbox.ports, call) }
        }
        record.mounts = try Step.createVolumes.perform(call) {
            try mounts(record).map { mount in
                guard mount.type == .volume else {
                    return ContainerRecord.ResolvedMount(spec: mount, source: mount.source)
                }
                let volume = try volumes.resolve(mount, for: id, image: DirectoryOrigin(image.rootfs), call)
                return ContainerRecord.ResolvedMount(spec: mount, source: volume.path, volumeID: volume.id)
            }
        }
        try Step.createFiles.perform(call) { try writeFiles(record) }
        record.phase = .ready
        if !short { record.owner = nil }
        let finished = record
        try Step.createCommit.perform(call) { try store.save(finished, sync: !short) }
    }

    /// The spec's mounts, and an anonymous volume for each that the image declares and the spec leaves out.
    private func mounts(_ record: ContainerRecord) throws -> [MountSpec] {
        try record.spec.requireBindSources()
        let taken = Set(record.spec.mounts.map(\.target))
        return record.spec.mounts
            + record.imageConfig.volumes.filter { !taken.contains($0) }.map {
                MountSpec(type: .volume, source: nil, target: $0)
            }
    }

    private func writeFiles(_ record: ContainerRecord) throws {
        let paths = paths(record)
        let sandbox = record.spec.sandbox
        try doing("writing the files of container \(record.name)") {
            try Files.makeDirectories(paths.upper, mode: 0o755)
            try Files.makeDirectories(paths.work)
            var hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
            for address in record.addresses.prefix(1) { hosts += "\(address.address)\t\(record.hostname)\n" }
            if record.addresses.isEmpty, sandbox.namespaces.network != .host {
                hosts += "127.0.1.1\t\(record.hostname)\n"
            }
            for (name, address) in sandbox.extraHosts.sorted(by: { $0.key < $1.key }) {
                hosts += "\(address)\t\(name)\n"
            }
            let resolver = try networks.resolvConf(record.addresses, sandbox.dns)
            // Read inside the container by any user, hence 0644; the directory above is private.
            for (path, text) in [
                (paths.hosts, hosts), (paths.hostnameFile, record.hostname + "\n"), (paths.resolvConf, resolver),
            ] {
                let fd = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
                try attempt("chmod") { fchmod(fd.raw, 0o644) }
                try writeAll(fd.raw, Array(text.utf8))
            }
        }
    }

    static func hostName() -> String {
        var name = utsname()
        uname(&name)
        return withUnsafePointer(to: &name.nodename) {
            $0.withMemoryRebound(to: CChar.self, capacity: 65) { String(cString: $0) }
        }
    }
}
