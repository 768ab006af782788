import Synchronization

/// Volumes that are directories of the host.
package final class DirectoryVolumes: VolumeBackend {
    private let usersBox = Mutex<@Sendable () throws -> [String: [String]]>({ [:] })
    /// Volume id → ids of the containers that mount it.
    package var users: @Sendable () throws -> [String: [String]] {
        get { usersBox.withLock { $0 } }
        set { usersBox.withLock { $0 = newValue } }
    }

    package let store: Store<VolumeRecord>
    private let home: String
    private let journal: Journal

    package init(home: String, _ journal: Journal) throws {
        self.home = home
        self.journal = journal
        store = try Store(kind: "volume", root: home)
    }

    // MARK: - Volumes

    package func create(_ spec: VolumeSpec, _ call: Call) throws -> VolumeStatus {
        try spec.validate()
        let id = Identifier.random()
        let record = VolumeRecord(id: id, name: spec.name ?? id, labels: spec.labels, createdAt: Clock.now())
        try insert(record)
        return try status(record)
    }

    private func insert(_ record: VolumeRecord) throws {
        try store.insert(record)
        try makeData(record.id)
        journal.append(.volume, "create", id: record.id, name: record.name)
    }

    private func makeData(_ id: String) throws {
        let path = data(id)
        try doing("creating \(path)") {
            if mkdir(path, 0o755) < 0 {
                if errno != EEXIST { throw Errno(errno, "mkdir \(path)") }
                return
            }
            try attempt("chmod \(path)") { chmod(path, 0o755) }  // whatever the umask
        }
    }

    private func data(_ id: String) -> String { "\(store.directory(id))/data" }

    private func status(_ record: VolumeRecord) throws -> VolumeStatus {
        try status(record, users: try users())
    }

    private func status(_ record: VolumeRecord, users: [String: [String]]) throws -> VolumeStatus {
        VolumeStatus(
            id: record.id, name: record.name, path: data(record.id), labels: record.labels, createdAt: record.createdAt,
            anonymous: record.owner != nil, usedBy: try usedBy(record.id, users))
    }

    package func get(_ reference: String) throws -> VolumeStatus { try status(try store.find(reference)) }

    package func list() throws -> VolumeList {
        let users = try users()
        return VolumeList(try store.all().sorted { $0.name < $1.name }.map { try status($0, users: users) })
    }

    package func delete(_ reference: String, _ call: Call) throws {
        let record = try store.find(reference)
        try delete(record, except: nil, call)
    }

    private func delete(_ record: VolumeRecord, except container: String?, _ call: Call) throws {
        let lock = try store.lock(record.id, call)
        defer { lock.unlock() }
        let containers = try usedBy(record.id, try users()).filter { $0 != container }
        guard containers.isEmpty else {
            throw KinaError(
                .failedPrecondition, "volume '\(record.name)' is mounted by \(containers.joined(separator: ", "))",
                hint: "delete those containers first",
                details: ["volume": record.name, "containers": containers.joined(separator: ",")])
        }
        try store.remove(record.id, name: record.name)
        journal.append(.volume, "delete", id: record.id, name: record.name)
    }

    // MARK: - Who uses it

    /// A container that is being made claims its volumes before its own record can name them.
    private func claims(_ id: String) -> String { "\(store.directory(id))/claims" }

    private func usedBy(_ id: String, _ users: [String: [String]]) throws -> [String] {
        let claimed = try doing("reading \(claims(id))") { try Files.list(claims(id)) }.filter(hasRecord)
        return Set(claimed + (users[id] ?? [])).sorted()
    }

    private func hasRecord(_ container: String) -> Bool {
        Files.exists("\(home)/containers/\(container)/record.json")
    }

    private func claim(_ id: String, for container: String) throws {
        try doing("claiming volume \(id)") {
            try Files.makeDirectories(claims(id))
            let link = "\(claims(id))/\(container)"
            if symlink(container, link) < 0, errno != EEXIST { throw Errno(errno, "symlink \(link)") }
        }
    }

    // MARK: - A container's mounts

    /// The volume of a mount, made when it is not there; without a name an anonymous one that belongs to the container.
    /// An empty volume is first filled from `image` when the mount says copyUp and there is such a tree.
    package func resolve(_ mount: MountSpec, for container: String, image: (any VolumeOrigin)?, _ call: Call) throws
        -> VolumeStatus
    {
        while true {
            let found = try mount.source.map(named) ?? anonymous(mount.target, of: container)
            do {
                let lock = try store.lock(found.id, call)
                defer { lock.unlock() }
                guard var record = try store.load(found.id) else { throw KinaError.notFound("volume", found.name) }
                try claim(record.id, for: container)
                // A crash may have come between the record and its directory.
                try makeData(record.id)
                if mount.copyUp, let image { try fill(&record, mount, container, image, call) }
                return try status(record)
            } catch let error as KinaError where error.code == .notFound {
                // Somebody deleted it between the two steps: it is made anew.
                try call.check("volume \(found.name)")
                if Files.exists("\(store.directory(found.id))/record.json") { throw error }
            }
        }
    }

    private func named(_ name: String) throws -> VolumeRecord {
        try Identifier.checkName(name, field: "mounts.source")
        if let id = try store.id(of: name), let record = try store.load(id) { return record }
        let record = VolumeRecord(id: Identifier.random(), name: name, labels: [:], createdAt: Clock.now())
        do {
            try insert(record)
            return record
        } catch let error as KinaError where error.code == .alreadyExists {
            return try store.find(name)
        }
    }

    private func anonymous(_ target: String, of container: String) throws -> VolumeRecord {
        if let known = try store.all().first(where: { $0.owner == container && $0.target == target }) { return known }
        let id = Identifier.random()
        var record = VolumeRecord(id: id, name: id, labels: [:], createdAt: Clock.now())
        record.owner = container
        record.target = target
        try insert(record)
        return record
    }

    /// Under the volume's lock, so once for two containers that come at the same time.
    private func fill(
        _ record: inout VolumeRecord, _ mount: MountSpec, _ container: String, _ image: any VolumeOrigin, _ call: Call
    ) throws {
        if record.isFilled { return }
        let copyUp = VolumeCopyUp(directory: store.directory(record.id))
        let isEmpty = try doing("reading \(data(record.id))") { try Files.list(data(record.id)).isEmpty }
        if isEmpty {
            let others = try usedBy(record.id, try users()).filter { $0 != container }
            guard others.isEmpty, try copyUp.fill(from: image, target: mount.target, call) else { return }
        } else {
            try copyUp.discard()
        }
        record.isFilled = true
        try store.save(record)
    }

    /// Deletes the anonymous volumes of a container. Idempotent.
    package func release(_ container: String) throws {
        for record in try store.all() {
            try doing("freeing volume \(record.name)") { try Files.remove("\(claims(record.id))/\(container)") }
            guard record.owner == container else { continue }
            do {
                try delete(record, except: container, Call.unbounded.within(ms: 30_000))
            } catch let error as KinaError where error.code == .notFound || error.code == .failedPrecondition {
                // Gone already; or another container mounts it by its id, and then it stays.
            }
        }
    }

    // MARK: - Pruning

    package func prune(unused: Bool, labels: [String: String], _ result: inout PruneResult, _ call: Call) throws {
        for record in try store.all() {
            for container in try doing("reading claims", { try Files.list(claims(record.id)) })
            where !hasRecord(container) {
                try doing("freeing volume \(record.name)") { try Files.remove("\(claims(record.id))/\(container)") }
            }
            let isOrphan = record.owner.map { !hasRecord($0) } ?? false
            guard isOrphan || (unused && record.labels.contain(labels)) else {
                try discardHalf(record, &result, call)
                continue
            }
            let bytes = try size(record, call)
            do {
                try delete(record, except: nil, call)
            } catch let error as KinaError where error.code == .failedPrecondition || error.code == .notFound {
                continue
            }
            result.reclaimed += bytes
            if isOrphan {
                result.leftovers.append("volume \(record.name) of a container that is gone")
            } else {
                result.volumes.append(record.name)
            }
        }
        result.leftovers += try doing("sweeping volumes") { try store.sweep() }
    }

    /// Half a copy, when nobody is making it now.
    private func discardHalf(_ record: VolumeRecord, _ result: inout PruneResult, _ call: Call) throws {
        let copyUp = VolumeCopyUp(directory: store.directory(record.id))
        guard copyUp.isBegun else { return }
        let lock = try store.lock(record.id, call)
        defer { lock.unlock() }
        guard copyUp.isBegun else { return }
        try copyUp.discard()
        result.leftovers.append("half a copy in volume \(record.name)")
    }

    private func size(_ record: VolumeRecord, _ call: Call) throws -> Int64 {
        guard let program = Command.find("du") else { return 0 }
        let output = try Command(program, ["-skx", data(record.id)]).run(call)
        return (Int64(output.text.split(whereSeparator: \.isWhitespace).first ?? "") ?? 0) * 1024
    }
}
