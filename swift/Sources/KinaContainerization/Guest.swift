#if Containerization
    import Containerization
    import ContainerizationOS
    import KinaCore
    import Synchronization

    /// A container as its machine knows it: one with a machine of its own, or a pod's member.
    protocol Guest: Sendable {
        /// By which the machine knows it.
        var id: String { get }
        /// Where its root is in the machine.
        var guestRoot: String { get }

        /// Ends it, with the machine if that is its own, and frees what the host holds of it.
        func stop() async throws
        func kill(_ signal: Signal) async throws
        func wait() async throws -> Containerization.ExitStatus
        func exec(_ id: String, configuration: LinuxProcessConfiguration) async throws -> LinuxProcess
        func resize(to: Terminal.Size) async throws
        func statistics(categories: StatCategory) async throws -> ContainerStatistics
        func withVirtualMachineInstance<T: Sendable>(
            _ body: @Sendable (any VirtualMachineInstance) async throws -> T
        ) async throws -> T
    }

    extension LinuxContainer: Guest {
        var guestRoot: String { GuestPaths.root(id) }
        func wait() async throws -> Containerization.ExitStatus { try await wait(timeoutInSeconds: nil) }
    }

    /// A container in a pod's machine. It starts once: to start again is to be another one, of another id.
    struct PodMember: Guest {
        let machine: PodMachine
        /// By which kina knows it.
        let container: String
        /// By which the machine knows it.
        let id: String

        var guestRoot: String { GuestPaths.root(id) }
        private var pod: LinuxPod { machine.pod }

        /// Beside those that the machine booted with; where it can't be, UNIMPLEMENTED says so.
        func join(_ seat: PodMachine.Seat) async throws {
            do { try await pod.addContainer(id, rootfs: seat.root) { $0 = seat.configuration } } catch {
                machine.forget(self)
                throw error
            }
        }

        /// Undone when it throws.
        func start(_ seat: PodMachine.Seat) async throws {
            do {
                try machine.takeStreams(seat.configuration.process.streams)
                try await pod.startContainer(id)
            } catch {
                // LinuxPod takes the disk of one that never ran away while the guest has it mounted still.
                try? await withAgent { try await $0.umount(path: guestRoot, flags: 0) }
                try? await stop()
                throw error
            }
        }

        /// Idempotent.
        func stop() async throws {
            guard machine.has(self) else { return }
            do { try await pod.stopContainer(id) } catch {
                machine.forget(self, isStuck: true)
                throw error
            }
            machine.forget(self)
        }

        func kill(_ signal: Signal) async throws { try await pod.killContainer(id, signal: signal) }
        func wait() async throws -> Containerization.ExitStatus { try await pod.waitContainer(id) }
        func resize(to size: Terminal.Size) async throws { try await pod.resizeContainer(id, to: size) }

        func exec(_ process: String, configuration: LinuxProcessConfiguration) async throws -> LinuxProcess {
            try machine.takeStreams(configuration.streams)
            return try await pod.execInContainer(id, processID: process) { $0 = configuration }
        }

        func statistics(categories: StatCategory) async throws -> ContainerStatistics {
            guard let found = try await pod.statistics(containerIDs: [id], categories: categories).first else {
                throw KinaError(.unavailable, "the guest knows no figures of container \(container)")
            }
            return found
        }

        func withVirtualMachineInstance<T: Sendable>(
            _ body: @Sendable (any VirtualMachineInstance) async throws -> T
        ) async throws -> T {
            try await pod.withVirtualMachineInstance(body)
        }
    }

    extension Guest {
        /// Stops it in a machine that goes on. One that has failed refuses to be stopped, and is out of it.
        func leave(_ name: String) throws {
            do {
                try blocking(.unbounded.within(ms: 60_000), for: "'\(name)' to leave its pod's machine") {
                    try await stop()
                }
            } catch let error as KinaError where error.code != .deadlineExceeded {}
        }

        /// Returns when a process has ended, whatever is left of its output; without an id, the container's own.
        func waitForEnd(of process: String? = nil) async throws {
            _ = try await withAgent {
                try await $0.waitProcess(id: process ?? id, containerID: id, timeoutInSeconds: nil)
            }
        }

        /// A connection to the guest's agent, for the while.
        func withAgent<T: Sendable>(
            _ body: @escaping @Sendable (any VirtualMachineAgent) async throws -> T
        ) async throws -> T {
            try await withVirtualMachineInstance { try await $0.asking(body) }
        }
    }

    /// What ends a machine, also one whose guest does not answer: Containerization would wait for it.
    final class Power: Sendable {
        private let room: PlatformMonitor.Room
        private let machine = Mutex<(any VirtualMachineInstance)?>(nil)

        init(_ room: PlatformMonitor.Room) { self.room = room }

        func isOn(in machine: any VirtualMachineInstance) { self.machine.withLock { $0 = machine } }

        /// Of a machine that was never made: its room was.
        func leaveNothing() { room.clear() }

        /// Stops a machine by `stop`, which asks its guest, and otherwise from without.
        func off(_ name: String, _ stop: @escaping @Sendable () async throws -> Void) throws {
            defer { leaveNothing() }
            let waitedFor = "the machine of \(name) to stop"
            do {
                do {
                    try blocking(.unbounded.within(ms: 60_000), for: waitedFor, patienceMs: 1000, stop)
                } catch let error as KinaError where error.code == .deadlineExceeded {
                    try room.cutPower(of: machine.withLock { $0 })
                    // What it waited for fails now, and it goes on to free what it holds.
                    try blocking(.unbounded.within(ms: 30_000), for: waitedFor, stop)
                }
            } catch let error as KinaError where error.code != .deadlineExceeded {
                // One that has failed refuses to be stopped, having stopped its machine.
            }
        }
    }

    extension VirtualMachineInstance {
        /// A connection to the guest's agent, for the while.
        func asking<T: Sendable>(
            _ body: @escaping @Sendable (any VirtualMachineAgent) async throws -> T
        ) async throws -> T {
            let agent = try await dialAgent()
            do {
                let result = try await body(agent)
                try await agent.close()
                return result
            } catch {
                try? await agent.close()
                throw error
            }
        }
    }

    extension LinuxProcessConfiguration {
        fileprivate var streams: Int { (stdin == nil ? 0 : 1) + (stdout == nil ? 0 : 1) + (stderr == nil ? 0 : 1) }
    }

    enum GuestPaths {
        /// Where the root of a container is in its guest.
        static func root(_ id: String) -> String { "/run/container/\(id)/rootfs" }
    }
#endif
