#if Containerization
    import Containerization
    import Foundation
    import KinaCore
    import Synchronization

    /// How something ended: told once.
    final class End: Sendable {
        /// Readable once it was told.
        let descriptor: FileDescriptor
        private let state: Mutex<(exit: KinaCore.ExitStatus?, write: FileDescriptor?)>

        init() throws {
            let (read, write) = try doing("making a pipe") { try FileDescriptor.pipe() }
            descriptor = read
            state = Mutex((nil, write))
        }

        var exit: KinaCore.ExitStatus? { state.withLock { $0.exit } }

        /// Whoever waits is woken by the pipe's end.
        func tell(_ exit: KinaCore.ExitStatus) {
            state.withLock {
                guard $0.exit == nil else { return }
                $0.exit = exit
                $0.write = nil
            }
        }
    }

    /// What runs until it ends.
    protocol Ending: Sendable {
        var end: End { get }
    }

    extension Ending {
        var exit: KinaCore.ExitStatus? { end.exit }
        /// Readable once it has ended.
        var ended: FileDescriptor { end.descriptor }
        func finish(_ exit: KinaCore.ExitStatus) { end.tell(exit) }
    }

    /// A container in a virtual machine while it runs. It belongs to this process, and so does what is known of it.
    final class Machine: Ending {
        let id: String
        let guest: any Guest
        /// Of the machine, where it is the container's own.
        let power: Power?
        let streams: ProcessStreams
        /// What `attach` writes to.
        let input: InputFeed?
        let startedAt: Int64
        let isPaused = Mutex(false)
        /// What its hosts file says, changed by one at a time.
        let hostsText: Mutex<String>
        let hostsLock = NSLock()
        private let copies = Mutex<UInt32>(0)
        private let processesBox = Mutex<[String: MachineProcess]>([:])
        /// Of the container's process.
        let end: End

        init(
            _ id: String, _ guest: any Guest, _ power: Power?, _ streams: ProcessStreams, _ input: InputFeed?,
            hosts: Hosts
        ) throws {
            self.id = id
            hostsText = Mutex(hosts.text)
            self.guest = guest
            self.power = power
            self.streams = streams
            self.input = input
            startedAt = Clock.now()
            end = try End()
        }

        /// The container, where the machine is its own; UNIMPLEMENTED for a pod's member.
        func lone(to verb: String, _ record: ContainerRecord, hint: String) throws -> LinuxContainer {
            guard let container = guest as? LinuxContainer else {
                throw KinaError(
                    .unimplemented, "can't \(verb) container '\(record.name)': its machine is its pod's", hint: hint)
            }
            return container
        }

        /// The port of a machine's next copy. Containerization numbers its streams upwards from the first; on Linux
        /// there are 16 for all, which are taken from the other end.
        func nextCopyPort() -> UInt32 {
            copies.withLock { count in
                defer { count += 1 }
                #if os(Linux)
                    return 0x1000_000F - count
                #else
                    return 0x2000_0000 + count
                #endif
            }
        }

        // MARK: Its end

        /// Takes the container out of what it runs in: its own machine, which goes, or its pod's.
        func leave(_ name: String) throws {
            if let power {
                try power.off("'\(name)'") { [guest] in try await guest.stop() }
            } else {
                try guest.leave(name)
            }
        }

        // MARK: Further processes

        func add(_ process: MachineProcess) { processesBox.withLock { $0[process.id] = process } }
        func process(_ id: String) -> MachineProcess? { processesBox.withLock { $0[id] } }
        func remove(_ id: String) -> MachineProcess? { processesBox.withLock { $0.removeValue(forKey: id) } }
        var processes: [MachineProcess] { processesBox.withLock { Array($0.values) } }
    }

    /// A further process in a container.
    final class MachineProcess: Ending {
        let id: String
        let process: LinuxProcess
        private let guest: any Guest
        let streams: ProcessStreams
        let hasTerminal: Bool
        let timedOut = Mutex(false)
        let end: End

        init(
            _ id: String, _ process: LinuxProcess, in guest: any Guest, _ streams: ProcessStreams, hasTerminal: Bool
        ) throws {
            self.id = id
            self.process = process
            self.guest = guest
            self.streams = streams
            self.hasTerminal = hasTerminal
            end = try End()
        }

        /// Kills it with what it has started. It leads a session; what has made one of its own since goes on: the agent
        /// knows no more of it than its number.
        func killAll() async {
            let pid = process.pid
            if pid > 1 { _ = try? await guest.withAgent { try await $0.kill(pid: -pid, signal: SIGKILL) } }
            try? await process.kill(.kill)
        }

        /// Follows it to its end, and past its time no further.
        func watch(timeoutMs: Int64?) {
            Task.detached { [self] in
                do {
                    let status = try await process.wait()
                    // A reader that takes its time is no reason to call it late.
                    let isLate = timedOut.withLock { $0 }
                    await streams.flush()
                    finish(KinaCore.ExitStatus(guest: status, timedOut: isLate))
                } catch {
                    finish(.lost)
                }
            }
            guard let timeoutMs else { return }
            Task.detached { [self] in
                try? await Task.sleep(nanoseconds: UInt64(timeoutMs) * 1_000_000)
                guard exit == nil else { return }
                timedOut.withLock { $0 = true }
                await killAll()
            }
        }
    }

    extension KinaCore.ExitStatus {
        static var lost: Self { Self(exitCode: nil, reason: .lost, finishedAt: Clock.now()) }

        /// The guest reports a signal as a shell does.
        init(guest status: Containerization.ExitStatus, timedOut: Bool = false, outOfMemory: Bool = false) {
            let code = status.exitCode
            let reason: Reason =
                if timedOut { .timeout } else if outOfMemory, code == 128 + SIGKILL {
                    .oom
                } else if (129...192)
                    .contains(code)
                {
                    .signaled
                } else {
                    .exited
                }
            self.init(
                exitCode: code, reason: reason, finishedAt: Int64(status.exitedAt.timeIntervalSince1970 * 1e9))
        }
    }
#endif
