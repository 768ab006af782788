#if Containerization
    import Containerization
    import Foundation
    import KinaCore

    extension MachineContainers {
        // MARK: Output and input

        func logs(_ reference: String, _ request: LogRequest, _ streams: Streams, _ call: Call) throws {
            if let tail = request.tail, tail < 0 { throw KinaError.invalid("tail", "\(tail)", "must not be negative") }
            let record = try store.find(reference)
            var writer = LogWriter(request, streams, call, name: record.name)
            let machine = request.follow ? machine(record.id) : nil
            try doing("reading the log of container '\(record.name)'") {
                try LogSession(LogFiles(path: log(record.id)), request).run(&writer, end: machine?.ended, call)
            }
        }

        /// Follows the log, which has every byte as it comes, and hands on what is typed.
        func attach(_ reference: String, _ streams: Streams, _ call: Call) throws {
            let (record, machine) = try running(reference, to: "attach to")
            let typing = try streams.stdin.flatMap { fd in try machine.input.map { try Typing(fd, $0) } }
            defer { typing?.stop(endsInput: !record.spec.terminal) }
            var request = LogRequest()
            request.follow = true
            request.tail = 0
            try logs(record.id, request, streams, call)
        }

        // MARK: Files

        /// Unpacks a tar stream into a directory of a running container.
        func copyIn(_ reference: String, path: String, from fd: Int32, _ call: Call) throws {
            let (record, machine) = try running(reference, to: "copy into")
            let container = try machine.lone(to: "copy into", record, hint: Self.insteadOfCopies)
            try requireThere(path, in: machine, call)
            try withDirectory { directory in
                try Archive.extract(fd, to: directory, call)
                let names = try doing("reading \(directory.path)") { try Files.list(directory.path).sorted() }
                for name in names {
                    let source = directory.appendingPathComponent(name)
                    var info = stat()
                    let mode: UInt32 = stat(source.path, &info) == 0 ? UInt32(info.st_mode & 0o7777) : 0o644
                    // The guest puts it into a directory that is there, and names it so where there is none.
                    let target = URL(fileURLWithPath: "\(path)/\(name)")
                    try blocking(call, for: "'\(name)' to be copied into container '\(record.name)'") {
                        try await container.copyIn(from: source, to: target, mode: mode)
                    }
                }
            }
        }

        /// Packs a file or directory of a running container into a tar stream, under its own name.
        func copyOut(_ reference: String, path: String, to fd: Int32, _ call: Call) throws {
            let (record, machine) = try running(reference, to: "copy from")
            let container = try machine.lone(to: "copy from", record, hint: Self.insteadOfCopies)
            try requireThere(path, in: machine, call)
            try withDirectory { directory in
                let name = path.split(separator: "/").last.map(String.init) ?? "root"
                let target = directory.appendingPathComponent(name)
                try blocking(call, for: "'\(path)' to be copied from container '\(record.name)'") {
                    try await container.copyOut(from: URL(fileURLWithPath: path), to: target)
                }
                try Archive.write(directory, to: fd, call)
            }
        }

        private static let insteadOfCopies = "run tar in it with exec, or mount a directory or a volume"

        /// Apple's copy never returns when what it shall copy is not there (0.40: it then waits for a connection that the
        /// guest does not make), so that is asked for first.
        private func requireThere(_ path: String, in machine: Machine, _ call: Call) throws {
            let file = URL(fileURLWithPath: machine.guest.guestRoot + path)
            do {
                try blocking(call, for: "'\(path)' to be looked at") {
                    try await machine.guest.withAgent { _ = try await ($0 as? Vminitd)?.stat(path: file) }
                }
            } catch let error as KinaError where error.code == .notFound {
                throw KinaError(
                    .notFound, "'\(path)': no such file or directory in the container",
                    details: ["path": path])
            }
        }

        private func withDirectory<T>(_ body: (URL) throws -> T) throws -> T {
            let path = "\(home.path)/tmp/\(Identifier.random())"
            try doing("creating \(path)") { try Files.makeDirectories(path) }
            defer { try? Files.removeTree(path) }
            return try body(URL(fileURLWithPath: path))
        }

        // MARK: Figures

        func statistics(
            _ reference: String, intervalNs: Int64, _ call: Call, _ sample: (Statistics) -> Bool
        ) throws {
            let (record, machine) = try running(reference, to: "sample")
            var next = Clock.monotonic()
            while true {
                let found: ContainerStatistics
                do {
                    found = try blocking(call, for: "the figures of container '\(record.name)'") {
                        try await machine.guest.statistics(categories: .all)
                    }
                } catch let error as KinaError where machine.exit != nil && error.code != .cancelled { return }
                guard sample(Statistics(guest: found)), intervalNs > 0 else { return }
                next = max(next + intervalNs, Clock.monotonic())
                let left = (next - Clock.monotonic()) / 1_000_000
                if left > 0 { try call.sleep(ms: left, for: "the next sample of container '\(record.name)'") }
                if machine.exit != nil { return }
            }
        }
    }

    extension Statistics {
        /// What the guest could not read stays absent.
        init(guest: ContainerStatistics) {
            self.init(timestampNs: UInt64(Clock.monotonic()))
            if let cpu = guest.cpu {
                cpuNs = cpu.usageUsec &* 1000
                cpuModesNs = (cpu.userUsec &* 1000, cpu.systemUsec &* 1000)
            }
            if let found = guest.memory {
                memory = (found.usageBytes, found.usageBytes - min(found.inactiveFile, found.usageBytes))
                memoryLimit = found.limitBytes == .max ? nil : found.limitBytes
            }
            if let process = guest.process {
                pids = process.current
                pidsLimit = process.limit == 0 || process.limit == .max ? nil : process.limit
            }
            if let networks = guest.networks {
                let real = networks.filter { $0.interface != "lo" }
                network = (
                    real.reduce(0) { $0 &+ $1.receivedBytes }, real.reduce(0) { $0 &+ $1.transmittedBytes },
                    real.reduce(0) { $0 &+ $1.receivedPackets }, real.reduce(0) { $0 &+ $1.transmittedPackets }
                )
            }
            if let block = guest.blockIO {
                blockIO = (
                    block.devices.reduce(0) { $0 &+ $1.readBytes }, block.devices.reduce(0) { $0 &+ $1.writeBytes }
                )
            }
            oomKills = guest.memoryEvents?.oomKill
        }
    }

    /// Hands on what a client of `attach` types, on a thread of its own.
    private final class Typing: Sendable {
        private let source: FileDescriptor
        private let feed: InputFeed
        private let call: Call

        init(_ borrowed: Int32, _ feed: InputFeed) throws {
            source = FileDescriptor(
                try doing("keeping a stream") { try attempt("dup") { fcntl(borrowed, F_DUPFD_CLOEXEC, 3) } })
            self.feed = feed
            call = try Call(timeoutMs: -1)
            Thread { [self] in copy() }.start()
        }

        private func copy() {
            while (try? call.waitReadable(source.raw, for: "input")) != nil {
                guard let bytes = try? source.read() else { continue }
                if bytes.isEmpty { return feed.end() }
                feed.write(Data(bytes))
            }
        }

        /// The end of an attachment ends the container's input, as with pipes elsewhere; a terminal outlives its clients.
        func stop(endsInput: Bool) {
            call.cancel()
            if endsInput { feed.end() }
        }
    }
#endif
