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
            var isDead = false
        }

        let pod: LinuxPod
        let bootLog: String
        private let state: Mutex<State>

        /// `seats`: of those that it boots with.
        init(_ pod: LinuxPod, bootLog: String, _ seats: [Seat]) {
            self.pod = pod
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

        /// Whether the container can be started in it as it is.
        func canStart(_ container: String) -> Bool {
            state.withLock {
                !$0.stuck.contains(container)
                    && (PlatformMonitor.addsDisks || $0.waiting[container] != nil)
            }
        }

        /// Whether somebody else is in it.
        func isUsed(except container: String) -> Bool {
            state.withLock { !$0.present.subtracting([container]).isEmpty }
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

        func forget(_ member: PodMember, isStuck: Bool = false) {
            state.withLock { state in
                state.present.remove(member.container)
                if isStuck { state.stuck.insert(member.container) }
            }
        }
    }
#endif
