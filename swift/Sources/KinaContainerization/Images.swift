#if Containerization
    import Containerization
    import ContainerizationEXT4
    import ContainerizationExtras
    import ContainerizationOCI
    import Foundation
    import KinaCore
    import Synchronization

    /// Images in Apple's store, and the ext4 file that each is unpacked to, once.
    final class MachineImages: ImageBackend {
        static let platform = Hypervisor.platform.ociPlatform()
        /// A root must outlive a machine that ends at once: without a journal its file system is broken then.
        private static let journaling = EXT4.JournalConfig(size: 32 << 20, defaultMode: .ordered)

        /// An image for a container.
        struct Prepared {
            let digest: String
            let config: KinaCore.ImageConfig
        }

        let home: String
        let journal: Journal
        let contents: LocalContentStore
        let store: ImageStore
        private let unpackLimit: Int64
        private let usersBox = Mutex<@Sendable () throws -> [String: [String]]>({ [:] })
        /// Image digest → names of containers.
        var users: @Sendable () throws -> [String: [String]] {
            get { usersBox.withLock { $0 } }
            set { usersBox.withLock { $0 = newValue } }
        }

        init(_ options: RuntimeOptions, home: String, _ journal: Journal) throws {
            self.home = home
            self.journal = journal
            unpackLimit = options.unpackLimit
            try doing("creating \(home)/images") { try Files.makeDirectories("\(home)/images") }
            do {
                contents = try LocalContentStore(path: URL(fileURLWithPath: "\(home)/images/content"))
                store = try ImageStore(path: URL(fileURLWithPath: "\(home)/images"), contentStore: contents)
            } catch {
                throw KinaError(guest: error, "opening the image store")
            }
        }

        // MARK: Registries

        func pull(_ request: ImagePullRequest, _ call: Call) throws -> ImageStatus {
            let reference = try ImageReference(request.reference, field: "reference")
            try Self.check(platform: request.platform)
            let login = try Self.login(request.username, request.password, request.authFile, reference, call)
            let store = store
            try blocking(call, for: "image \(reference) to be pulled", graceMs: 0) {
                _ = try await store.pull(
                    reference: "\(reference)", platform: Self.platform,
                    insecure: request.insecure || reference.isLoopback, auth: login,
                    progress: Self.progress("pull", "\(reference)", call))
            }
            let status = try get("\(reference)")
            journal.append(.image, "pull", id: status.digest, name: status.reference)
            return status
        }

        func push(_ request: ImagePushRequest, _ call: Call) throws {
            let source = try get(request.reference)
            let target = try ImageReference(request.destination ?? request.reference, field: "destination")
            if "\(target)" != source.reference { _ = try tag(source.reference, as: "\(target)") }
            let login = try Self.login(request.username, request.password, request.authFile, target, call)
            let store = store
            try blocking(call, for: "image \(target) to be pushed", graceMs: 0) {
                try await store.push(
                    reference: "\(target)", platform: Self.platform, insecure: request.insecure || target.isLoopback,
                    auth: login, progress: Self.progress("push", "\(target)", call))
            }
            journal.append(.image, "push", id: source.digest, name: "\(target)")
        }

        static func check(platform: String?) throws {
            guard let platform, try !ImagePlatform(platform).accepts(.host) else { return }
            throw KinaError(
                .unimplemented, "platform '\(platform)': the virtual machines here run \(ImagePlatform.host)",
                hint: "leave it out", details: ["field": "platform", "value": platform])
        }

        private static func login(
            _ username: String?, _ password: String?, _ file: String?, _ reference: ImageReference, _ call: Call
        ) throws -> (any Authentication)? {
            if let username { return BasicAuthentication(username: username, password: password ?? "") }
            return try AuthFile.login(file, for: reference, call).map {
                BasicAuthentication(username: $0.username, password: $0.password)
            }
        }

        /// Sums what the package says in pieces.
        private static func progress(_ action: String, _ item: String, _ call: Call) -> ProgressHandler {
            let sums = Mutex((current: Int64(0), total: Int64(0)))
            return { events in
                let (current, total) = sums.withLock { sums in
                    for event in events {
                        switch event {
                        case .addSize(let bytes): sums.current += bytes
                        case .addTotalSize(let bytes): sums.total += bytes
                        default: break
                        }
                    }
                    return sums
                }
                call.report(
                    KinaCore.ProgressEvent(
                        action: action, item: item, state: "copying", current: current, total: total))
            }
        }

        // MARK: What is here

        private func find(_ reference: String, field: String = "image") throws -> Containerization.Image {
            let store = store
            let all = try blocking(.unbounded, for: "the images") { try await store.list() }
            if Self.isDigest(reference),
                let found = try blocking(
                    .unbounded, for: "image \(reference)",
                    {
                        try await Self.find(digest: reference, among: all)
                    })
            {
                return found
            }
            let full = try ImageReference(reference, field: field)
            guard let found = all.first(where: { $0.reference == "\(full)" }) else {
                throw KinaError.notFound("image", "\(full)", hint: "pull or load it first")
            }
            return found
        }

        /// The beginning of a digest at least.
        private static func isDigest(_ text: String) -> Bool {
            let hex = text.hasPrefix("sha256:") ? String(text.dropFirst(7)) : text
            return hex.utf8.count >= 12 && Digest.isHex(hex, count: 12...64)
        }

        /// By the image's digest, or by its id, which is its configuration's.
        private static func find(
            digest text: String, among images: [Containerization.Image]
        ) async throws -> Containerization.Image? {
            let wanted = text.hasPrefix("sha256:") ? text : "sha256:\(text)"
            if let found = images.first(where: { $0.digest.hasPrefix(wanted) }) { return found }
            for image in images {
                // One of another platform only has no id here.
                if let id = try? await image.manifest(for: platform).config.digest, id.hasPrefix(wanted) {
                    return image
                }
            }
            return nil
        }

        func get(_ reference: String) throws -> ImageStatus {
            let image = try find(reference)
            return try blocking(.unbounded, for: "image \(reference)") { try await Self.status(image, full: true) }
        }

        func list() throws -> ImageList {
            let store = store
            return try blocking(.unbounded, for: "the images") {
                var found: [ImageStatus] = []
                for image in try await store.list() {
                    // One of another platform only is no image here.
                    if let status = try? await Self.status(image, full: false) { found.append(status) }
                }
                return ImageList(found.sorted { $0.reference < $1.reference })
            }
        }

        private static func status(_ image: Containerization.Image, full: Bool) async throws -> ImageStatus {
            let manifest = try await image.manifest(for: platform)
            // Apple's own type leaves fields out.
            let document: OCIImageConfiguration = try await image.getContent(digest: manifest.config.digest).decode()
            let size = manifest.layers.reduce(manifest.config.size) { $0 + $1.size }
            return ImageStatus(
                reference: image.reference, digest: image.digest, id: manifest.config.digest,
                platform: "\(document.platform)", size: size, layers: manifest.layers.count,
                createdAt: document.createdAt, config: full ? document.imageConfig : nil)
        }

        func tag(_ source: String, as target: String) throws -> ImageStatus {
            let image = try find(source)
            let name = try ImageReference(target, field: "target")
            guard name.digest == nil else {
                throw KinaError.invalid("target", target, "names a digest", hint: "write a tag")
            }
            let store = store
            try blocking(.unbounded, for: "image \(name)") {
                _ = try await store.tag(existing: image.reference, new: "\(name)")
            }
            journal.append(.image, "tag", id: image.digest, name: "\(name)")
            return try get("\(name)")
        }

        func delete(_ reference: String, force: Bool, _ call: Call) throws {
            let image = try find(reference)
            let store = store
            let others = try blocking(call, for: "the images", graceMs: 0) {
                try await store.list().filter { $0.digest == image.digest && $0.reference != image.reference }.count
            }
            let containers = try users()[image.digest] ?? []
            guard others > 0 || containers.isEmpty || force else {
                throw KinaError(
                    .failedPrecondition, "image '\(image.reference)' is used by \(containers.joined(separator: ", "))",
                    hint: "delete those containers first, or delete it with force")
            }
            try blocking(call, for: "image \(image.reference) to be deleted", graceMs: 0) {
                try await store.delete(reference: image.reference, performCleanup: true)
            }
            // Containers have clones of their own.
            if others == 0 { try doing("removing a root") { try Files.remove(try rootFile(image.digest)) } }
            journal.append(.image, "delete", id: image.digest, name: image.reference)
        }

        // MARK: For containers

        func prepare(_ reference: String, _ policy: KinaCore.ContainerSpec.PullPolicy, _ call: Call) throws -> Prepared
        {
            if policy == .always { _ = try pull(ImagePullRequest(reference: reference), call) }
            let status: ImageStatus
            do { status = try get(reference) } catch let error as KinaError
                where error.code == .notFound && policy == .missing
            {
                status = try pull(ImagePullRequest(reference: reference), call)
            }
            return Prepared(digest: status.digest, config: status.config ?? KinaCore.ImageConfig())
        }

        private func rootFile(_ digest: String) throws -> String { "\(home)/roots/\(try Digest.hex(digest)).ext4" }

        /// Makes a container's root: a copy of the unpacked image that shares its blocks where the file system can.
        func cloneRoot(_ digest: String, to file: String, _ call: Call) throws {
            let base = try rootFile(digest)
            try doing("creating \(home)/roots") { try Files.makeDirectories("\(home)/roots") }
            let lock = try FileLock("\(base).lock", call, for: "image \(digest) to be unpacked")
            defer { lock.unlock() }
            if !Files.exists(base) { try unpack(digest, to: base, call) }
            try doing("removing \(file)") { try Files.remove(file) }
            do {
                _ = try Containerization.Mount.block(format: "ext4", source: base, destination: "/").clone(to: file)
            } catch {
                try? Files.remove(file)
                throw KinaError(guest: error, "copying the root of image \(digest)")
            }
            _ = try doing("making \(file) private") { try attempt("chmod \(file)") { chmod(file, 0o600) } }
        }

        private func unpack(_ digest: String, to base: String, _ call: Call) throws {
            let image = try find(digest)
            let half = "\(base).half"
            try doing("removing \(half)") { try Files.remove(half) }
            let limit = UInt64(unpackLimit)
            do {
                try blocking(call, for: "image \(image.reference) to be unpacked", graceMs: 0) {
                    _ = try await EXT4Unpacker(capacityInBytes: limit, journal: Self.journaling).unpack(
                        image, for: Self.platform, at: URL(fileURLWithPath: half),
                        progress: call.reportsProgress ? Self.progress("unpack", image.reference, call) : nil)
                }
            } catch {
                try? Files.remove(half)
                throw error
            }
            try doing("keeping \(base)") {
                try attempt("chmod \(half)") { chmod(half, 0o600) }
                try attempt("rename \(half)") { rename(half, base) }
            }
        }

        func prune(_ request: PruneRequest, _ result: inout PruneResult, _ call: Call) throws {
            let used = try users()
            if request.images {
                for image in try list().images where used[image.digest] == nil {
                    try delete(image.reference, force: false, call)
                    result.images.append(image.reference)
                    result.reclaimed += image.size
                }
            }
            let known = Set(try list().images.map { String($0.digest.dropFirst(7)) })
            for name in try doing("reading \(home)/roots", { try Files.list("\(home)/roots") }) {
                guard name.hasSuffix(".half") || !known.contains(String(name.prefix(64))) else { continue }
                // One that is being unpacked right now is locked.
                guard
                    let lock = try? FileLock(
                        "\(home)/roots/\(name.prefix(64)).ext4.lock", call.within(ms: 100), for: "it")
                else { continue }
                defer { lock.unlock() }
                try doing("removing \(name)") { try Files.remove("\(home)/roots/\(name)") }
                if !name.hasSuffix(".lock") { result.leftovers.append("unpacked image \(name)") }
            }
        }
    }
#endif
