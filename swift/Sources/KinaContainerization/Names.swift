#if Containerization
    import Containerization
    import Foundation
    import KinaCore

    /// Names of neighbours: each running container's hosts file has those of the containers and pods on its networks, and
    /// is written anew when one comes or goes. It works with every platform's networks, and nothing has to listen anywhere.
    extension MachineContainers {
        /// What a container's hosts file is to say now.
        func hosts(of record: ContainerRecord) throws -> Hosts {
            var hosts = Hosts.default
            let own = record.addresses.first?.address ?? "127.0.1.1"
            // A pod's containers have its name between them.
            let name = record.spec.pod ?? record.name
            let names = record.hostname == name ? [name] : [record.hostname, name]
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

        /// Containers of their own and pods that run and are on one of its networks, in the order of their making.
        private func neighbours(of record: ContainerRecord) throws -> [any NetworkMember] {
            let networks = Set(record.addresses.map(\.networkID))
            if networks.isEmpty { return [] }
            let lone = try store.all().filter { $0.podID == nil && $0.id != record.id && isRunning($0.id) }
            let pods = try pods.store.all().filter { $0.id != record.podID && self.pods.machine($0.id) != nil }
            let all: [any NetworkMember] = lone + pods
            return all.filter { $0.isOn(networks) }.sorted { $0.precedes($1) }
        }

        /// Tells the neighbours of what has come or gone, and itself of those that came meanwhile. Names are no reason to
        /// fail: a machine that does not answer is told with the next change.
        func spreadNames(of member: any NetworkMember) {
            let networks = Set(member.addresses.map(\.networkID))
            do {
                for other in try store.all() where isRunning(other.id) && other.isOn(networks) {
                    try refreshHosts(other)
                }
            } catch {
                warn("names of the neighbours of '\(member.name)': \(error)")
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
            let root = machine.guest.guestRoot
            do {
                try blocking(.unbounded.within(ms: 10_000), for: "the hosts file of '\(record.name)'", patienceMs: 1000)
                {
                    try await machine.guest.withAgent { try await $0.configureHosts(config: hosts, location: root) }
                }
                machine.hostsText.withLock { $0 = hosts.text }
            } catch  where machine.exit != nil {
                // It ends at this moment.
            } catch {
                warn("the hosts file of '\(record.name)': \(error)")
            }
        }
    }

    extension NetworkMember {
        fileprivate func isOn(_ networks: Set<String>) -> Bool {
            addresses.contains { networks.contains($0.networkID) }
        }
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
