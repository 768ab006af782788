#if Containerization
    import Containerization
    import ContainerizationOCI
    import Foundation
    import KinaCore
    import Synchronization

    /// An image's documents, as blobs.
    struct ImageBlobs {
        private let writer: ContentWriter

        /// Into a directory, each under its digest.
        init(_ directory: URL) throws { writer = try ContentWriter(for: directory) }

        /// A layer's file: compressed by gzip, or plain, and then its digest is also the one that configurations name.
        func layer(_ file: URL) throws -> (descriptor: Descriptor, isPlain: Bool) {
            let start = try doing("reading \(file.path)") {
                try FileDescriptor.open(file.path, O_RDONLY).read(2) ?? []
            }
            let isPlain = start != [0x1F, 0x8B]
            let written = try writer.create(from: file)
            return (
                Descriptor(
                    mediaType: isPlain ? MediaTypes.imageLayer : MediaTypes.imageLayerGzip,
                    digest: written.digest.digestString, size: written.size), isPlain
            )
        }

        /// Manifest and index over a configuration, as its author spelled it, and its layers.
        func index(_ config: Data, _ layers: [Descriptor], for platform: Platform) throws -> Descriptor {
            let described = try writer.write(config)
            let manifest = Manifest(
                config: Descriptor(
                    mediaType: MediaTypes.imageConfig, digest: described.digest.digestString, size: described.size),
                layers: layers)
            let listed = try writer.create(from: manifest)
            let written = try writer.create(
                from: Index(manifests: [
                    Descriptor(
                        mediaType: MediaTypes.imageManifest, digest: listed.digest.digestString, size: listed.size,
                        platform: platform)
                ]))
            return Descriptor(mediaType: MediaTypes.index, digest: written.digest.digestString, size: written.size)
        }
    }

    extension LocalContentStore {
        /// An image of one plain layer.
        func compose(_ layer: URL, _ config: KinaCore.ImageConfig) async throws -> Descriptor {
            let top = Mutex<Descriptor?>(nil)
            _ = try await ingest { directory in
                let blobs = try ImageBlobs(directory)
                let packed = try blobs.layer(layer)
                let document = OCIImageConfiguration(config, .host, diffID: packed.descriptor.digest)
                let index = try blobs.index(
                    Data(try JSON.encode(document)), [packed.descriptor], for: MachineImages.platform)
                top.withLock { $0 = index }
            }
            guard let index = top.withLock({ $0 }) else { throw KinaError(.internal, "an image was not composed") }
            return index
        }
    }
#endif
