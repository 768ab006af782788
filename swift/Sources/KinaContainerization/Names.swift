#if Containerization
    import Containerization
    import Foundation
    import KinaCore

    /// Names of neighbours: each running machine's hosts file has those of the containers on its networks, and is written
    /// anew when one comes or goes. It works with every platform's networks, and nothing has to listen anywhere.
    extension MachineContainers {
        /// What a container's hosts file is to say now.
        func hosts(of record: ContainerRecord) throws -> Hosts {
            var hosts = Hosts.default
            let own = record.addresses.first?.address ?? "127.0.1.1"
            let names = record.hostname == record.name ? [record.name] : [record.hostname, record.name]
            hosts.entries.append(Hosts.Entry(ipAddress: own, hostnames: names))
            for (name, address) in record.spec.sandbox.extraHosts.sorted(by: { $0.key < $1.key }) {
                hosts.entries.append(Hosts.Entry(ipAddress: address, hostnames: [name]))
            }
            for neighbour in try neighbours(of: record) {
                let shared = neighbour.addresses.first { there in
                    record.addresses.contains { $0.networkID == there.networkID }
                }
                guard let shared else { continue }
                let names = neighbour.names(onNetwork: shared.networkID)
                if !names.isEmpty { hosts.entries.append(Hosts.Entry(ipAddress: shared.address, hostnames: names)) }
            }
            return hosts
        }

        /// Those that run and are on one of its networks, in the order of their making.
        private func neighbours(of record: ContainerRecord) throws -> [ContainerRecord] {
            let networks = Set(record.addresses.map(\.networkID))
            if networks.isEmpty { return [] }
            return try store.all().filter { other in
                other.id != record.id && machine(other.id).map { $0.exit == nil } ?? false
                    && other.addresses.contains { networks.contains($0.networkID) }
            }.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
        }

        /// Tells the neighbours of a container that has come or gone, and itself of those that came meanwhile. Names are
        /// no reason to fail: a machine that does not answer is told with the next change.
        func spreadNames(of record: ContainerRecord) {
            do {
                for other in try neighbours(of: record) + [record] { try refreshHosts(other) }
            } catch {
                warn("names of the neighbours of '\(record.name)': \(error)")
            }
        }

        private func refreshHosts(_ record: ContainerRecord) throws {
            guard let machine = machine(record.id), machine.exit == nil, !machine.isPaused.withLock({ $0 }) else {
                return
            }
            machine.hostsLock.lock()
            defer { machine.hostsLock.unlock() }
            let hosts = try hosts(of: record)
            guard machine.hostsText.withLock({ $0 }) != hosts.text else { return }
            let root = Self.guestRoot(record.id)
            do {
                try blocking(.unbounded.within(ms: 10_000), for: "the hosts file of '\(record.name)'", patienceMs: 1000)
                {
                    try await machine.withAgent { try await $0.configureHosts(config: hosts, location: root) }
                }
                machine.hostsText.withLock { $0 = hosts.text }
            } catch  where machine.exit != nil {
                // It ends at this moment.
            } catch {
                warn("the hosts file of '\(record.name)': \(error)")
            }
        }

        /// Where a container's root is in its guest.
        static func guestRoot(_ id: String) -> String { "/run/container/\(id)/rootfs" }
    }

    extension Hosts {
        var text: String { entries.map(\.rendered).joined(separator: "\n") }
    }

    /// To kina-vmd's log.
    func warn(_ text: String) {
        let line = "kina-vmd[\(getpid())]: \(text)\n"
        try? writeAll(2, Array(line.utf8))
    }
#endif
