#if Containerization
    import Containerization
    import ContainerizationOCI
    import Foundation
    import KinaCore

    /// An unpacked archive in Docker's form: `manifest.json`, which names configurations and layers by their paths.
    struct DockerArchive {
        private static let layout = #"{"imageLayoutVersion":"1.0.0"}"#
        private let directory: URL
        private var manifest: String { "\(directory.path)/manifest.json" }
        private var blobs: URL { directory.appendingPathComponent("blobs/sha256") }

        init(_ directory: URL) { self.directory = directory }

        // MARK: Reading

        /// Makes it an OCI layout in its place.
        func makeLayout(_ call: Call) throws {
            guard Files.exists(manifest) else {
                throw KinaError(
                    .invalidArgument, "the archive has neither index.json nor manifest.json",
                    hint: "pass a whole Docker or OCI image archive, as `docker save` or kina write it")
            }
            let entries = try JSON.decode(
                [DockerArchiveImage].self, from: try doing("reading manifest.json") { try Files.read(manifest) },
                what: "manifest.json")
            try doing("creating \(blobs.path)") { try Files.makeDirectories(blobs.path) }
            var index = Index(manifests: [])
            do {
                let blobs = try ImageBlobs(blobs)
                for entry in entries { index.manifests += try images(entry, blobs, call) }
            } catch { throw KinaError(guest: error, "reading the archive") }
            try doing("writing the layout") {
                try Files.writeAtomically("\(directory.path)/index.json", try JSON.encode(index), sync: false)
                try Files.writeAtomically("\(directory.path)/oci-layout", Array(Self.layout.utf8), sync: false)
            }
        }

        /// One for each of its names.
        private func images(_ entry: DockerArchiveImage, _ blobs: ImageBlobs, _ call: Call) throws -> [Descriptor] {
            let config = Data(try doing("reading \(entry.Config)") { try Files.read(try inside(entry.Config)) })
            let image = try JSON.decode(OCIImageConfiguration.self, from: config, what: entry.Config)
            guard image.rootfs.diff_ids.count == entry.Layers.count else { throw damaged(entry.Config) }
            let layers = try zip(entry.Layers, image.rootfs.diff_ids).map { path, diffID in
                try call.check("the archive to be read")
                let layer = try blobs.layer(URL(fileURLWithPath: try inside(path)))
                if layer.isPlain, layer.descriptor.digest != diffID { throw damaged(path) }
                return layer.descriptor
            }
            let platform = Platform(arch: image.architecture, os: image.os, variant: image.variant)
            var index = try blobs.index(config, layers, for: platform)
            let names = entry.RepoTags ?? []
            if names.isEmpty { return [index] }
            return names.map { name in
                index.annotations = [AnnotationKeys.containerdImageName: name]
                return index
            }
        }

        private func damaged(_ path: String) -> KinaError {
            KinaError(
                .dataLoss, "the archive is damaged: \(path) is not what its image's configuration names",
                hint: "save the image again")
        }

        /// Older Dockers have links to layers in their archives: they lead nowhere out of it.
        private func inside(_ path: String) throws -> String {
            let resolved = try [directory.path, "\(directory.path)/\(path)"].map { path in
                guard let raw = realpath(path, nil) else {
                    throw KinaError(
                        .invalidArgument, "the archive lacks \(path)", hint: "pass a whole image archive")
                }
                defer { free(raw) }
                return String(cString: raw)
            }
            guard resolved[1].hasPrefix(resolved[0] + "/") else {
                throw KinaError(
                    .invalidArgument, "the archive names '\(path)', which is outside of it",
                    hint: "don't trust where it is from")
            }
            return resolved[1]
        }

        // MARK: Writing

        /// Adds to an OCI layout what Docker looks for, as its own newer versions do.
        func describe() throws {
            let index = try document(Index.self, "\(directory.path)/index.json")
            var entries: [DockerArchiveImage] = []
            for descriptor in index.manifests {
                let images = try document(Index.self, blob(descriptor))
                for listed in images.manifests
                where listed.mediaType == MediaTypes.imageManifest
                    || listed.mediaType == MediaTypes.dockerManifest
                {
                    let manifest = try document(Manifest.self, blob(listed))
                    let name = descriptor.annotations?[AnnotationKeys.containerdImageName]
                    entries.append(
                        DockerArchiveImage(
                            config: relative(manifest.config), tags: name.map { [$0] },
                            layers: manifest.layers.map(relative)))
                }
            }
            try doing("writing manifest.json") {
                try Files.writeAtomically(manifest, try JSON.encode(entries), sync: false)
            }
        }

        private func relative(_ descriptor: Descriptor) -> String { "blobs/sha256/\(descriptor.digest.dropFirst(7))" }
        private func blob(_ descriptor: Descriptor) -> String { "\(directory.path)/\(relative(descriptor))" }

        private func document<T: Decodable>(_ type: T.Type, _ path: String) throws -> T {
            try JSON.decode(type, from: try doing("reading \(path)") { try Files.read(path) }, what: "\(T.self)")
        }
    }
#endif
