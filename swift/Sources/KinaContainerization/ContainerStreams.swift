#if Containerization
    import Containerization
    import ContainerizationOS
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
            try requireOwn(path, of: record)
            if record.spec.readOnlyRoot {
                throw KinaError(
                    .failedPrecondition, "can't copy into container '\(record.name)': its root is read-only",
                    hint: "copy to a volume's directory on this host", details: ["path": path])
            }
            try requireThere(path, in: machine, call)
            try withDirectory { directory in
                try Archive.extract(fd, to: directory, call)
                let names = try doing("reading \(directory.path)") { try Files.list(directory.path) }
                if names.isEmpty { return }
                for name in names { try requireOwn("\(path)/\(name)", of: record) }
                try requireNoDirectories(names, of: directory, in: path, machine, call)
                let port = machine.nextCopyPort()
                try blocking(call, for: "files to be copied into '\(path)' of container '\(record.name)'") {
                    try await container.unpack(directory, into: path, port: port)
                }
            }
        }

        /// Packs a file or directory of a running container into a tar stream, under its own name.
        func copyOut(_ reference: String, path: String, to fd: Int32, _ call: Call) throws {
            let (record, machine) = try running(reference, to: "copy from")
            let container = try machine.lone(to: "copy from", record, hint: Self.insteadOfCopies)
            try requireOwn(path, of: record)
            let kind = try requireThere(path, in: machine, call).mode & 0o170000
            guard [0o040000, 0o100000].contains(kind) else {
                throw KinaError.invalid(
                    "src", path, "is a device, a pipe or a socket", hint: "copy the files beside it")
            }
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

        /// The guest's agent sees the container's root, and nothing that is mounted in it.
        private func requireOwn(_ path: String, of record: ContainerRecord) throws {
            let plain = URL(fileURLWithPath: path).standardized.path
            let mounted = record.mounts.map(\.spec.target) + LinuxContainer.defaultMounts().map(\.destination)
            guard let over = mounted.first(where: { plain == $0 || plain.hasPrefix("\($0)/") }) else { return }
            throw KinaError(
                .unimplemented, "'\(path)': \(over) is a mount, which a machine's copies do not reach",
                hint: "use the directory that is mounted, or run tar in the container with exec",
                details: ["path": path])
        }

        /// The guest's agent would put a file in the place of a directory, with all that is in it.
        private func requireNoDirectories(
            _ names: [String], of directory: URL, in path: String, _ machine: Machine, _ call: Call
        ) throws {
            for name in names {
                var info = stat()
                let source = directory.appendingPathComponent(name).path
                guard lstat(source, &info) == 0, info.st_mode & S_IFMT != S_IFDIR else { continue }
                let there = try look(at: "\(path)/\(name)", in: machine, call)
                if let there, there.mode & 0o170000 == 0o040000 {
                    throw KinaError(
                        .failedPrecondition, "'\(path)/\(name)' is a directory in the container",
                        hint: "copy to another name, or delete it first", details: ["path": "\(path)/\(name)"])
                }
            }
        }

        /// Apple's copy never returns when what it shall copy is not there (0.40: it then waits for a connection that the
        /// guest does not make), so that is asked for first. And the guest's agent follows links in the guest, not in the
        /// container: what they lead out to is on another device.
        @discardableResult
        private func requireThere(_ path: String, in machine: Machine, _ call: Call) throws -> ContainerizationOS.Stat {
            guard let there = try look(at: path, in: machine, call) else {
                throw KinaError(
                    .notFound, "'\(path)': no such file or directory in the container", details: ["path": path])
            }
            guard there.dev == (try look(at: "", in: machine, call))?.dev else {
                throw KinaError(
                    .unimplemented, "'\(path)' is reached by a link from the root, which copies do not follow here",
                    hint: "name the place that the link leads to", details: ["path": path])
            }
            return there
        }

        /// What is at a path, after links; nil when there is nothing.
        private func look(at path: String, in machine: Machine, _ call: Call) throws -> ContainerizationOS.Stat? {
            let file = URL(fileURLWithPath: machine.guest.guestRoot + path)
            do {
                return try blocking(call, for: "'\(path)' to be looked at") {
                    try await machine.guest.withAgent { try await ($0 as? Vminitd)?.stat(path: file) }
                }
            } catch let error as KinaError where error.code == .notFound { return nil }
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
            let real = guest.networks?.filter { $0.interface != "lo" } ?? []
            if !real.isEmpty {
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
