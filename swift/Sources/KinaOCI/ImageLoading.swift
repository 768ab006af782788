import KinaCore

/// An image that an archive brought, by its manifest's digest, and the references it shall have.
struct LoadedImage: Sendable {
    var digest: String
    var references: [ImageReference]
}

/// Reads `docker save`'s and OCI's archives.
struct ImageLoading: Sendable {
    let skopeo: Skopeo
    let staging: BlobDirectory
    let archive: ImageArchive
    let workspace: ImageWorkspace
    /// Instead of the one name in the archive.
    let rename: ImageReference?
    let limit: Int64

    func load(_ call: Call) throws -> [LoadedImage] {
        let entries = try archive.entries(call)
        switch try archive.kind(entries) {
        case .docker: return try loadDocker(entries, call)
        case .oci: return try loadOCI(entries, call)
        }
    }

    private func loadDocker(_ entries: [ImageArchive.Entry], _ call: Call) throws -> [LoadedImage] {
        guard let entry = entries.first(where: { $0.cleanName == "manifest.json" }) else { return [] }
        let images = try document([DockerArchiveImage].self, try archive.file(entry, call), entry.name)
        try checkCount(images.count)
        return try images.enumerated().map { index, image in
            let references = try names(image.RepoTags ?? [])
            let digest = try skopeo.import(
                "docker-archive:\(ImageArchive.childPath):@\(index)", keep: archive.keep, into: staging,
                as: "image\(index)",
                doing: "loading \(references.first?.description ?? "the image")", workspace, call)
            return LoadedImage(digest: digest, references: references)
        }
    }

    private func loadOCI(_ entries: [ImageArchive.Entry], _ call: Call) throws -> [LoadedImage] {
        try archive.extract(entries, to: workspace.file("archive.d"), limit: limit, call)
        let bytes = try doing("reading index.json") { try Files.read(workspace.file("archive.d/index.json")) }
        let images = Self.choose(try document(OCIIndex.self, bytes, "index.json").manifests)
        try checkCount(images.count)
        return try images.enumerated().map { index, descriptor in
            let references = try names(Self.name(descriptor).map { [$0] } ?? [])
            var one = descriptor
            one.annotations = [MediaType.refName: "image"]
            try workspace.makeLayout("source\(index)", [one], blobs: workspace.file("archive.d/blobs"))
            let digest = try skopeo.import(
                "oci:source\(index):image", keep: [], into: staging, as: "image\(index)",
                doing: "loading \(references.first?.description ?? "the image")", workspace, call)
            return LoadedImage(digest: digest, references: references)
        }
    }

    /// One descriptor a name: of several platforms' the host's. What describes an image (attestations) is none.
    private static func choose(_ descriptors: [OCIDescriptor]) -> [OCIDescriptor] {
        var chosen: [(name: String?, descriptor: OCIDescriptor)] = []
        for descriptor in descriptors where descriptor.platform?.os != "unknown" {
            let name = name(descriptor)
            let isOurs = descriptor.platform.map { ImagePlatform.host.accepts(ImagePlatform($0)) } ?? false
            let isVariant = descriptor.platform != nil
            if let index = chosen.firstIndex(where: { $0.name == name && isVariant && $0.descriptor.platform != nil }) {
                if isOurs { chosen[index].descriptor = descriptor }
            } else {
                chosen.append((name, descriptor))
            }
        }
        return chosen.map(\.descriptor)
    }

    /// A tag alone ("latest", as some builders write) is no name.
    private static func name(_ descriptor: OCIDescriptor) -> String? {
        if let name = descriptor.annotations?[MediaType.containerdName] { return name }
        return descriptor.annotations?[MediaType.refName].flatMap { $0.contains("/") || $0.contains(":") ? $0 : nil }
    }

    private func document<T: Decodable>(_ type: T.Type, _ bytes: [UInt8], _ name: String) throws -> T {
        do {
            return try JSON.decode(type, from: bytes, what: name)
        } catch let error as KinaError {
            throw ImageArchive.invalid("has a malformed \(name): \(error.message)")
        }
    }

    private func checkCount(_ count: Int) throws {
        guard count > 0 else { throw ImageArchive.invalid("has no image in it") }
        guard count == 1 || rename == nil else {
            throw KinaError.invalid(
                "reference", rename?.description, "can't be given to \(count) images",
                hint: "leave reference out; the archive names its images")
        }
    }

    private func names(_ texts: [String]) throws -> [ImageReference] {
        if let rename { return [rename] }
        guard !texts.isEmpty else {
            throw KinaError.invalid(
                "reference", nil, "is missing, and the archive does not name its image", hint: "pass reference")
        }
        return try texts.map { try ImageReference($0, field: "reference") }
    }
}
