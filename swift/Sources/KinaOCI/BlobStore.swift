import KinaCore

/// The one content-addressed directory that all images' manifests, configurations and layers are in.
///
/// skopeo never writes there: it puts manifests in place with a plain write, which others would read half written and
/// a kill would leave so. An image is fetched into its workspace's directory and published from there.
///
/// Whoever adds blobs holds `sharedLock` until a record names them; whoever removes blobs holds it alone.
struct BlobStore: Sendable {
    private let blobs: BlobDirectory
    private let lockFile: String
    private let pendingFile: String
    private let described = FileCache<ImageRecord>()

    var directory: String { blobs.directory }

    init(_ images: String) throws {
        blobs = try BlobDirectory("\(images)/blobs")
        lockFile = "\(images)/blobs.lock"
        pendingFile = "\(images)/garbage"
    }

    func path(_ digest: String) throws -> String { try blobs.path(digest) }

    func sharedLock(_ call: Call) throws -> FileLock {
        try doing("locking the image store") {
            try FileLock(lockFile, shared: true, call, for: "the removal of unused images")
        }
    }

    /// nil when an image is being added right now.
    func exclusiveLock(waitMs: Int64, _ call: Call) throws -> FileLock? {
        do {
            return try doing("locking the image store") {
                try FileLock(lockFile, call.within(ms: waitMs), for: "images that are being added")
            }
        } catch let error as KinaError where error.code == .deadlineExceeded {
            return nil
        }
    }

    /// Whether garbage was left because an image was just being added.
    var isPending: Bool { Files.exists(pendingFile) }

    func setPending(_ pending: Bool) throws {
        if pending {
            _ = try FileDescriptor.open(pendingFile, O_WRONLY | O_CREAT)
        } else {
            try Files.remove(pendingFile)
        }
    }

    /// What a manifest says, under a reference.
    func describe(_ digest: String, as reference: String) throws -> ImageRecord {
        guard var record = try described.value(path(digest), read: { try blobs.describe(digest) }) else {
            throw blobs.missing(digest)
        }
        record.reference = reference
        return record
    }

    /// A directory to fetch an image into, which has these blobs already, so that they need not come again.
    func staging(_ workspace: ImageWorkspace, with digests: Set<String>) throws -> BlobDirectory {
        let staging = try BlobDirectory(workspace.file("blobs"))
        for digest in digests {
            let source = try path(digest), target = try staging.path(digest)
            if link(source, target) < 0, errno != ENOENT { throw Errno(errno, "link \(target)") }
        }
        return staging
    }

    /// Puts images' blobs in place, each whole or not at all.
    func publish(_ digests: [String], from staging: BlobDirectory) throws {
        let described = try digests.map { try staging.describe($0) }
        // Manifests last: then all that they name is there.
        for digest in Set(described.flatMap { $0.layers + [$0.id] }).sorted() + Set(digests).sorted() {
            let source = try staging.path(digest)
            // A link to what is there already stays as it is: rename(2) of two names of one file does nothing.
            if Files.exists(source) { try blobs.adopt(source, digest) }
        }
    }

    /// Removes all but these. Under the exclusive lock.
    func removeAll(except keep: Set<String>) throws -> (count: Int, bytes: Int64) {
        var count = 0
        var bytes: Int64 = 0
        for name in try Files.list("\(directory)/sha256") where !keep.contains(Digest.prefix + name) {
            let path = "\(directory)/sha256/\(name)"
            var info = stat()
            if lstat(path, &info) == 0 { bytes += Int64(info.st_blocks) * 512 }
            try Files.removeTree(path)
            count += 1
        }
        return (count, bytes)
    }
}
