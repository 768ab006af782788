#if Containerization
    import Containerization
    import KinaCore
    import Synchronization

    /// A pod's virtual machine, from the start of its first container until the pod stops: containers come and go in it.
    /// It belongs to this process.
    final class PodMachine: Sendable {
        /// What a container needs to have a place in the machine.
        struct Seat: Sendable {
            /// kina's id of the container.
            let container: String
            let root: Containerization.Mount
            let configuration: LinuxPod.ContainerConfiguration
            let streams: ProcessStreams
            let input: InputFeed?
            let hosts: Hosts
        }

        private struct State {
            /// Those that it booted with and that have not started yet.
            var waiting: [String: Seat] = [:]
            /// How often each container has been in it.
            var runs: [String: Int] = [:]
            /// Those that are in it now.
            var present: Set<String> = []
            /// Those whose files could not be freed.
            var stuck: Set<String> = []
            /// Streams that its processes have had.
            var streams = 0
            var isDead = false

            func hasStreams(_ count: Int) -> Bool {
                PlatformMonitor.streams.map { streams + count <= $0 } ?? true
            }
        }

        let pod: LinuxPod
        let power: Power
        let bootLog: String
        private let state: Mutex<State>

        /// `seats`: of those that it boots with.
        init(_ pod: LinuxPod, _ power: Power, bootLog: String, _ seats: [Seat]) {
            self.pod = pod
            self.power = power
            self.bootLog = bootLog
            var state = State()
            for seat in seats {
                state.waiting[seat.container] = seat
                state.runs[seat.container] = 1
            }
            self.state = Mutex(state)
        }

        /// It was found not to answer any more.
        var isDead: Bool { state.withLock { $0.isDead } }
        func die() { state.withLock { $0.isDead = true } }

        /// Why the container can't be started in it as it is; nil where it can.
        func refusal(_ container: ContainerRecord) -> KinaError? {
            let (hasPlace, hasStreams) = state.withLock {
                (
                    !$0.stuck.contains(container.id) && (PlatformMonitor.addsDisks || $0.waiting[container.id] != nil),
                    $0.hasStreams(Self.mostStreams)
                )
            }
            if hasPlace { return hasStreams ? nil : Self.noStreams }
            return KinaError(
                .unimplemented,
                "container '\(container.name)' can't come into its pod's machine while others run in it",
                hint: "create all of a pod's containers before the first one starts; or stop the pod and start it")
        }

        /// Whether somebody else is in it.
        func isUsed(except container: String) -> Bool {
            state.withLock { !$0.present.subtracting([container]).isEmpty }
        }

        private static let mostStreams = 3
        private static var noStreams: KinaError {
            KinaError(
                .resourceExhausted, "the pod's machine has no streams left for further processes",
                hint: "stop the pod and start it: a machine has \(PlatformMonitor.streams ?? 0) in its life here")
        }

        /// Before a process starts: Containerization 0.40 does not live through the lack of them.
        func takeStreams(_ count: Int) throws {
            try state.withLock {
                guard $0.hasStreams(count) else { throw Self.noStreams }
                $0.streams += count
            }
        }

        /// The place that was kept for the container since the machine booted, if it did not take it yet.
        func takeSeat(of container: String) -> (PodMember, Seat)? {
            state.withLock { state in
                guard let seat = state.waiting.removeValue(forKey: container) else { return nil }
                state.present.insert(container)
                return (PodMember(machine: self, container: container, id: container), seat)
            }
        }

        /// A place for a container that comes later, or once more.
        func newMember(_ container: String) -> PodMember {
            state.withLock { state in
                let run = state.runs[container, default: 0] + 1
                state.runs[container] = run
                state.present.insert(container)
                return PodMember(machine: self, container: container, id: run == 1 ? container : "\(container)-\(run)")
            }
        }

        func has(_ member: PodMember) -> Bool { state.withLock { $0.present.contains(member.container) } }

        func forget(_ member: PodMember, isStuck: Bool = false) {
            state.withLock { state in
                state.present.remove(member.container)
                if isStuck { state.stuck.insert(member.container) }
            }
        }
    }
#endif
