import KinaCore
import Synchronization

/// Images in `<home>/images`: blobs by digest, references in records, one unpacked tree an image.
///
/// Locks, in this order: a reference's (who pulls it), the blobs' (shared by who adds), a tree's, the records'.
/// Garbage collection takes the blobs' alone and never waits for a tree's.
final class OCIImages: ImageBackend {
    /// An image that is here and unpacked.
    struct Prepared: Sendable {
        var status: ImageStatus
        var config: ImageConfig
        /// The unpacked tree, an overlay's lower directory: never to be written.
        var rootfs: String
        /// While it is held, the tree can't be deleted; let go once a record names the digest.
        var hold: FileLock
    }

    let context: Context
    let records: ImageRecords
    let blobs: BlobStore
    let trees: ImageTrees
    let skopeo: Skopeo
    private let directory: String
    private let usersBox = Mutex<@Sendable () throws -> [String: [String]]>({ [:] })
    /// Image digest → names of the containers that use it.
    var users: @Sendable () throws -> [String: [String]] {
        get { usersBox.withLock { $0 } }
        set { usersBox.withLock { $0 = newValue } }
    }

    convenience init(_ context: Context) throws { try self.init(context, stallMs: 60_000) }

    init(_ context: Context, stallMs: Int64) throws {
        self.context = context
        directory = "\(context.home)/images"
        blobs = try BlobStore(directory)
        records = try ImageRecords(directory)
        trees = try ImageTrees(context, directory, blobs)
        skopeo = Skopeo(context: context, blobs: blobs, stallMs: stallMs)
        let locks = "\(directory)/locks"
        try doing("creating \(locks)") { try Files.makeDirectories(locks) }
    }

    // MARK: - For containers

    /// Pulls as the policy says, unpacks if need be.
    func prepare(_ reference: String, _ policy: ContainerSpec.PullPolicy, _ call: Call) throws -> Prepared {
        var policy = policy
        while true {
            if policy == .always {
                _ = try pull(ImagePullRequest(reference: reference), call, field: "image", onlyIfMissing: false)
                policy = .missing
            }
            if let record = try records.find(reference, field: "image") {
                if let prepared = try prepare(record, call) { return prepared }
                continue  // it was deleted or replaced meanwhile
            }
            guard policy == .missing else {
                throw KinaError.notFound("image", reference, hint: "pull it first, or use pull policy 'missing'")
            }
            _ = try pull(ImagePullRequest(reference: reference), call, field: "image", onlyIfMissing: true)
        }
    }

    private func prepare(_ record: ImageRecord, _ call: Call) throws -> Prepared? {
        let hold = try trees.hold(record.digest, call)
        // Under the hold the last reference can't go; but it may have gone before.
        guard let current = try records.find(record.reference, field: "image"), current.digest == record.digest else {
            return nil
        }
        return Prepared(
            status: current.status(withConfig: true), config: current.config, rootfs: try trees.path(record.digest),
            hold: hold)
    }

    /// The tree of an image that a container uses, unpacked again if it is gone.
    func prepare(digest: String, _ call: Call) throws -> Prepared {
        let hold = try trees.hold(digest, call)
        let record = try blobs.describe(digest, as: digest)
        return Prepared(
            status: record.status(withConfig: true), config: record.config, rootfs: try trees.path(digest), hold: hold)
    }

    /// A container that used the image is gone. When it was the last, and the image was deleted by force meanwhile, its
    /// blobs and its tree go now.
    func letGo(of digest: String, reference: String, _ call: Call) throws {
        // Mostly its own reference is still there, and a look at that is enough.
        if let record = try? records.find(reference, field: "image"), record.digest == digest { return }
        guard try !records.all().contains(where: { $0.digest == digest }) else { return }
        guard try users()[digest] == nil else { return }
        try collect(call)
    }

    // MARK: - ImageBackend

    func pull(_ request: ImagePullRequest, _ call: Call) throws -> ImageStatus {
        try pull(request, call, field: "reference", onlyIfMissing: false)
    }

