#if Containerization
    import Containerization
    import ContainerizationOCI
    import Foundation
    import KinaCore

    /// Images as archives, and made of trees.
    extension MachineImages {
        /// A directory of our own for the while, with a store's layout or a tree in it.
        private func withDirectory<T>(_ body: (URL) throws -> T) throws -> T {
            let path = "\(home)/tmp/\(Identifier.random())"
            try doing("creating \(path)") { try Files.makeDirectories(path) }
            defer { try? Files.removeTree(path) }
            return try body(URL(fileURLWithPath: path))
        }

        /// Both forms, which newer Dockers write into one archive.
        func load(_ request: ImageLoadRequest, from fd: Int32, _ call: Call) throws -> ImageList {
            try withDirectory { directory in
                try Archive.extract(fd, to: directory, call)
                if !Files.exists("\(directory.path)/index.json") { try DockerArchive(directory).makeLayout(call) }
                let store = store
                let loaded = try blocking(call, for: "images to be loaded", graceMs: 0) {
                    try await store.load(from: directory)
                }
                return ImageList(try loaded.map { try named($0, request.reference, alone: loaded.count == 1) })
            }
        }

        /// Apple's store keeps the name as the archive spells it; kina's are complete.
        private func named(_ image: Containerization.Image, _ wanted: String?, alone: Bool) throws -> ImageStatus {
            if wanted != nil, !alone {
                throw KinaError.invalid("reference", wanted, "can't name several images", hint: "leave it out")
            }
            let name = try ImageReference(wanted ?? image.reference, field: "reference")
            if "\(name)" != image.reference {
                let store = store
                try blocking(.unbounded, for: "image \(name)") {
                    _ = try await store.tag(existing: image.reference, new: "\(name)")
                    try await store.delete(reference: image.reference)
                }
            }
            let status = try get("\(name)")
            journal.append(.image, "load", id: status.digest, name: status.reference)
            return status
        }

        func save(_ request: ImageSaveRequest, to fd: Int32, _ call: Call) throws {
            let names = try request.references.map { try get($0).reference }
            try withDirectory { directory in
                let store = store
                try blocking(call, for: "images to be saved", graceMs: 0) {
                    try await store.save(references: names, out: directory, platform: Self.platform)
                }
                if request.format == .docker { try DockerArchive(directory).describe() }
                try Archive.write(directory, to: fd, call)
            }
        }

        func `import`(_ request: ImageImportRequest, from fd: Int32?, _ call: Call) throws -> ImageStatus {
            let name = try ImageReference(request.reference, field: "reference")
            try Self.check(platform: request.platform)
            try request.config.validate()
            try withDirectory { directory in
                let layer = directory.appendingPathComponent("layer.tar")
                try Archive.layer(from: fd, or: request.directory, to: layer, call)
                let (store, contents) = (store, contents)
                try blocking(call, for: "image \(name) to be imported", graceMs: 0) {
                    let index = try await contents.compose(layer, request.config)
                    _ = try await store.create(
                        description: Containerization.Image.Description(reference: "\(name)", descriptor: index))
                }
            }
            let status = try get("\(name)")
            journal.append(.image, "import", id: status.digest, name: status.reference)
            return status
        }
    }
#endif
