// What every backend asks of containers' records.

extension Store<ContainerRecord> {
    /// Image digest → names of containers.
    package func imagesInUse() throws -> [String: [String]] {
        Dictionary(grouping: try all(), by: \.imageDigest).mapValues { $0.map(\.name) }
    }

    /// Network id → names of containers.
    package func networkUsers() throws -> [String: [String]] {
        try users { record in record.addresses.map { ($0.networkID, record.name) } }
    }

    /// Volume id → ids of containers.
    package func volumeUsers() throws -> [String: [String]] {
        try users { record in record.mounts.compactMap { mount in mount.volumeID.map { ($0, record.id) } } }
    }

    /// Pod id → its containers, in the order of their making.
    package func podMembers() throws -> [String: [ContainerRecord]] {
        try inOrder().reduce(into: [:]) { found, record in
            if let pod = record.podID { found[pod, default: []].append(record) }
        }
    }

    package func members(of pod: PodRecord) throws -> [ContainerRecord] { try podMembers()[pod.id] ?? [] }
}

extension ContainerRecord {
    /// Refuses what is half deleted or was never finished.
    package func requireWhole() throws {
        guard phase == .ready else {
            throw KinaError(
                .failedPrecondition, "container '\(name)' was left half made or half deleted",
                hint: "delete it, or run kina.prune()")
        }
    }

    /// A creation that will never be finished, or a short run whose caller is gone.
    package var isAbandoned: Bool { owner.map { !$0.isAlive } ?? false }

    /// What the record alone says. Whether it runs, the backend knows.
    package var status: ContainerStatus {
        var status = ContainerStatus(
            id: id, name: name, image: spec.image, imageDigest: imageDigest, state: exit == nil ? .created : .stopped,
            createdAt: createdAt, hostname: hostname)
        status.addresses = addresses
        status.ports = ports
        status.podID = podID
        status.labels = spec.labels
        status.exit = exit
        status.startedAt = run?.startedAt ?? lastStart
        return status
    }
}

extension ContainerSpec {
    /// A record to begin with: named, and with nothing made yet.
    package func draft(
        imageDigest: String, _ config: ImageConfig, hostname: String? = nil, owner: ProcessIdentity?
    ) -> ContainerRecord {
        let id = Identifier.random()
        var spec = self
        let name = spec.name ?? "kina-\(id.prefix(8))"
        spec.name = name
        var record = ContainerRecord(
            id: id, name: name, spec: spec, imageDigest: imageDigest, imageConfig: config,
            hostname: hostname ?? spec.sandbox.hostname ?? SandboxSpec.hostName(from: name, id: id),
            createdAt: Clock.now())
        record.owner = owner
        return record
    }

    /// Bind mounts lead to what is there: kina makes no directories of the host's.
    package func requireBindSources() throws {
        for mount in mounts where mount.type == .bind {
            guard let source = mount.source, Files.exists(source) else {
                throw KinaError.invalid(
                    "mounts.source", mount.source ?? "", "does not exist on the host",
                    hint: "create it first: kina does not make host directories")
            }
        }
    }
}

extension ContainerFilter {
    /// Whether a container's name, id and labels are as asked for; its state is not looked at.
    package func selects(name: String, id: String, labels own: [String: String]) -> Bool {
        (names.isEmpty || names.contains { $0 == name || ($0.utf8.count >= 4 && id.hasPrefix($0)) })
            && own.contain(labels)
    }
}