    private func pull(_ request: ImagePullRequest, _ call: Call, field: String, onlyIfMissing: Bool) throws
        -> ImageStatus
    {
        let reference = try ImageReference(request.reference, field: field)
        let platform = try request.platform.map { try ImagePlatform($0) }
        // The second of two that pull the same finds everything here.
        let lock = try doing("locking image \(reference)") {
            try FileLock(
                "\(directory)/locks/\(Context.hash(reference.description))", call, for: "another pull of \(reference)")
        }
        defer { lock.remove() }
        if onlyIfMissing, let record = try records.load(reference) { return record.status(withConfig: true) }
        let access = Skopeo.Access(
            insecure: request.insecure, username: request.username, password: request.password,
            authFile: request.authFile)
        let records = try adding("pulling \(reference)", call) { workspace, staging in
            let digest = try self.skopeo.pull(reference, into: staging, access, platform, workspace, call)
            return [LoadedImage(digest: digest, references: [reference])]
        } check: { record in
            let found = try ImagePlatform(record.platform)
            if let platform, !platform.accepts(found) {
                throw KinaError(
                    .notFound, "\(reference) is an image for \(found), not for \(platform)",
                    hint: "leave the platform out, or ask for \(found)", details: ["field": "platform"])
            }
        }
        return try first(records, "pull")
    }

    func push(_ request: ImagePushRequest, _ call: Call) throws {
        let record = try find(request.reference)
        let reference = try ImageReference(request.destination ?? record.reference, field: "destination")
        guard reference.digest == nil else {
            throw KinaError.invalid(
                "destination", reference.description, "has a digest, which only content determines", hint: "write a tag"
            )
        }
        let using = try blobs.sharedLock(call)
        defer { using.unlock() }
        let workspace = try ImageWorkspace(context.home, call)
        let access = Skopeo.Access(
            insecure: request.insecure, username: request.username, password: request.password,
            authFile: request.authFile)
        call.report(ProgressEvent(action: "push", item: reference.description, state: "started", total: record.size))
        try skopeo.push(record, to: reference, access, workspace, call)
        call.report(
            ProgressEvent(
                action: "push", item: reference.description, state: "done", current: record.size, total: record.size))
        context.journal.append(.image, "push", id: record.digest, name: reference.description)
    }

    func load(_ request: ImageLoadRequest, from fd: Int32, _ call: Call) throws -> ImageList {
        let rename = try request.reference.map { try ImageReference($0, field: "reference") }
        let records = try adding("loading the archive", call) { workspace, staging in
            let limit = self.context.unpackLimit
            let archive = try ImageArchive(fd, workspace, limit: limit, call)
            return try ImageLoading(
                skopeo: self.skopeo, staging: staging, archive: archive, workspace: workspace, rename: rename,
                limit: limit
            ).load(call)
        }
        for record in records { context.journal.append(.image, "load", id: record.digest, name: record.reference) }
        return ImageList(records.map { $0.status(withConfig: false) })
    }

    func save(_ request: ImageSaveRequest, to fd: Int32, _ call: Call) throws {
        guard !request.references.isEmpty else {
            throw KinaError.invalid("references", nil, "is empty", hint: "name at least one image")
        }
        let using = try blobs.sharedLock(call)
        defer { using.unlock() }
        let images = try request.references.map { text -> (reference: String, record: ImageRecord) in
            let record = try find(text, field: "references")
            return (record.reference, record)
        }
        let saving = ImageSaving(skopeo: skopeo, blobs: blobs, workspace: try ImageWorkspace(context.home, call))
        try doing("saving \(images.map(\.reference).joined(separator: ", "))") {
            switch request.format {
            case .oci: try saving.saveOCI(images, to: fd, call)
            case .docker: try saving.saveDocker(images, to: fd, call)
            }
        }
    }

    func `import`(_ request: ImageImportRequest, from fd: Int32?, _ call: Call) throws -> ImageStatus {
        let reference = try ImageReference(request.reference, field: "reference")
        guard reference.digest == nil else {
            throw KinaError.invalid("reference", request.reference, "has a digest, which only content determines")
        }
        guard (fd == nil) != (request.directory == nil) else {
            throw KinaError.invalid(
                "directory", request.directory, "a directory or a descriptor of a tar must be given, and not both")
        }
        try request.config.validate()
        let platform = try request.platform.map { try ImagePlatform($0) } ?? .host
        let records = try adding("importing \(reference)", call) { workspace, staging in
            let importing = ImageImporting(staging: staging, workspace: workspace, limit: self.context.unpackLimit)
            let digest =
                if let fd {
                    try importing.fromTar(fd, request.config, platform, call)
                } else {
                    try importing.fromDirectory(request.directory ?? "", request.config, platform, call)
                }
            return [LoadedImage(digest: digest, references: [reference])]
        }
        return try first(records, "import")
    }

