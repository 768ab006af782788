#if Containerization && os(Linux)
    import Containerization
    import Foundation
    import KinaCore

    /// cloud-hypervisor with KVM: a process for each virtual machine.
    enum PlatformMonitor {
        /// Containerization 0.40 closes a relayed connection as soon as it has accepted it here.
        static let relaysSockets = false
        /// A machine takes disks while it runs, and gives back those that it took so.
        static let addsDisks = true
        /// Of processes, which a machine has in its whole life; containers and what else is run in it share them.
        static let streams: Int? = 16

        /// Where one machine's sockets are, by which its processes are known.
        struct Room: Sendable {
            fileprivate let directory: String
            init(_ home: Home, _ id: String) { directory = "\(PlatformMonitor.directory(home))/\(id)" }

            func cutPower(of machine: (any VirtualMachineInstance)?) throws { try endProcesses(in: directory) }
            func clear() { try? Files.removeTree(directory) }
        }

        static func make(_ kernel: Kernel, _ guest: Containerization.Mount, _ room: Room) throws
            -> any VirtualMachineManager
        {
            guard let program = Command.find("cloud-hypervisor") else {
                throw KinaError(
                    .unavailable, "missing program: cloud-hypervisor",
                    hint: "install it (https://www.cloudhypervisor.org), or use isolation 'namespaces'")
            }
            do {
                return try CHVirtualMachineManager(
                    kernel: kernel, initialFilesystem: guest, chBinary: URL(fileURLWithPath: program),
                    virtiofsdBinary: virtiofsd.map { URL(fileURLWithPath: $0) },
                    runtimeRoot: URL(fileURLWithPath: room.directory))
            } catch {
                throw KinaError(guest: error, "preparing cloud-hypervisor")
            }
        }

        /// Needed only where a directory is shared.
        private static var virtiofsd: String? {
            Command.find("virtiofsd") ?? Command.find("/usr/libexec/virtiofsd") ?? Command.find("/usr/lib/virtiofsd")
        }

        fileprivate static func directory(_ home: Home) -> String { "\(home.runDirectory)/vm" }

        /// Ends what a server that was killed left: its monitors and their like, known by their sockets in this home's
        /// directory, and holding its containers' disks.
        static func endOrphans(_ home: Home) throws {
            try endProcesses(in: directory(home))
            try Files.removeTree(directory(home))
        }

        fileprivate static func endProcesses(in directory: String) throws {
            let mark = "\(directory)/"
            var doomed: [ProcessIdentity] = []
            for name in try Files.list("/proc") {
                guard let pid = Int32(name), pid != getpid(), let line = try? Files.readText("/proc/\(name)/cmdline"),
                    line.contains(mark), let process = ProcessIdentity(pid: pid)
                else { continue }
                kill(pid, SIGKILL)
                doomed.append(process)
            }
            let bound = Call.unbounded.within(ms: 10_000)
            while doomed.contains(where: \.isAlive) {
                try bound.sleep(ms: 10, for: "the processes of machines to end")
            }
        }
    }
#endif
