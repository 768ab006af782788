import KinaCore

/// What a reference stands for.
struct ImageRecord: Document {
    var schema = 1
    /// Fully spelled.
    var reference: String
    /// The manifest's digest.
    var digest: String
    /// The configuration's digest.
    var id: String
    var platform: String
    var size: Int64
    /// The layers' digests, lowest first.
    var layers: [String]
    var createdAt: Int64?
    var config: ImageConfig

    /// Everything in the blob directory that it needs.
    var blobs: [String] { [digest, id] + layers }

    func status(withConfig: Bool) -> ImageStatus {
        ImageStatus(
            reference: reference, digest: digest, id: id, platform: platform, size: size, layers: layers.count,
            createdAt: createdAt, config: withConfig ? config : nil)
    }
}

/// The references: one file each, `refs/<reference, percent-encoded>.json`.
struct ImageRecords: Sendable {
    let directory: String
    private let cache = FileCache<ImageRecord>()

    init(_ images: String) throws {
        directory = "\(images)/refs"
        try doing("creating \(directory)") { try Files.makeDirectories(directory) }
    }

    private func file(_ reference: ImageReference) -> String { "\(directory)/\(reference.fileName).json" }

    func load(_ reference: ImageReference) throws -> ImageRecord? { try load(file: file(reference)) }

    private func load(file path: String) throws -> ImageRecord? {
        try cache.value(path) { try read(path) }
    }

    private func read(_ path: String) throws -> ImageRecord? {
        do {
            return try JSON.decode(ImageRecord.self, from: try Files.read(path), what: "image record")
        } catch let error as Errno where error.code == ENOENT {
            return nil
        } catch let error as Errno {
            throw KinaError(error, "reading \(path)")
        } catch let error as KinaError {
            throw KinaError(
                .dataLoss, "the image record \(path) can't be read: \(error.message)",
                hint: "remove that file and pull the image again")
        }
    }

    /// Takes the reference from whatever image had it.
    func save(_ record: ImageRecord, as reference: ImageReference) throws {
        try doing("recording image \(reference)") {
            try Files.writeAtomically(file(reference), try JSON.encode(record))
        }
    }

    func remove(_ reference: ImageReference) throws {
        try doing("removing image \(reference)") { try Files.remove(file(reference)) }
    }

    func all() throws -> [ImageRecord] {
        let names = try doing("listing images") { try Files.list(directory) }
        return try names.filter { $0.hasSuffix(".json") }.sorted().compactMap { try load(file: "\(directory)/\($0)") }
    }

    /// By reference; by digest or id, whole with "sha256:" or a beginning of the id of at least 12 digits.
    ///
    /// - Throws: INVALID_ARGUMENT for what is neither.
    func find(_ text: String, field: String) throws -> ImageRecord? {
        if let digits = Self.digits(of: text) {
            // A name may look like the beginning of an id; then it is the name, as with Docker.
            if let reference = try? ImageReference(text, field: field), let record = try load(reference) {
                return record
            }
            return try find(digits: digits, text, field)
        }
        let reference = try ImageReference(text, field: field)
        if let record = try load(reference) { return record }
        guard let digest = reference.digest else { return nil }
        return try all().first { record in
            record.digest == digest
                && (try? ImageReference(record.reference, field: field))?.repository == reference.repository
        }
    }

    private static func digits(of text: String) -> String? {
        let digits = text.hasPrefix(Digest.prefix) ? String(text.dropFirst(Digest.prefix.count)) : text
        return Digest.isHex(digits, count: 12...64) ? digits : nil
    }

    private func find(digits: String, _ text: String, _ field: String) throws -> ImageRecord? {
        let wanted = Digest.prefix + digits
        let matches = try all().filter { $0.id.hasPrefix(wanted) || $0.digest == wanted }
        guard Set(matches.map(\.id)).count <= 1 else {
            throw KinaError.invalid(field, text, "is the beginning of several images' ids", hint: "give more of the id")
        }
        return matches.first
    }
}
