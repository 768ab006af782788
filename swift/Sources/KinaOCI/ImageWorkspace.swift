import KinaCore

/// A private directory for one pull, load or unpacking: `<home>/tmp/image-<random>`, gone when the object goes.
///
/// A lock beside it tells the living from what a kill has left, which `sweep` removes.
final class ImageWorkspace: Sendable {
    let path: String
    private let lock: FileLock

    init(_ home: String, _ call: Call) throws {
        path = "\(home)/tmp/\(Self.prefix)\(Identifier.random())"
        let lockFile = path + Self.lockSuffix
        let directory = path
        lock = try doing("creating \(directory)") {
            let lock = try FileLock(lockFile, call, for: lockFile)
            try Files.makeDirectories(directory)
            return lock
        }
    }

    deinit {
        // What can't be removed now is found by `sweep`, by its lock file.
        if (try? Files.removeTree(path)) != nil { unlink(path + Self.lockSuffix) }
        // Not only by closing: a program that forked meanwhile has the same description.
        lock.unlock()
    }

    private static let prefix = "image-"
    private static let lockSuffix = ".lock"

    /// Removes those whose owner is gone; says how many and how big they were.
    static func sweep(_ home: String, _ call: Call) throws -> (count: Int, bytes: Int64) {
        var count = 0
        var bytes: Int64 = 0
        for name in try Files.list("\(home)/tmp") where name.hasPrefix(prefix) && name.hasSuffix(lockSuffix) {
            try call.check("the removal of temporary files")
            let lockFile = "\(home)/tmp/\(name)"
            let path = lockFile.replacingSuffix(lockSuffix)
            guard let lock = try FileLock.attempt(lockFile) else { continue }
            bytes += TreeSize(path).allocated
            try Files.removeTree(path)
            unlink(lockFile)
            lock.unlock()
            count += 1
        }
        return (count, bytes)
    }

    /// A path within.
    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// A layout (image-spec/image-layout.md) of these images whose blobs are in a directory elsewhere.
    func makeLayout(_ name: String, _ manifests: [OCIDescriptor], blobs: String) throws {
        try doing("creating an image layout") {
            try Files.makeDirectories(file(name))
            try Files.writeAtomically(
                file("\(name)/oci-layout"), Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8), sync: false)
            try Files.writeAtomically(
                file("\(name)/index.json"), try JSON.encode(OCIIndex(manifests: manifests)), sync: false)
            try attempt("symlink") { symlink(blobs, file("\(name)/blobs")) }
        }
    }

    /// The manifest that skopeo has written to a layout.
    func manifestDigest(_ layout: String) throws -> String {
        let bytes = try doing("reading an image layout") { try Files.read(file("\(layout)/index.json")) }
        guard let manifest = try JSON.decode(OCIIndex.self, from: bytes, what: "index.json").manifests.first else {
            throw KinaError(.dataLoss, "skopeo wrote a layout without an image")
        }
        return manifest.digest
    }
}

/// Removes temporary files of writers that were killed before they renamed them; says which.
func sweepTemporaryFiles(_ directory: String) throws -> [String] {
    try Files.list(directory).filter { name in
        guard name.hasSuffix(".tmp") else { return false }
        let path = "\(directory)/\(name)"
        var info = stat()
        guard stat(path, &info) == 0, time(nil) - info.st_mtim.tv_sec > 60 else { return false }
        return unlink(path) == 0
    }
}

extension String {
    func replacingSuffix(_ suffix: String) -> String { hasSuffix(suffix) ? String(dropLast(suffix.count)) : self }
}

extension FileLock {
    /// nil when somebody has it.
    static func attempt(_ path: String, shared: Bool = false) throws -> FileLock? {
        do {
            return try FileLock(path, shared: shared, Call.unbounded.within(ms: 0), for: path)
        } catch let error as KinaError where error.code == .deadlineExceeded {
            return nil
        }
    }
}
