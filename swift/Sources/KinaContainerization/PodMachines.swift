#if Containerization
    import Containerization
    import Foundation
    import KinaCore
    import Synchronization

    /// The sandboxes of pods: addresses and ports from their making on, a virtual machine while containers have a use
    /// for it.
    ///
    /// A pod's lock comes before its containers', and theirs before networks'. Who needs a pod to stay as it is holds its
    /// lock shared; who makes, boots, stops or deletes it, exclusively.
    final class PodMachines: Sendable {
        let store: Store<PodRecord>
        let ports: NetworkPorts
        private let hypervisor: Hypervisor
        private let networks: MachineNetworks
        private let published = PublishedPorts()
        /// In records: this process, which the machines end with.
        private let token: String
        private let machines = Mutex<[String: PodMachine]>([:])

        /// In records, in the place of a process: ready, and no machine has been needed yet.
        static let ready = "ready"

        init(_ home: Home, _ hypervisor: Hypervisor, _ networks: MachineNetworks, _ me: ProcessIdentity) throws {
            self.hypervisor = hypervisor
            self.networks = networks
            store = try Store(kind: "pod", root: home.path)
            ports = try NetworkPorts(home: home.path)
            token = try doing("reading the boot id") { "\(try Boot.id())/\(me.pid)/\(me.startTicks)" }
        }

        /// The machine that runs; nil when there is none, or it does not answer any more.
        func machine(_ id: String) -> PodMachine? {
            machines.withLock { $0[id] }.flatMap { $0.isDead ? nil : $0 }
        }

        var isEmpty: Bool { machines.withLock { $0.isEmpty } }

        func isUp(_ pod: PodRecord) -> Bool {
            pod.bootID == Self.ready || (pod.bootID == token && machine(pod.id) != nil)
        }

        // MARK: Booting

        /// What is known of a pod's containers when its machine boots.
        struct Members: Sendable {
            var limits: [ResourcesSpec]
            /// Of those that it has to boot with, in order to have them at all.
            var seats: [PodMachine.Seat]
        }

        /// The pod held, with a machine in which the container can be started. It boots where there is none, and again
        /// where the container can't come into the one that runs and nobody else is in it.
        func hold(
            _ reference: String, for container: ContainerRecord, _ call: Call,
            members: (PodRecord) throws -> Members
        ) throws -> (HeldPod, PodMachine) {
            for _ in 0..<8 {
                let hold = try store.hold(reference, call)
                if let machine = machine(hold.pod.id), machine.refusal(container) == nil {
                    return (hold, machine)
                }
                hold.lock.unlock()
                try store.locked(reference, call) { pod in
                    try pod.requireWhole()
                    if let machine = machine(pod.id) {
                        guard let refusal = machine.refusal(container) else { return }
                        if machine.isUsed(except: container.id) { throw refusal }
                    }
                    try tearDown(pod)
                    try boot(&pod, try members(pod), call)
                }
            }
            throw KinaError(.unavailable, "pod \(reference) goes down as often as it comes up", hint: "try again")
        }

        /// Undone when it throws.
        private func boot(_ pod: inout PodRecord, _ members: Members, _ call: Call) throws {
            let (manager, power) = try hypervisor.monitor(of: pod.id, call)
            let log = try BootLog.open(in: store.directory(pod.id))
            let record = pod
            do {
                let interfaces = try networks.connect(pod)
                if let address = pod.addresses.first {
                    try published.publish(pod.ports, of: pod.id, at: address.address)
                }
                let made: LinuxPod
                do {
                    made = try LinuxPod(pod.id, vmm: manager) {
                        $0 = Configuration.pod(record, limits: members.limits, interfaces, bootLog: log)
                    }
                } catch { throw KinaError(guest: error, "preparing pod '\(pod.name)'") }
                let machine = PodMachine(made, power, bootLog: log, members.seats)
                machines.withLock { $0[record.id] = machine }
                try starting(call, "the machine of pod '\(pod.name)' to boot", bootLog: log) {
                    for seat in members.seats {
                        try await made.addContainer(seat.container, rootfs: seat.root) { $0 = seat.configuration }
                    }
                    try await made.create()
                    try await made.withVirtualMachineInstance { machine.power.isOn(in: $0) }
                }
                pod.bootID = token
                try store.save(pod, sync: false)
            } catch {
                for seat in members.seats { seat.streams.abandon() }
                pod = record
                throw undo(error) {
                    try tearDown(record)
                    power.leaveNothing()
                }
            }
        }

        // MARK: Ending

        /// Ends the machine, and lets go of its network and its ports; the record is the caller's. Idempotent.
        func tearDown(_ pod: PodRecord) throws {
            if let machine = machines.withLock({ $0[pod.id] }) {
                try machine.power.off("pod '\(pod.name)'") { try await machine.pod.stop() }
                machine.die()
                machines.withLock { $0[pod.id] = nil }
            }
            published.withdraw(pod.id)
            try networks.disconnect(pod.id)
        }

        /// After a member's end that nobody saw: true when the machine is gone, or does not answer and is ended now.
        func examine(_ id: String) throws -> Bool {
            guard let machine = machine(id) else { return false }
            do {
                try blocking(.unbounded.within(ms: 20_000), for: "the machine to answer", patienceMs: 1000) {
                    try await machine.pod.withVirtualMachineInstance { try await $0.asking { try await $0.sync() } }
                }
                return false
            } catch {
                machine.die()
            }
            return try store.locked(id, .unbounded.within(ms: 120_000)) { pod in
                guard machines.withLock({ $0[id] }) === machine else { return false }
                try tearDown(pod)
                return true
            }
        }
    }

    /// Where a guest's kernel speaks: private, since programs' output may be in it.
    enum BootLog {
        static func open(in directory: String) throws -> String {
            let path = "\(directory)/boot.log"
            _ = try doing("opening \(path)") { try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC) }
            return path
        }
    }
#endif
