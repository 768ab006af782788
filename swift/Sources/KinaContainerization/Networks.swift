#if Containerization
    import Containerization
    import ContainerizationExtras
    import KinaCore
    import Synchronization

    /// Networks of virtual machines: addresses are kina's, in its records; the wires are the platform's.
    ///
    /// A network is live while a container's or a pod's machine is on it, and belongs to this process.
    final class MachineNetworks: NetworkBackend {
        static let defaultName = "default"

        private let home: String
        private let store: Store<NetworkRecord>
        private let journal: Journal
        /// Live networks, each with the containers and pods on it.
        private let live = Mutex<[String: Live]>([:])
        private let namesBox = Mutex<@Sendable (String) -> String>({ $0 })
        /// An id of a container or a pod → its name.
        var names: @Sendable (String) -> String {
            get { namesBox.withLock { $0 } }
            set { namesBox.withLock { $0 = newValue } }
        }

        private struct Live {
            var wires: any NetworkWires
            var containers: Set<String>
        }

        init(home: String, _ journal: Journal) throws {
            self.home = home
            self.journal = journal
            store = try Store(kind: "network", root: home)
        }

        // MARK: Records

        func create(_ spec: NetworkSpec, _ call: Call) throws -> NetworkStatus {
            try spec.validate()
            return try status(try insert(spec, call))
        }

        private func insert(_ spec: NetworkSpec, _ call: Call) throws -> NetworkRecord {
            try store.requireFree(spec.name)
            let lock = try doing("locking the networks") {
                try FileLock("\(home)/networks.lock", call, for: "another network to be created")
            }
            defer { lock.unlock() }
            let id = Identifier.random()
            let subnet = try choose(spec, seed: UInt64(id, radix: 16) ?? 0)
            let gateway = try gateway(spec, subnet)
            let record = NetworkRecord(
                id: id, name: spec.name, subnet: "\(subnet)", gateway: "\(gateway)", isInternal: spec.isInternal,
                mtu: spec.mtu ?? 1500, labels: spec.labels, createdAt: Clock.now())
            try store.insert(record)
            journal.append(.network, "create", id: id, name: record.name)
            return record
        }

        private func choose(_ spec: NetworkSpec, seed: UInt64) throws -> IPv4Subnet {
            let own = try store.all().compactMap { IPv4Subnet($0.subnet) }
            let taken = own + HostRoutes.subnets()
            if let text = spec.subnet {
                let subnet = try IPv4Subnet(text, field: "subnet")
                if let other = taken.first(where: { $0.overlaps(subnet) }) {
                    throw KinaError(
                        own.contains(other) ? .alreadyExists : .failedPrecondition,
                        "subnet \(subnet) overlaps with \(other), which is in use",
                        hint: "choose another subnet, or leave it out and kina finds a free one",
                        details: ["field": "subnet", "value": text, "taken": "\(other)"])
                }
                return subnet
            }
            // Beside the range from which networks of namespaces are taken, so that the two never meet.
            let pool = KinaCore.IPv4Address(10 << 24 | 224 << 16)
            for step in 0..<8192 as Range<UInt64> {
                let slot = UInt32((seed &+ step) % 8192)
                let subnet = IPv4Subnet(containing: KinaCore.IPv4Address(pool.value + slot << 8), prefix: 24)
                if !taken.contains(where: { $0.overlaps(subnet) }) { return subnet }
            }
            throw KinaError(
                .resourceExhausted, "no subnet of 10.224.0.0/11 is free on this host",
                hint: "create a network with a subnet of your choice, or delete networks")
        }

        private func gateway(_ spec: NetworkSpec, _ subnet: IPv4Subnet) throws -> KinaCore.IPv4Address {
            let (first, gateway) = (KinaCore.IPv4Address(subnet.hosts.lowerBound), try spec.gateway(in: subnet))
            guard gateway == first else {
                throw KinaError(
                    .unimplemented, "gateway '\(gateway)': a network of virtual machines has its first address there",
                    hint: "leave it out, or use \(first)", details: ["field": "gateway", "value": "\(gateway)"])
            }
            return first
        }

        private func leases(_ record: NetworkRecord) throws -> NetworkLeases {
            try NetworkLeases(record, directory: "\(store.directory(record.id))/leases")
        }

        private func status(_ record: NetworkRecord) throws -> NetworkStatus {
            NetworkStatus(
                id: record.id, name: record.name, subnet: record.subnet, gateway: record.gateway,
                isInternal: record.isInternal, mtu: record.mtu, interface: PlatformWires.interface(of: record),
                labels: record.labels, createdAt: record.createdAt, leases: try leases(record).all())
        }

        func get(_ reference: String) throws -> NetworkStatus { try status(try store.find(reference)) }
        func list() throws -> NetworkList {
            NetworkList(try store.all().sorted { $0.name < $1.name }.map(status))
        }

        func delete(_ reference: String, _ call: Call) throws {
            let record = try store.find(reference)
            let lock = try store.lock(record.id, call)
            defer { lock.unlock() }
            let users = Set(try leases(record).all().values).filter(exists).map(names)
            guard users.isEmpty else {
                throw KinaError(
                    .failedPrecondition,
                    "network '\(record.name)' is used by \(users.sorted().joined(separator: ", "))",
                    hint: "delete those containers and pods first")
            }
            try store.remove(record.id, name: record.name)
            journal.append(.network, "delete", id: record.id, name: record.name)
        }

        func prune(_ request: PruneRequest, _ result: inout PruneResult, _ call: Call) throws {
            for record in try store.all() {
                for (address, container) in try leases(record).all() where !exists(container) {
                    try leases(record).free(address)
                    result.leftovers.append("address \(address) of container \(container)")
                }
                guard request.networks, record.labels.contain(request.labels) else { continue }
                do {
                    try delete(record.id, call)
                    result.networks.append(record.name)
                } catch let error as KinaError where [.failedPrecondition, .notFound].contains(error.code) {}
            }
            result.leftovers += try store.sweep()
        }

        /// A container or a pod.
        private func exists(_ id: String) -> Bool {
            ["containers", "pods"].contains { Files.exists("\(home)/\($0)/\(id)") }
        }

        // MARK: A container's addresses

        /// Takes an address on each network; the default one when none is named.
        func lease(_ id: String, _ wanted: [NetworkAttachmentSpec], _ call: Call) throws -> [AddressStatus] {
            let attachments = wanted.isEmpty ? [NetworkAttachmentSpec(network: Self.defaultName)] : wanted
            var seen: Set<String> = []
            return try attachments.enumerated().map { index, attachment in
                let field = "sandbox.networks[\(index)]"
                for alias in attachment.aliases { try HostName.check(alias, "\(field).aliases") }
                let record = try find(attachment.network, call)
                guard seen.insert(record.id).inserted else {
                    throw KinaError.invalid(
                        "\(field).network", attachment.network, "is given twice", hint: "attach a network once")
                }
                let lock = try store.lock(record.id, call)
                defer { lock.unlock() }
                let address = try leases(record).take(for: id, fixed: attachment.address, field: "\(field).address")
                    .address
                return AddressStatus(
                    network: record.name, networkID: record.id, address: "\(address)",
                    prefixLength: try record.range().subnet.prefix, gateway: record.gateway, mac: address.mac)
            }
        }

        private func find(_ reference: String, _ call: Call) throws -> NetworkRecord {
            if let id = try store.id(of: reference), let record = try store.load(id) { return record }
            guard reference == Self.defaultName else { throw KinaError.notFound("network", reference) }
            do {
                return try insert(NetworkSpec(name: reference), call)
            } catch let error as KinaError where error.code == .alreadyExists {
                return try store.find(reference)
            }
        }

        /// Idempotent.
        func release(_ id: String) throws {
            for record in try store.all() {
                let leases = try leases(record)
                for (address, container) in try leases.all() where container == id { try leases.free(address) }
            }
        }

        // MARK: Wires

        /// One interface for each address, in order; the first one's gateway is the default route.
        func connect(_ member: some Record & NetworkMember) throws -> [any Interface] {
            let id = member.id
            do {
                return try member.addresses.map { address in
                    guard let network = try store.load(address.networkID) else {
                        throw KinaError.notFound("network", address.network)
                    }
                    return try live.withLock { live in
                        var entry =
                            try live[network.id]
                            ?? Live(wires: try PlatformWires(network), containers: [])
                        let interface = try entry.wires.plug(id, address, mtu: network.mtu)
                        entry.containers.insert(id)
                        live[network.id] = entry
                        return interface
                    }
                }
            } catch {
                throw undo(error) { try disconnect(id) }
            }
        }

        /// Idempotent. A network that nobody is on any more goes.
        func disconnect(_ container: String) throws {
            try live.withLock { live in
                for (id, entry) in live where entry.containers.contains(container) {
                    var entry = entry
                    entry.wires.unplug(container)
                    entry.containers.remove(container)
                    live[id] = entry.containers.isEmpty ? nil : entry
                    if entry.containers.isEmpty { try entry.wires.tearDown() }
                }
            }
        }

        /// What a server that was killed left of this home's networks.
        func endOrphans() throws {
            for record in try store.all() { try PlatformWires.endOrphan(record) }
        }

        /// Where names are looked up from: the first network's.
        func nameservers(_ member: any NetworkMember) -> [String] {
            member.addresses.first.map { PlatformWires.nameservers(gateway: $0.gateway) } ?? []
        }
    }

    /// A live network of the platform.
    protocol NetworkWires: Sendable {
        init(_ record: NetworkRecord) throws
        mutating func plug(_ container: String, _ address: AddressStatus, mtu: Int) throws -> any Interface
        mutating func unplug(_ container: String)
        func tearDown() throws
    }
#endif
