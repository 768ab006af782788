#if Containerization
    import ContainerizationArchive
    import Foundation
    import KinaCore

    /// The guests' kernel: named by an option, found where kina or Apple's `container` keeps one, or fetched once.
    struct KernelFile {
        /// What Apple's `container` uses by default.
        private struct Release {
            let archive: String
            let member: String
            let digest: String
        }

        #if arch(arm64)
            private static let release: Release? = Release(
                archive: "https://github.com/kata-containers/kata-containers/releases/download/3.28.0/"
                    + "kata-static-3.28.0-arm64.tar.zst",
                member: "opt/kata/share/kata-containers/vmlinux-6.18.15-186",
                digest: "f63d54507d1f18635d94475077e4c2330de4d8e05cedf25f7c38f063b0e66a91")
        #else
            private static let release: Release? = nil
        #endif

        #if os(Linux)
            private static let summing = (program: "sha256sum", options: [String]())
        #else
            private static let summing = (program: "shasum", options: ["-a", "256"])
        #endif

        private let wanted: String?
        private let directory: String
        private var own: String { "\(directory)/kernel" }

        init(_ wanted: String?, directory: String) {
            self.wanted = wanted
            self.directory = directory
        }

        /// Where `container` keeps its default one.
        private var containers: String? {
            getenv("HOME").map {
                "\(String(cString: $0))/Library/Application Support/com.apple.container/kernels/default.kernel-arm64"
            }
        }

        func find(_ call: Call) throws -> String {
            if let wanted {
                guard Files.exists(wanted), !Files.isDirectory(wanted) else {
                    throw KinaError.invalid(
                        "kernel", wanted, "is no file",
                        hint: "an uncompressed Image on arm64, a bzImage on x86_64")
                }
                return wanted
            }
            if Files.exists(own) { return own }
            #if os(macOS)
                if let containers, Files.exists(containers) { return containers }
            #endif
            guard let release = Self.release else {
                throw KinaError(
                    .unavailable, "there is no kernel for virtual machines",
                    hint: "set KINA_KERNEL to a kernel with virtio, vsock, ext4 and overlayfs built in")
            }
            try fetch(release, call)
            return own
        }

        private func fetch(_ release: Release, _ call: Call) throws {
            let archive = "\(directory)/kernel.tar.zst"
            defer { try? Files.remove(archive) }
            call.report(ProgressEvent(action: "pull", item: "kernel", state: release.archive))
            try run(
                "curl", ["-fsSL", "--proto", "=https", "-o", archive, release.archive], "fetching the kernel", call)
            let digest = try run(Self.summing.program, Self.summing.options + [archive], "checking the kernel", call)
                .prefix(64)
            guard digest == release.digest else {
                throw KinaError(
                    .dataLoss, "the kernel's archive has the digest \(digest), not \(release.digest)",
                    hint: "try again; if it stays so, somebody changes what you download")
            }
            do {
                let reader = try ArchiveReader(
                    format: .pax, filter: .zstd, file: URL(fileURLWithPath: archive))
                let (_, kernel) = try reader.extractFile(path: release.member)
                try Files.writeAtomically(own, Array(kernel))
            } catch {
                throw KinaError(guest: error, "unpacking the kernel")
            }
        }

        @discardableResult
        private func run(_ program: String, _ arguments: [String], _ what: String, _ call: Call) throws -> String {
            guard let path = Command.find(program) else {
                throw KinaError(.unavailable, "missing program: \(program)", hint: "set KINA_KERNEL to a kernel")
            }
            let output = try Command(path, arguments).run(call)
            guard output.status.isSuccess else {
                throw KinaError(
                    .unavailable, "\(what): \(output.errorText)",
                    hint: "connect to the network once, or set KINA_KERNEL to a kernel")
            }
            return output.text
        }
    }
#endif
