import KinaCore

/// The unpacked images, `rootfs/<manifest digest>/`: lower directories of overlays, never written once in place.
///
/// `<digest>.lock` is held shared by who uses the tree before a record says so, and alone by who makes or removes it.
/// `<digest>.json` is written last: a tree without it is what a crash left.
struct ImageTrees: Sendable {
    /// Says that a tree is whole. Files are not flushed when a tree is made (that costs seconds for big images), so
    /// after another boot the figures are compared: a file that was lost with the power is shorter then.
    private struct Marker: Document {
        var bootID: String
        var size: TreeSize
    }

    let directory: String
    private let context: Context
    private let blobs: BlobStore
    private let bootID: String
    private let markers = FileCache<Marker>()

    init(_ context: Context, _ images: String, _ blobs: BlobStore) throws {
        self.context = context
        self.blobs = blobs
        directory = "\(images)/rootfs"
        let directory = directory
        bootID = try doing("reading the boot id") {
            try Files.makeDirectories(directory)
            return try Context.bootID()
        }
    }

    func path(_ digest: String) throws -> String { "\(directory)/\(try Digest.hex(digest))" }

    /// The lock that keeps the tree, which is made first if need be.
    func hold(_ digest: String, _ call: Call) throws -> FileLock {
        let path = try path(digest)
        let lockFile = "\(path).lock"
        return try doing("preparing image \(digest)") {
            while true {
                let shared = try FileLock(lockFile, shared: true, call, for: "image \(digest), which is being unpacked")
                if isComplete(path) { return shared }
                shared.unlock()
                let own = try FileLock(lockFile, call, for: "image \(digest), which another call is unpacking")
                defer { own.unlock() }
                if !isComplete(path), try !survived(path) { try unpack(digest, to: path, call) }
            }
        }
    }

    private func marker(_ path: String) -> Marker? {
        let file = "\(path).json"
        return markers.value(file) {
            guard let bytes = try? Files.read(file) else { return nil }
            return try? JSON.decode(Marker.self, from: bytes, what: "image tree")
        }
    }

    private func isComplete(_ path: String) -> Bool { marker(path)?.bootID == bootID && Files.isDirectory(path) }

    /// Whether a tree of an earlier boot is as it was made.
    private func survived(_ path: String) throws -> Bool {
        guard let marker = marker(path), marker.size == TreeSize(path) else { return false }
        try mark(path, marker.size)
        return true
    }

    private func mark(_ path: String, _ size: TreeSize) throws {
        try Files.writeAtomically("\(path).json", try JSON.encode(Marker(bootID: bootID, size: size)), sync: false)
    }

    private func unpack(_ digest: String, to path: String, _ call: Call) throws {
        call.report(ProgressEvent(action: "unpack", item: shortDigest(digest), state: "started"))
        let using = try blobs.sharedLock(call)
        defer { using.unlock() }
        try Files.remove("\(path).json")
        try Files.removeTree(path)
        let workspace = try ImageWorkspace(context.home, call)
        let manifest = OCIDescriptor(
            MediaType.manifest, digest, try fileSize(blobs.path(digest)), annotations: [MediaType.refName: "image"])
        try workspace.makeLayout("layout", [manifest], blobs: blobs.directory)
        // A directory with nothing else in it: umoci 0.4.7 takes a whiteout of ".." in a layer's root for an order to
        // remove the directory that the tree is in. All else it keeps within the tree.
        try Files.makeDirectories(workspace.file("unpack"))
        let tree = workspace.file("unpack/rootfs")
        let size = try runUmoci(in: workspace, tree: tree, call)
        _ = try withExtendedLifetime(workspace) { try attempt("rename \(path)") { rename(tree, path) } }
        try mark(path, size)
        call.report(ProgressEvent(action: "unpack", item: shortDigest(digest), state: "done", current: size.apparent))
    }

    private func runUmoci(in workspace: ImageWorkspace, tree: String, _ call: Call) throws -> TreeSize {
        var command = Command(context.tools.umoci, ["raw", "unpack", "--image", "layout:image", "unpack/rootfs"])
        command.workingDirectory = workspace.path
        var watch = UnpackWatch(tree, limit: context.unpackLimit)
        let output = try ToolFailure.naming("unpacking the image") { try command.run(call, tick: { try watch.tick() }) }
        guard output.status.isSuccess else { throw ToolFailure.umoci(output, directory: workspace.path) }
        return try watch.checkAll()
    }

    /// Removes the tree unless somebody holds it. Answers the bytes that were freed, nil when it is held.
    func remove(hex: String) throws -> Int64? {
        let path = "\(directory)/\(hex)"
        guard let lock = try FileLock.attempt("\(path).lock") else { return nil }
        defer { lock.unlock() }
        let freed = TreeSize(path).allocated
        try Files.remove("\(path).json")
        try Files.removeTree(path)
        try Files.remove("\(path).lock")
        return freed
    }

    /// Alone with the tree, for who removes the last reference to it.
    func exclusiveLock(_ digest: String, _ call: Call) throws -> FileLock {
        let path = try path(digest)
        return try doing("locking image \(digest)") {
            try FileLock("\(path).lock", call, for: "image \(digest), which a container is being created from")
        }
    }

    /// The digests of all trees, whole or not, without the prefix.
    func all() throws -> Set<String> {
        Set(try Files.list(directory).map { String($0.prefix { $0 != "." }) })
    }
}

/// Ends an unpacking that grows beyond all bounds: a small archive can hold more than any disk.
struct UnpackWatch {
    private let tree: String
    private let limit: Int64
    private let before: Int64?
    private var measuredAt = Clock.monotonic()
    private var measuringTook: Int64 = 0

    init(_ tree: String, limit: Int64) {
        self.tree = tree
        self.limit = limit
        before = freeBytes(String(tree[..<(tree.lastIndex(of: "/") ?? tree.endIndex)]))
    }

    /// The free space is cheap to ask for and tells most; the tree is measured when that has dropped by more than the
    /// limit, and now and then, since other programs free space and file systems compress.
    mutating func tick() throws {
        let now = Clock.monotonic()
        let dropped = before.flatMap { before in freeBytes(tree).map { before - $0 > limit } } ?? false
        // At most a tenth of the time.
        let pause = max(dropped ? 0 : 2_000_000_000, 10 * measuringTook)
        guard now - measuredAt >= pause else { return }
        try checkAll()
        measuredAt = Clock.monotonic()
        measuringTook = measuredAt - now
    }

    @discardableResult
    func checkAll() throws -> TreeSize {
        let size = TreeSize(tree)
        guard max(size.allocated, size.apparent) <= limit else { throw Self.exceeded(limit) }
        return size
    }

    static func exceeded(_ limit: Int64) -> KinaError {
        KinaError(
            .resourceExhausted, "the image unpacks to more than \(limit) bytes, the limit",
            hint: "raise unpackLimit where the runtime is opened, if the image is to be trusted",
            details: ["field": "unpackLimit", "value": "\(limit)"])
    }
}

func fileSize(_ path: String) throws -> Int64 {
    var info = stat()
    try attempt("stat \(path)") { stat(path, &info) }
    return Int64(info.st_size)
}

/// The 12 digits that people know a layer by.
func shortDigest(_ digest: String) -> String { String(digest.replacingPrefix(Digest.prefix).prefix(12)) }
