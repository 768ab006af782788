import KinaCore

/// Files named by the digest of what is in them, as in an image layout: `sha256/<digits>`.
struct BlobDirectory: Sendable {
    let directory: String
    private static let longestDocument: Int64 = 8 << 20

    init(_ directory: String) throws {
        self.directory = directory
        let sha256 = "\(directory)/sha256"
        try doing("creating \(sha256)") { try Files.makeDirectories(sha256) }
    }

    func path(_ digest: String) throws -> String { "\(directory)/sha256/\(try Digest.hex(digest))" }

    func document<T: Decodable>(_ type: T.Type, _ digest: String) throws -> T {
        do {
            let path = try path(digest)
            guard try fileSize(path) <= Self.longestDocument else {
                throw KinaError(.invalidArgument, "the image's document \(digest) has more than 8 MiB")
            }
            return try JSON.decode(type, from: try Files.read(path), what: "image document \(digest)")
        } catch let error as Errno where error.code == ENOENT {
            throw missing(digest)
        } catch let error as Errno {
            throw KinaError(error, "reading the image's blob \(digest)")
        }
    }

    func missing(_ digest: String) -> KinaError {
        KinaError(.dataLoss, "the image's blob \(digest) is missing", hint: "pull or load the image again")
    }

    /// What a manifest says. Its digest stands for a reference.
    func describe(_ digest: String) throws -> ImageRecord {
        let manifest = try document(OCIManifest.self, digest)
        let configuration = try document(OCIImageConfiguration.self, manifest.config.digest)
        return ImageRecord(
            reference: digest, digest: digest, id: manifest.config.digest,
            platform: configuration.platform.description,
            size: manifest.layers.reduce(manifest.config.size) { $0 + $1.size },
            layers: manifest.layers.map(\.digest), createdAt: configuration.createdAt,
            config: configuration.imageConfig)
    }

    /// Makes a file, which must be on the same file system, the blob of this digest.
    func adopt(_ file: String, _ digest: String) throws {
        let fd = try FileDescriptor.open(file, O_RDONLY)
        try attempt("fsync \(file)") { fsync(fd.raw) }
        let target = try path(digest)
        try attempt("rename \(target)") { rename(file, target) }
    }

    /// Writes a document, which is found by its digest.
    func add(_ document: some Encodable, _ workspace: ImageWorkspace, _ call: Call) throws
        -> (digest: String, size: Int64)
    {
        let bytes = try JSON.encode(document)
        let file = workspace.file("document.json")
        try Files.writeAtomically(file, bytes, sync: false)
        let digest = try digest(file, call)
        try adopt(file, digest)
        return (digest, Int64(bytes.count))
    }

    func digest(_ file: String, _ call: Call) throws -> String {
        let output = try Command(try hostTool("sha256sum"), ["--", file]).run(call)
        let digest = Digest.prefix + String(output.text.prefix { $0 != " " })
        guard output.status.isSuccess, Digest.isValid(digest) else {
            throw KinaError(.internal, "sha256sum of \(file) failed: \(output.errorText)")
        }
        return digest
    }
}
