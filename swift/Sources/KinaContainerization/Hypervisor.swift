#if Containerization
    import Containerization
    import ContainerizationOCI
    import Foundation
    import KinaCore
    import Synchronization

    /// What makes virtual machines: the platform's monitor with a kernel and an init file system, found when the first
    /// machine is to start.
    final class Hypervisor: Sendable {
        /// Of the guest's init image: that of the package itself, whose two halves speak one protocol.
        static let packageVersion = "0.40.2"
        static let initReference = "ghcr.io/apple/containerization/vminit:\(packageVersion)"

        #if arch(arm64)
            static let platform = SystemPlatform.linuxArm
        #else
            static let platform = SystemPlatform.linuxAmd
        #endif

        private let options: RuntimeOptions
        private let home: Home
        private let directory: String
        private let parts = Mutex<(kernel: Kernel, guest: Containerization.Mount)?>(nil)

        init(_ options: RuntimeOptions, _ home: Home) {
            self.options = options
            self.home = home
            directory = "\(home.path)/vm"
        }

        /// What makes the machine of a container or a pod, and what ends it.
        func monitor(of id: String, _ call: Call) throws -> (
            manager: any VirtualMachineManager, power: Power
        ) {
            let (kernel, guest) = try findParts(call)
            let room = PlatformMonitor.Room(home, id)
            return (try PlatformMonitor.make(kernel, guest, room), Power(room))
        }

        private func findParts(_ call: Call) throws -> (Kernel, Containerization.Mount) {
            if let parts = parts.withLock({ $0 }) { return parts }
            try doing("creating \(directory)") { try Files.makeDirectories(directory) }
            // Fetching may last: once, whoever comes first.
            let lock = try FileLock("\(directory)/lock", call, for: "the kernel and the init image to be fetched")
            defer { lock.unlock() }
            if let parts = parts.withLock({ $0 }) { return parts }
            let kernel = try KernelFile(options.kernel, directory: directory).find(call)
            let guest = try initialFileSystem(call)
            let found = (
                Kernel(path: URL(fileURLWithPath: kernel), platform: Self.platform, commandline: Self.commandLine),
                guest
            )
            parts.withLock { $0 = found }
            return found
        }

        private static var commandLine: Kernel.CommandLine { Kernel.CommandLine(debug: false, panic: 0) }

        private func initialFileSystem(_ call: Call) throws -> Containerization.Mount {
            let wanted = options.initImage ?? Self.initReference
            if wanted.hasPrefix("/") {
                guard Files.exists(wanted) else {
                    throw KinaError.invalid(
                        "initImage", wanted, "does not exist",
                        hint: "an ext4 file with /sbin/vminitd, or an image's reference")
                }
                return .block(format: "ext4", source: wanted, destination: "/", options: ["ro"])
            }
            let file = "\(directory)/init-\(Home.hash(wanted)).ext4"
            if !Files.exists(file) { try fetchInit(wanted, to: file, call) }
            return .block(format: "ext4", source: file, destination: "/", options: ["ro"])
        }

        /// Registries' content is verified by its digests as it comes in.
        private func fetchInit(_ reference: String, to file: String, _ call: Call) throws {
            let name = try ImageReference(reference, field: "initImage")
            call.report(ProgressEvent(action: "pull", item: reference, state: "init image"))
            let (images, half) = ("\(directory)/images", "\(file).half")
            try doing("removing \(half)") { try Files.remove(half) }
            do {
                let login = try AuthFile.login(nil, for: name, call).map {
                    BasicAuthentication(username: $0.username, password: $0.password)
                }
                try blocking(call, for: "the init image \(reference)", graceMs: 0) {
                    let store = try ImageStore(path: URL(fileURLWithPath: images))
                    let image = try await store.pull(
                        reference: "\(name)", platform: Self.platform.ociPlatform(), insecure: name.isLoopback,
                        auth: login)
                    _ = try await InitImage(image: image).initBlock(at: URL(fileURLWithPath: half), for: Self.platform)
                }
                // What it was made of is needed no more.
                try doing("removing \(images)") { try Files.removeTree(images) }
            } catch let error as KinaError where error.code != .cancelled && error.code != .deadlineExceeded {
                throw KinaError(
                    .unavailable, "the virtual machines' init image can't be had: \(error.message)",
                    hint: "connect to the network once, or set KINA_INIT_IMAGE to an ext4 file with /sbin/vminitd"
                ).caused(by: error)
            }
            try doing("keeping \(file)") {
                try attempt("chmod \(half)") { chmod(half, 0o600) }
                try attempt("rename \(half)") { rename(half, file) }
            }
        }
    }
#endif