    func tag(_ source: String, as target: String) throws -> ImageStatus {
        let reference = try ImageReference(target, field: "target")
        guard reference.digest == nil else {
            throw KinaError.invalid(
                "target", target, "has a digest, which only content determines", hint: "write a tag")
        }
        // Nothing is collected between reading the one record and writing the other.
        let using = try blobs.sharedLock(.unbounded)
        var record = try find(source, field: "source")
        record.reference = reference.description
        let replaced = try commit(record, as: reference)
        using.unlock()
        context.journal.append(.image, "tag", id: record.digest, name: record.reference)
        if replaced { try collect(.unbounded) }
        return record.status(withConfig: true)
    }

    func get(_ reference: String) throws -> ImageStatus { try find(reference).status(withConfig: true) }

    func list() throws -> ImageList { ImageList(try records.all().map { $0.status(withConfig: false) }) }

    func delete(_ reference: String, force: Bool, _ call: Call) throws {
        let record = try find(reference)
        let named = (try? ImageReference(reference, field: "reference"))?.description == record.reference
        let others = try records.all().filter { $0.digest == record.digest && $0.reference != record.reference }
        guard named || others.isEmpty || force else {
            throw KinaError(
                .failedPrecondition,
                "image \(reference) has several references: "
                    + ([record] + others).map(\.reference).joined(separator: ", "),
                hint: "delete by reference, or use force to delete them all")
        }
        for doomed in named ? [record] : [record] + others { try delete(doomed, force: force, call) }
        try collect(call)
    }

    // MARK: - Adding and removing

    private func find(_ text: String, field: String = "reference") throws -> ImageRecord {
        guard let record = try records.find(text, field: field) else { throw KinaError.notFound("image", text) }
        return record
    }

    private func first(_ records: [ImageRecord], _ action: String) throws -> ImageStatus {
        guard let record = records.first else { throw KinaError(.internal, "\(action) brought no image") }
        context.journal.append(.image, action, id: record.digest, name: record.reference)
        return record.status(withConfig: true)
    }

    /// Gets images' blobs in place, unpacks them, and only when all that has worked gives them their references.
    /// Whatever happens, no blob stays that nothing refers to.
    private func adding(
        _ what: String, _ call: Call, _ fetch: (ImageWorkspace, BlobDirectory) throws -> [LoadedImage],
        check: (ImageRecord) throws -> Void = { _ in }
    ) throws -> [ImageRecord] {
        var added: [ImageRecord] = []
        var isGarbageLeft = true
        do {
            let using = try blobs.sharedLock(call)
            defer { using.unlock() }
            try doing(what) {
                let workspace = try ImageWorkspace(context.home, call)
                let staging = try blobs.staging(workspace, with: reusable())
                let images = try withExtendedLifetime(workspace) {
                    let images = try fetch(workspace, staging)
                    try blobs.publish(images.map(\.digest), from: staging)
                    return images
                }
                for image in images {
                    try check(try blobs.describe(image.digest, as: what))
                    try trees.hold(image.digest, call).unlock()
                }
                isGarbageLeft = false
                for image in images {
                    for reference in image.references {
                        let record = try blobs.describe(image.digest, as: reference.description)
                        if try commit(record, as: reference) { isGarbageLeft = true }
                        added.append(record)
                    }
                }
            }
        } catch {
            // What was asked for has failed; that its remains could not be removed now is only said on top.
            do { try collect(.unbounded) } catch let second { throw KinaError(error).caused(by: second) }
            throw error
        }
        if isGarbageLeft || blobs.isPending { try collect(.unbounded) }
        return added
    }

    /// What images that are here have in common with others: all but manifests, which skopeo would overwrite.
    private func reusable() throws -> Set<String> {
        let all = try records.all()
        return Set(all.flatMap { $0.layers + [$0.id] }).subtracting(all.map(\.digest))
    }

    /// Writes the record. True when it took the reference from another image.
    private func commit(_ record: ImageRecord, as reference: ImageReference) throws -> Bool {
        let lock = try recordsLock(.unbounded)
        defer { lock.unlock() }
        let previous = try records.load(reference)
        try records.save(record, as: reference)
        return previous.map { $0.digest != record.digest } ?? false
    }

