#if Containerization
    import Containerization
    import ContainerizationOS
    import Foundation
    import KinaCore

    /// Further processes in containers. A machine knows its own; they end with it.
    final class MachineProcesses: ProcessBackend {
        private let containers: MachineContainers
        private let journal: Journal

        init(_ containers: MachineContainers, _ journal: Journal) {
            self.containers = containers
            self.journal = journal
        }

        func create(_ container: String, _ spec: ProcessSpec, _ streams: Streams, _ call: Call) throws -> String {
            try spec.validate()
            let (record, machine) = try containers.running(container, to: "exec in")
            let id = Identifier.random()
            let kept = try ProcessStreams(streams, terminal: spec.terminal)
            let configuration = try Configuration(record: record).process(spec, kept)
            let what = "'\(spec.args[0])' to start in container '\(record.name)'"
            let process: LinuxProcess
            do {
                process = try blocking(call, for: what) {
                    let process = try await machine.guest.exec(id, configuration: configuration)
                    // A failed exec would leave its process behind in the guest's agent.
                    do { try await process.start() } catch {
                        try? await process.delete()
                        throw error
                    }
                    return process
                }
            } catch {
                kept.abandon()
                throw KinaError.naming(user: spec.user ?? record.spec.user ?? record.imageConfig.user, in: error)
            }
            let known = try MachineProcess(id, process, in: machine.guest, kept, hasTerminal: spec.terminal)
            machine.add(known)
            kept.pace { [guest = machine.guest] in try await guest.waitForEnd(of: id) }
            known.watch(timeoutMs: spec.timeoutMs)
            journal.append(
                .container, "exec", id: record.id, name: record.name, ["process": id, "command": spec.args[0]])
            return id
        }

        func wait(_ container: String, _ process: String?, _ call: Call) throws -> KinaCore.ExitStatus {
            guard let process else { return try containers.waitForEnd(container, call) }
            let (name, known) = try find(container, process)
            try call.waitReadable(known.ended.raw, for: "process \(process) in container '\(name)' to end")
            return known.exit ?? .lost
        }

        func kill(_ container: String, _ process: String?, signal: String, _ call: Call) throws {
            let number = try Signals.number(of: signal)
            guard let process else { return try containers.signal(container, number, call) }
            let (name, known) = try find(container, process)
            if known.exit != nil { return }
            try blocking(call, for: "process \(process) in '\(name)' to take signal \(number)") {
                try await known.process.kill(Signal(rawValue: number))
            }
        }

        func resize(_ container: String, _ process: String?, rows: Int, columns: Int) throws {
            let size = Terminal.Size(width: UInt16(clamping: columns), height: UInt16(clamping: rows))
            guard let process else {
                let (record, machine) = try containers.running(container, to: "resize the terminal of")
                guard record.spec.terminal else {
                    throw KinaError(
                        .failedPrecondition, "container '\(record.name)' has no terminal",
                        hint: "create it with terminal")
                }
                return try blocking(.unbounded.within(ms: 10_000), for: "the terminal of '\(record.name)'") {
                    try await machine.guest.resize(to: size)
                }
            }
            let (name, known) = try find(container, process)
            guard known.hasTerminal else {
                throw KinaError(
                    .failedPrecondition, "process \(process) in '\(name)' has no terminal",
                    hint: "start it with terminal")
            }
            try blocking(.unbounded.within(ms: 10_000), for: "the terminal of process \(process)") {
                try await known.process.resize(to: size)
            }
        }

        /// Idempotent: ends it if it runs, and forgets it.
        func delete(_ container: String, _ process: String) throws {
            guard let id = try containers.store.id(of: container), let machine = containers.machine(id),
                let known = machine.remove(process)
            else { return }
            known.streams.abandon()
            if machine.exit != nil { return }
            do {
                try blocking(.unbounded.within(ms: 20_000), for: "process \(process) to end") {
                    if known.exit == nil {
                        await known.killAll()
                        _ = try? await known.process.wait(timeoutInSeconds: 10)
                    }
                    try await known.process.delete()
                }
            } catch let error as KinaError {
                // The machine may end meanwhile, and its processes with it.
                if machine.exit == nil, error.code == .deadlineExceeded { throw error }
            }
            known.finish(.lost)
        }

        private func find(_ container: String, _ process: String) throws -> (String, MachineProcess) {
            let record = try containers.store.find(container)
            guard let known = containers.machine(record.id)?.process(process) else {
                throw KinaError.notFound(
                    "process", process, hint: "a process is known until it is deleted or its container ends")
            }
            return (record.name, known)
        }
    }
#endif
