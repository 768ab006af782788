#if Containerization
    import Containerization
    import Foundation
    import KinaCore

    extension MachineContainers {
        // MARK: Starting

        func start(_ reference: String, _ call: Call) throws -> ContainerStatus {
            try locked(reference, call) { record in
                try record.requireWhole()
                if let machine = machine(record.id) {
                    guard machine.exit != nil else {
                        throw KinaError(
                            .failedPrecondition, "container '\(record.name)' is running already",
                            hint: "stop it first, or use restart")
                    }
                    try end(&record, machine)
                }
                let log = try MachineLog(log(record.id), limit: record.spec.logLimit)
                let input = record.spec.stdin ? InputFeed() : nil
                let streams = ProcessStreams(
                    stdin: input, stdout: log.writer(.stdout),
                    stderr: record.spec.terminal ? nil : log.writer(.stderr))
                _ = try begin(&record, streams, input, call)
                return status(record)
            }
        }

        /// Boots the machine and starts the container's process. Undone when it throws.
        func begin(
            _ record: inout ContainerRecord, _ streams: ProcessStreams, _ input: InputFeed?, _ call: Call
        ) throws -> Machine {
            let before = record
            let manager = try hypervisor.use(call)
            record.run = newRun()
            record.lastStart = record.run?.startedAt
            record.exit = nil
            try store.save(record, sync: false)
            do {
                let machine = try boot(record, manager, streams, input, call)
                add(machine)
                follow(machine)
                spreadNames(of: record)
                journal.append(.container, "start", id: record.id, name: record.name)
                return machine
            } catch {
                streams.abandon()
                throw undo(error) {
                    published.withdraw(before.id)
                    try networks.disconnect(before.id)
                    record = before
                    try store.save(before, sync: false)
                }
            }
        }

        private func boot(
            _ record: ContainerRecord, _ manager: any VirtualMachineManager, _ streams: ProcessStreams,
            _ input: InputFeed?, _ call: Call
        ) throws -> Machine {
            let interfaces = try networks.connect(record)
            let hosts = try hosts(of: record)
            let configuration = try Configuration(record: record).container(
                streams, interfaces, nameservers: networks.nameservers(record), hosts: hosts,
                bootLog: try bootLog(record))
            if let address = record.addresses.first {
                try published.publish(record.ports, of: record.id, at: address.address)
            }
            var root = Containerization.Mount.block(
                format: "ext4", source: root(record.id), destination: "/",
                options: record.spec.readOnlyRoot ? ["ro"] : [])
            if record.spec.readOnlyRoot { root.options = ["ro"] }
            let container: LinuxContainer
            do {
                container = try LinuxContainer(record.id, rootfs: root, vmm: manager, configuration: configuration)
            } catch { throw KinaError(guest: error, "preparing container '\(record.name)'") }
            do {
                try blocking(call, for: "container '\(record.name)' to start") {
                    try await container.create()
                    try await container.start()
                }
                return try Machine(record.id, container, streams, input, hosts: hosts)
            } catch {
                throw undo(error) { try halt(container, record.name) }
            }
        }

        /// The guest's kernel speaks here: private, since programs' output may be in it.
        private func bootLog(_ record: ContainerRecord) throws -> String {
            let path = "\(directory(record.id))/boot.log"
            _ = try doing("opening \(path)") { try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC) }
            return path
        }

        /// Stops what may be half up: a container that has failed refuses to be stopped, having stopped its machine.
        private func halt(_ container: LinuxContainer, _ name: String) throws {
            do {
                try blocking(.unbounded.within(ms: 60_000), for: "the machine of '\(name)' to stop") {
                    try await container.stop()
                }
            } catch let error as KinaError where error.code != .deadlineExceeded {}
        }

        /// Tells the machine's end, and settles it when nobody else does.
        private func follow(_ machine: Machine) {
            Task.detached { [self] in
                let exit: KinaCore.ExitStatus
                do {
                    let status = try await machine.container.wait()
                    let kills = try? await machine.container.statistics(categories: .memoryEvents).memoryEvents?.oomKill
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
        }

        /// Ends a run: machine, network, then the record says how.
        func end(_ record: inout ContainerRecord, _ machine: Machine) throws {
            for process in machine.processes {
                process.finish(.lost)
                process.streams.abandon()
            }
            try halt(machine.container, record.name)
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
            spreadNames(of: record)
            var attributes = ["reason": exit.reason.rawValue]
            attributes["exitCode"] = exit.exitCode.map { "\($0)" }
            if exit.reason == .oom { journal.append(.container, "oom", id: record.id, name: record.name) }
            journal.append(.container, "die", id: record.id, name: record.name, attributes)
        }

        // MARK: Stopping

        func stop(_ reference: String, timeoutMs: Int64?, _ call: Call) throws -> ContainerStatus {
            try locked(reference, call) { record in
                try record.requireWhole()
                guard let machine = machine(record.id) else { return status(record) }
                let configured = record.imageConfig.stopSignal
                let name = record.spec.stopSignal ?? (configured.isEmpty ? "TERM" : configured)
                let number = try Signals.number(of: name, field: "stopSignal")
                if machine.isPaused.withLock({ $0 }) { try setPaused(machine, false, record.name, call) }
                let grace = timeoutMs ?? Int64(record.spec.stopTimeout * 1000)
                let graceful =
                    try machine.exit != nil
                    || (send(number, to: machine, record.name, call) && waits(machine, grace, call))
                if !graceful, try send(SIGKILL, to: machine, record.name, call) { _ = try waits(machine, 5_000, call) }
                try end(&record, machine)
                journal.append(.container, "stop", id: record.id, name: record.name)
                return status(record)
            }
        }

        /// false: it has ended by now.
        private func send(_ number: Int32, to machine: Machine, _ name: String, _ call: Call) throws -> Bool {
            do {
                try blocking(call, for: "container '\(name)' to take signal \(number)") {
                    try await machine.container.kill(Signal(rawValue: number))
                }
                return true
            } catch let error as KinaError where machine.exit != nil && error.code != .cancelled {
                return false
            }
        }

        /// false when it still runs after the time.
        private func waits(_ machine: Machine, _ ms: Int64, _ call: Call) throws -> Bool {
            do {
                try call.within(ms: ms).waitReadable(machine.ended.raw, for: "the container to end")
                return true
            } catch let error as KinaError where error.code == .deadlineExceeded {
                try call.check("the container to end")
                return false
            }
        }

        func signal(_ reference: String, _ number: Int32, _ call: Call) throws {
            let (record, machine) = try running(reference, to: "kill")
            _ = try send(number, to: machine, record.name, call)
            journal.append(.container, "kill", id: record.id, name: record.name, ["signal": "\(number)"])
        }

        func waitForEnd(_ reference: String, _ call: Call) throws -> KinaCore.ExitStatus {
            let record = try store.find(reference)
            if let machine = machine(record.id) {
                try call.waitReadable(machine.ended.raw, for: "container '\(record.name)' to end")
                // Until its record says so too: who comes back from here may start it again.
                for _ in 0..<600 where self.machine(record.id) === machine {
                    try call.sleep(ms: 50, for: "the machine of '\(record.name)' to stop")
                }
                if let exit = machine.exit { return exit }
            }
            guard let now = try store.load(record.id) else {
                throw KinaError(.notFound, "container '\(reference)' was deleted while it was waited for")
            }
            guard let exit = status(now).exit else {
                throw KinaError(
                    .failedPrecondition, "container '\(now.name)' has never run", hint: "start it first",
                    details: ["state": "created"])
            }
            return exit
        }

        // MARK: Pausing and limits

        func pause(_ reference: String, _ call: Call) throws -> ContainerStatus {
            try change(reference, toPaused: true, "pause", call)
        }

        func resume(_ reference: String, _ call: Call) throws -> ContainerStatus {
            try change(reference, toPaused: false, "resume", call)
        }

        private func change(_ reference: String, toPaused: Bool, _ verb: String, _ call: Call) throws
            -> ContainerStatus
        {
            try locked(reference, call) { record in
                let (_, machine) = try running(record.id, to: verb)
                guard machine.isPaused.withLock({ $0 }) != toPaused else {
                    throw KinaError(
                        .failedPrecondition,
                        "can't \(verb) container '\(record.name)': it is \(toPaused ? "paused already" : "not paused")")
                }
                try setPaused(machine, toPaused, record.name, call)
                if !toPaused { spreadNames(of: record) }
                journal.append(.container, verb, id: record.id, name: record.name)
                return status(record)
            }
        }

        private func setPaused(_ machine: Machine, _ paused: Bool, _ name: String, _ call: Call) throws {
            try blocking(call, for: "the machine of '\(name)' to \(paused ? "pause" : "resume")") {
                try await machine.container.withVirtualMachineInstance {
                    if paused { try await $0.pause() } else { try await $0.resume() }
                }
            }
            machine.isPaused.withLock { $0 = paused }
        }

        /// A machine's size is given to it when it boots.
        func update(_ reference: String, _ resources: ResourcesSpec, _ call: Call) throws -> ContainerStatus {
            try resources.validate()
            return try locked(reference, call) { record in
                try record.requireWhole()
                if machine(record.id) != nil {
                    throw KinaError(
                        .unimplemented,
                        "can't update container '\(record.name)' while it runs: a virtual machine's size is fixed",
                        hint: "stop it, update it, and start it again")
                }
                var spec = record.spec
                spec.resources.cpus = resources.cpus ?? spec.resources.cpus
                spec.resources.memory = resources.memory ?? spec.resources.memory
                try spec.validate()
                var wanted = spec
                wanted.resources = resources
                try Limits.check(wanted)
                record.spec = spec
                try store.save(record)
                journal.append(.container, "update", id: record.id, name: record.name)
                return status(record)
            }
        }

        // MARK: At one go

        /// Creates, starts, waits and deletes, with the caller's own streams.
        func run(_ spec: ContainerSpec, _ streams: Streams, _ call: Call) throws -> KinaCore.ExitStatus {
            let made = try make(spec, call)
            do {
                let machine = try locked(made.id, call) { record in
                    try begin(
                        &record, try ProcessStreams(streams, terminal: spec.terminal), nil, call)
                }
                let exit = try waitForEnd(made.id, call)
                _ = machine
                try delete(made.id, force: true, .unbounded.within(ms: 60_000))
                return exit
            } catch {
                throw undo(error) {
                    do { try delete(made.id, force: true, .unbounded.within(ms: 60_000)) } catch let gone as KinaError
                        where gone.code == .notFound
                    {}
                }
            }
        }

        /// conmon's notice; machines have none.
        func exited(_ id: String) throws {}
    }
#endif