    private func recordsLock(_ call: Call) throws -> FileLock {
        try doing("locking the images' records") {
            try FileLock("\(directory)/refs.lock", call, for: "another call that changes images' references")
        }
    }

    private func delete(_ record: ImageRecord, force: Bool, _ call: Call) throws {
        // Waits for who is between preparing the image and recording that a container uses it.
        let tree = try trees.exclusiveLock(record.digest, call)
        defer { tree.unlock() }
        let lock = try recordsLock(call)
        defer { lock.unlock() }
        let reference = try ImageReference(record.reference, field: "reference")
        guard let current = try records.load(reference), current.digest == record.digest else {
            throw KinaError.notFound("image", record.reference)
        }
        let isLast = try !records.all().contains { $0.digest == record.digest && $0.reference != record.reference }
        if isLast, !force, let names = try users()[record.digest], !names.isEmpty {
            throw KinaError(
                .failedPrecondition, "image \(record.reference) is used by \(names.sorted().joined(separator: ", "))",
                hint: "delete these containers first, or use force: they keep what they need",
                details: ["containers": names.sorted().joined(separator: ",")])
        }
        try records.remove(reference)
        context.journal.append(.image, "delete", id: record.digest, name: record.reference)
    }

    // MARK: - Garbage

    struct Collected {
        var blobs = 0
        var trees: [String] = []
        var bytes: Int64 = 0
    }

    /// Removes blobs and trees that no reference and no container needs. While an image is being added, that is left
    /// to whoever adds it.
    @discardableResult
    func collect(_ call: Call, waitMs: Int64 = 0) throws -> Collected? {
        try blobs.setPending(true)
        guard let alone = try blobs.exclusiveLock(waitMs: waitMs, call) else { return nil }
        defer { alone.unlock() }
        return try doing("removing unused images") {
            let all = try records.all()
            let used = Set(try users().keys)
            let kept = used.union(all.map(\.digest))
            var keep = Set(all.flatMap(\.blobs))
            for digest in used where !keep.contains(digest) {
                keep.insert(digest)
                if let record = try? blobs.describe(digest, as: digest) { keep.formUnion(record.blobs) }
            }
            var result = Collected()
            var isDone = true
            for hex in try trees.all() where !kept.contains(Digest.prefix + hex) {
                guard let freed = try trees.remove(hex: hex) else {
                    isDone = false
                    keep.formUnion((try? blobs.describe(Digest.prefix + hex, as: hex))?.blobs ?? [])
                    continue
                }
                result.trees.append(hex)
                result.bytes += freed
            }
            let removed = try blobs.removeAll(except: keep)
            result.blobs = removed.count
            result.bytes += removed.bytes
            if isDone { try blobs.setPending(false) }
            return result
        }
    }

    /// Deletes references that no container uses (when `unused`), blobs and trees that nothing refers to, and what a
    /// crash left.
    func prune(unused: Bool, _ result: inout PruneResult, _ call: Call) throws {
        let workspaces = try doing("removing temporary files") { try ImageWorkspace.sweep(context.home, call) }
        result.reclaimed += workspaces.bytes
        if workspaces.count > 0 { result.leftovers.append("\(workspaces.count) temporary image directories") }
        try doing("sweeping image records") {
            for place in [records.directory, trees.directory] {
                result.leftovers += try sweepTemporaryFiles(place).map { "image record \($0)" }
            }
            for name in try Files.list("\(directory)/locks") {
                // What a pull that was killed has left.
                try FileLock.attempt("\(directory)/locks/\(name)")?.remove()
            }
        }
        for record in unused ? try records.all() : [] where try users()[record.digest, default: []].isEmpty {
            do {
                try delete(record, force: false, call)
                result.images.append(record.reference)
            } catch let error as KinaError where [.failedPrecondition, .notFound].contains(error.code) {
                continue  // used, or gone, since we looked
            }
        }
        guard let collected = try collect(call, waitMs: 5000) else { return }
        result.reclaimed += collected.bytes
        let orphans = collected.blobs + collected.trees.count
        if result.images.isEmpty, orphans > 0 { result.leftovers.append("\(orphans) image blobs and trees") }
    }
}
