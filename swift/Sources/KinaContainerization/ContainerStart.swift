#if Containerization
    import Containerization
    import Foundation
    import KinaCore

    extension MachineContainers {
        /// Where what a container writes goes to.
        enum Output {
            case log
            case streams(ProcessStreams)
        }

        func start(_ reference: String, _ call: Call) throws -> ContainerStatus {
            let known = try store.find(reference)
            // Before a machine boots for it.
            try requireStartable(known)
            return try inside(known, call) { pod in
                try locked(known.id, call) { record in
                    try requireStartable(record)
                    if let machine = machine(record.id) { try end(&record, machine) }
                    _ = try begin(&record, .log, pod, call)
                    return status(record)
                }
            }
        }

        private func requireStartable(_ record: ContainerRecord) throws {
            try record.requireWhole()
            guard !isRunning(record.id) else {
                throw KinaError(
                    .failedPrecondition, "container '\(record.name)' is running already",
                    hint: "stop it first, or use restart")
            }
        }

        /// With the machine of the container's pod up, and kept up; nil where it has one of its own. A pod's lock comes
        /// before its containers'; what pod a container is in never changes.
        func inside<T>(_ record: ContainerRecord, _ call: Call, _ body: (PodMachine?) throws -> T) throws -> T {
            guard let id = record.podID else { return try body(nil) }
            let (hold, machine) = try pods.hold(id, for: record, call) { pod in
                let members = try store.members(of: pod)
                let whole = members.filter { $0.phase == .ready && $0.owner == nil && !isRunning($0.id) }
                return PodMachines.Members(
                    limits: members.map(\.spec.resources),
                    seats: PlatformMonitor.addsDisks ? [] : try whole.map { try seat(of: $0, .log) })
            }
            defer { hold.lock.unlock() }
            return try body(machine)
        }

        /// Starts the container's process, in a machine that boots for it or in its pod's. Undone when it throws.
        func begin(_ record: inout ContainerRecord, _ output: Output, _ pod: PodMachine?, _ call: Call) throws
            -> Machine
        {
            let before = record
            let monitor = try pod == nil ? hypervisor.monitor(of: record.id, call) : nil
            record.run = newRun()
            record.lastStart = record.run?.startedAt
            record.exit = nil
            try store.save(record, sync: false)
            do {
                let machine: Machine
                if let pod {
                    machine = try join(record, pod, output, call)
                } else if let monitor {
                    machine = try boot(record, monitor, output, call)
                } else {
                    throw KinaError(.internal, "container '\(record.name)' has no machine to start in")
                }
                add(machine)
                follow(machine)
                spreadNames(of: record)
                journal.append(.container, "start", id: record.id, name: record.name)
                return machine
            } catch {
                if case .streams(let own) = output { own.abandon() }
                let user = before.spec.user ?? before.imageConfig.user
                throw undo(KinaError.naming(user: user, in: error)) {
                    monitor?.power.leaveNothing()
                    published.withdraw(before.id)
                    try networks.disconnect(before.id)
                    record = before
                    try store.save(before, sync: false)
                }
            }
        }

        private func streams(of record: ContainerRecord, _ output: Output) throws -> (ProcessStreams, InputFeed?) {
            if case .streams(let own) = output { return (own, nil) }
            let log = try MachineLog(log(record.id), limit: record.spec.logLimit)
            let input = record.spec.stdin ? InputFeed() : nil
            let streams = ProcessStreams(
                stdin: input, stdout: log.writer(.stdout), stderr: record.spec.terminal ? nil : log.writer(.stderr))
            return (streams, input)
        }

        private func root(of record: ContainerRecord) -> Containerization.Mount {
            .block(
                format: "ext4", source: root(record.id), destination: "/",
                options: record.spec.readOnlyRoot ? ["ro"] : [])
        }

        // MARK: A machine of its own

        private func boot(
            _ record: ContainerRecord, _ monitor: (manager: any VirtualMachineManager, power: Power), _ output: Output,
            _ call: Call
        ) throws -> Machine {
            let (streams, input) = try streams(of: record, output)
            let interfaces = try networks.connect(record)
            let hosts = try hosts(of: record)
            let log = try BootLog.open(in: directory(record.id))
            let configuration = try Configuration(record: record).container(
                streams, interfaces, nameservers: networks.nameservers(record), hosts: hosts, bootLog: log)
            if let address = record.addresses.first {
                try published.publish(record.ports, of: record.id, at: address.address)
            }
            let container: LinuxContainer
            do {
                container = try LinuxContainer(
                    record.id, rootfs: root(of: record), vmm: monitor.manager, configuration: configuration)
            } catch { throw KinaError(guest: error, "preparing container '\(record.name)'") }
            let power = monitor.power
            do {
                try starting(call, "container '\(record.name)' to start", bootLog: log) {
                    try await container.create()
                    try await container.withVirtualMachineInstance { power.isOn(in: $0) }
                    try await container.start()
                }
                return try Machine(record.id, container, power, streams, input, hosts: hosts)
            } catch {
                throw undo(error) { try power.off("'\(record.name)'") { try await container.stop() } }
            }
        }

        // MARK: A pod's machine

        /// A place in a machine that boots, or has booted.
        private func seat(of record: ContainerRecord, _ output: Output) throws -> PodMachine.Seat {
            let (streams, input) = try streams(of: record, output)
            let hosts = try hosts(of: record)
            let configuration = try Configuration(record: record).member(
                streams, nameservers: networks.nameservers(record), hosts: hosts)
            return PodMachine.Seat(
                container: record.id, root: root(of: record), configuration: configuration, streams: streams,
                input: input, hosts: hosts)
        }

        private func join(_ record: ContainerRecord, _ pod: PodMachine, _ output: Output, _ call: Call) throws
            -> Machine
        {
            let kept: (PodMember, PodMachine.Seat)? =
                if case .log = output { pod.takeSeat(of: record.id) } else { nil }
            let seat = try kept?.1 ?? seat(of: record, output)
            let member = kept?.0 ?? pod.newMember(record.id)
            do {
                try starting(call, "container '\(record.name)' to start", bootLog: pod.bootLog) {
                    if kept == nil { try await member.join(seat) }
                    try await member.start(seat)
                }
                return try Machine(record.id, member, nil, seat.streams, seat.input, hosts: seat.hosts)
            } catch {
                seat.streams.abandon()
                throw undo(error) { try member.leave(record.name) }
            }
        }

        // MARK: Its end

        /// Tells the container's end, and settles it when nobody else does.
        private func follow(_ machine: Machine) {
            machine.streams.pace { [guest = machine.guest] in try await guest.waitForEnd() }
            Task.detached { [self] in
                let exit: KinaCore.ExitStatus
                do {
                    let status = try await machine.guest.wait()
                    await machine.streams.flush()
                    let kills = try? await machine.guest.statistics(categories: .memoryEvents).memoryEvents?.oomKill
                    exit = KinaCore.ExitStatus(guest: status, outOfMemory: (kills ?? 0) > 0)
                } catch {
                    exit = .lost
                }
                machine.finish(exit)
                // Locks block: not on Swift's own threads.
                Thread { [self] in settle(machine) }.start()
            }
        }

        private func settle(_ machine: Machine) {
            do {
                try locked(machine.id, .unbounded) { record in
                    guard self.machine(machine.id) === machine else { return }
                    try end(&record, machine)
                    if record.spec.remove { try destroy(&record) }
                }
            } catch let error as KinaError where error.code == .notFound {
            } catch {
                warn("settling container \(machine.id): \(error)")
            }
            if machine.exit?.reason == .lost, let member = machine.guest as? PodMember {
                examine(member.machine.pod.id)
            }
        }

        /// A pod whose machine is gone is down, and its neighbours hear of it.
        private func examine(_ pod: String) {
            do {
                guard try pods.examine(pod), let record = try pods.store.load(pod) else { return }
                spreadNames(of: record)
                journal.append(.pod, "stop", id: record.id, name: record.name, ["reason": "lost"])
            } catch let error as KinaError where error.code == .notFound {
            } catch {
                warn("ending the machine of pod \(pod): \(error)")
            }
        }

        /// Ends a run: the container, with its machine and network if they are its own, then the record says how.
        func end(_ record: inout ContainerRecord, _ machine: Machine) throws {
            let processes = machine.processes
            for process in processes {
                process.finish(.lost)
                process.streams.abandon()
            }
            try machine.leave(record.name)
            if record.podID != nil { letGo(of: processes, record.name) }
            machine.input?.end()
            machine.streams.abandon()
            let exit = machine.exit ?? KinaCore.ExitStatus(exitCode: 137, reason: .signaled, finishedAt: Clock.now())
            machine.finish(exit)
            published.withdraw(record.id)
            try networks.disconnect(record.id)
            record.exit = exit
            record.run = nil
            try store.save(record, sync: false)
            remove(record.id)
            if record.podID == nil { spreadNames(of: record) }
            var attributes = ["reason": exit.reason.rawValue]
            attributes["exitCode"] = exit.exitCode.map { "\($0)" }
            if exit.reason == .oom { journal.append(.container, "oom", id: record.id, name: record.name) }
            journal.append(.container, "die", id: record.id, name: record.name, attributes)
        }

        /// What the host keeps for further processes; a machine of a container's own lets go of it at its end.
        private func letGo(of processes: [MachineProcess], _ name: String) {
            if processes.isEmpty { return }
            try? blocking(.unbounded.within(ms: 10_000), for: "the processes of '\(name)'", patienceMs: 1000) {
                for process in processes { try? await process.process.delete() }
            }
        }
    }

    /// A guest may hang for ever while it boots or starts something (seen on Linux): no longer than this, which leaves
    /// time for machines that are emulated in software.
    private let startLimitMs: Int64 = 180_000

    /// Runs a boot or a start, within the call and a limit of kina-vmd's own.
    ///
    /// When that is over, the machine has the time that a boot takes to come up all the same, and is then stopped: a
    /// boot that is cancelled asks for its guest without a pause, see `blocking`.
    func starting(
        _ call: Call, _ waitedFor: String, bootLog: String, _ work: @escaping @Sendable () async throws -> Void
    ) throws {
        do {
            try blocking(call.within(ms: startLimitMs), for: waitedFor, graceMs: 60_000, work)
        } catch var error as KinaError where error.code == .deadlineExceeded {
            error.hint = "see how far the guest came in \(bootLog); allow more time, or start less at once"
            throw error
        }
    }
#endif
