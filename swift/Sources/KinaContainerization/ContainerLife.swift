#if Containerization
    import Containerization
    import Foundation
    import KinaCore

    extension MachineContainers {
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
                    try await machine.guest.kill(Signal(rawValue: number))
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
                _ = try machine.lone(to: verb, record, hint: "stop it, or stop the pod: a machine pauses as a whole")
                try setPaused(machine, toPaused, record.name, call)
                if !toPaused { spreadNames(of: record) }
                journal.append(.container, verb, id: record.id, name: record.name)
                return status(record)
            }
        }

        private func setPaused(_ machine: Machine, _ paused: Bool, _ name: String, _ call: Call) throws {
            try blocking(call, for: "the machine of '\(name)' to \(paused ? "pause" : "resume")") {
                try await machine.guest.withVirtualMachineInstance {
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
                try inside(made, call) { pod in
                    try locked(made.id, call) { record in
                        let own = try ProcessStreams(streams, terminal: spec.terminal)
                        _ = try begin(&record, .streams(own), pod, call)
                    }
                }
                let exit = try waitForEnd(made.id, call)
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
