#if Containerization
    import Containerization
    import Foundation
    import KinaCore
    import Synchronization

    /// Containers, each in a virtual machine of this process, its own or its pod's. A machine ends with the process; its
    /// record and its root stay, and say so.
    ///
    /// A record is changed only under its container's lock; reading needs none. A pod's lock is taken before.
    final class MachineContainers: ContainerBackend {
        let home: Home
        let store: Store<ContainerRecord>
        let journal: Journal
        let hypervisor: Hypervisor
        let images: MachineImages
        let networks: MachineNetworks
        let volumes: DirectoryVolumes
        /// Ports of the host: on record for a container's life, open while it runs.
        let ports: NetworkPorts
        let published = PublishedPorts()
        let pods: PodMachines
        private let bootID: String
        let me: ProcessIdentity
        private let machines = Mutex<[String: Machine]>([:])

        init(
            _ home: Home, _ journal: Journal, _ hypervisor: Hypervisor, _ images: MachineImages,
            _ networks: MachineNetworks, _ volumes: DirectoryVolumes
        ) throws {
            self.home = home
            self.journal = journal
            self.hypervisor = hypervisor
            self.images = images
            self.networks = networks
            self.volumes = volumes
            bootID = try doing("reading the boot id") { try Boot.id() }
            guard let me = ProcessIdentity(pid: getpid()) else {
                throw KinaError(.internal, "this process can't be read")
            }
            self.me = me
            store = try Store(kind: "container", root: home.path)
            pods = try PodMachines(home, hypervisor, networks, me)
            ports = try NetworkPorts(home: home.path)
        }

        func machine(_ id: String) -> Machine? { machines.withLock { $0[id] } }
        func isRunning(_ id: String) -> Bool { machine(id).map { $0.exit == nil } ?? false }
        func add(_ machine: Machine) { machines.withLock { $0[machine.id] = machine } }
        func remove(_ id: String) { machines.withLock { $0[id] = nil } }
        func directory(_ id: String) -> String { store.directory(id) }
        func root(_ id: String) -> String { "\(directory(id))/root.ext4" }
        func log(_ id: String) -> String { "\(directory(id))/log" }

        /// A run of this process's.
        func newRun() -> ContainerRecord.Run {
            ContainerRecord.Run(bootID: bootID, startedAt: Clock.now(), process: me)
        }

        // MARK: Reading

        func get(_ reference: String) throws -> ContainerStatus {
            let record = try store.find(reference)
            var status = status(record)
            status.spec = record.spec
            return status
        }

        func list(_ filter: ContainerFilter) throws -> ContainerList {
            ContainerList(try store.all().map(status).selected(by: filter))
        }

        func status(_ record: ContainerRecord) -> ContainerStatus {
            var status = record.status
            if record.phase == .deleting || record.isAbandoned {
                status.state = .deleting
            } else if record.run != nil {
                if let machine = machine(record.id) {
                    status.state = machine.isPaused.withLock { $0 } ? .paused : .running
                    status.exit = nil
                    if let exit = machine.exit {
                        status.state = .stopped
                        status.exit = exit
                    }
                } else if record.run?.process == me {
                    status.state = .created  // being started right now
                } else {
                    status.state = .stopped
                    status.exit = record.exit ?? .lost
                }
            }
            return status
        }

        // MARK: For the other parts

        /// The machine of a container that runs now; FAILED_PRECONDITION otherwise.
        func running(_ reference: String, to verb: String) throws -> (ContainerRecord, Machine) {
            let record = try store.find(reference)
            guard let machine = machine(record.id), machine.exit == nil else {
                throw KinaError(
                    .failedPrecondition, "can't \(verb) container '\(record.name)': it is not running",
                    hint: "start it first", details: ["state": status(record).state.rawValue])
            }
            return (record, machine)
        }

        func locked<T>(_ reference: String, _ call: Call, _ body: (inout ContainerRecord) throws -> T) throws -> T {
            try store.locked(reference, call) { record in
                try settleLost(&record)
                return try body(&record)
            }
        }

        /// Runs of a server that is gone: nobody saw their ends.
        func settleAll() throws {
            for record in try store.all() where record.run != nil {
                do { try locked(record.id, .unbounded.within(ms: 10_000)) { _ in } } catch let error as KinaError
                    where error.code == .notFound
                {}
            }
        }

        private func settleLost(_ record: inout ContainerRecord) throws {
            guard record.run != nil, machine(record.id) == nil else { return }
            record.exit = .lost
            record.run = nil
            try store.save(record)
            journal.append(.container, "die", id: record.id, name: record.name, ["reason": "lost"])
        }

        // MARK: Making

        func create(_ spec: ContainerSpec, _ call: Call) throws -> ContainerStatus {
            let record = try make(spec, call)
            journal.append(
                .container, "create", id: record.id, name: record.name, ["image": record.spec.image])
            return status(record)
        }

        func make(_ spec: ContainerSpec, _ call: Call) throws -> ContainerRecord {
            try spec.validate()
            try spec.require(.vm)
            try Limits.check(spec)
            if let name = spec.name { try store.requireFree(name) }
            if let pod = spec.pod { _ = try pods.store.find(pod) }
            let image = try images.prepare(spec.image, spec.pullPolicy, call)
            _ = try spec.arguments(image.config)
            var record = spec.draft(imageDigest: image.digest, image.config, owner: me)
            // Not while the image came, which may have taken long.
            let pod = try spec.pod.map { try pods.store.hold($0, call) }
            defer { pod?.lock.unlock() }
            if let pod { record.join(pod.pod) }
            try store.insert(record, sync: false)
            let lock = try store.lock(record.id, call)
            defer { lock.unlock() }
            do {
                try equip(&record, call)
                return record
            } catch {
                throw undo(error) { try destroy(&record) }
            }
        }

        private func equip(_ record: inout ContainerRecord, _ call: Call) throws {
            let sandbox = record.spec.sandbox
            let id = record.id
            if record.podID == nil, sandbox.namespaces.network == .private {
                record.addresses = try networks.lease(id, sandbox.networks, call)
                record.ports = try ports.take(sandbox.ports, for: id, call)
            }
            try record.spec.requireBindSources()
            try images.cloneRoot(record.imageDigest, to: root(id), call)
            let image = FileSystemOrigin(file: root(id))
            // The root is the container's own file system: what an image declares as volumes needs none of its own.
            record.mounts = try record.spec.mounts.map { mount in
                guard mount.type == .volume else {
                    return ContainerRecord.ResolvedMount(spec: mount, source: mount.source)
                }
                let volume = try volumes.resolve(mount, for: id, image: image, call)
                return ContainerRecord.ResolvedMount(spec: mount, source: volume.path, volumeID: volume.id)
            }
            record.phase = .ready
            record.owner = nil
            try store.save(record)
        }

        // MARK: Deleting

        func delete(_ reference: String, force: Bool, _ call: Call) throws {
            try locked(reference, call) { record in
                if let machine = machine(record.id) {
                    guard force || machine.exit != nil else {
                        throw KinaError(
                            .failedPrecondition, "container '\(record.name)' is running",
                            hint: "stop it first, or delete it with force")
                    }
                    try end(&record, machine)
                }
                try destroy(&record)
            }
        }

        /// Removes a container that does not run and all that belongs to it. Repeatable from wherever it was cut off.
        func destroy(_ record: inout ContainerRecord) throws {
            record.phase = .deleting
            try store.save(record, sync: false)
            try networks.disconnect(record.id)
            try networks.release(record.id)
            try ports.release(record.id)
            try volumes.release(record.id)
            try store.remove(record.id, name: record.name)
            journal.append(.container, "delete", id: record.id, name: record.name)
        }

        func prune(_ request: PruneRequest, _ result: inout PruneResult, _ call: Call) throws {
            for record in try store.all() {
                let status = status(record)
                let unused =
                    request.containers && [.stopped, .created].contains(status.state)
                    && record.spec.labels.contain(request.labels)
                do {
                    if status.state == .deleting {
                        try delete(record.id, force: true, call)
                        result.leftovers.append("container \(record.name), half made or half deleted")
                    } else if record.spec.remove, status.state == .stopped {
                        try delete(record.id, force: false, call)
                        result.leftovers.append("container \(record.name), which was to be removed at its end")
                    } else if unused, machine(record.id) == nil {
                        try delete(record.id, force: false, call)
                        result.containers.append(record.name)
                    }
                } catch let error as KinaError where [.notFound, .failedPrecondition].contains(error.code) {
                    // Somebody else deleted or started it meanwhile: theirs.
                }
            }
            for lease in try ports.all()
            where !Files.exists(directory(lease.container)) && !Files.exists(pods.store.directory(lease.container)) {
                try ports.free(lease)
                result.leftovers.append("port \(lease.port) of container \(lease.container)")
            }
            result.leftovers += try store.sweep()
        }
    }
#endif
