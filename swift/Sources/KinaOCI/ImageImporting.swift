import KinaCore

/// Makes an image of one layer from a tar or a directory.
///
/// The layer stays uncompressed (it is unpacked here; skopeo compresses when it pushes), and nothing in the image
/// depends on when it was made: the same tar with the same configuration has the same digest, and is unpacked once.
struct ImageImporting: Sendable {
    let staging: BlobDirectory
    let workspace: ImageWorkspace
    let limit: Int64

    /// Answers the manifest's digest; the blobs are in `staging`.
    func fromTar(_ fd: Int32, _ config: ImageConfig, _ platform: ImagePlatform, _ call: Call) throws -> String {
        let archive = try ImageArchive(fd, workspace, limit: limit, call)
        let layer = workspace.file("layer.tar")
        try doing("reading the archive") {
            guard let source = archive.keep.first else { return }
            let input = try FileDescriptor.open("/proc/self/fd/\(source)", O_RDONLY)
            _ = try ImageArchive.copy(input, to: layer, limit: limit, call)
        }
        return try makeImage(layer, config, platform, call)
    }

    func fromDirectory(_ directory: String, _ config: ImageConfig, _ platform: ImagePlatform, _ call: Call) throws
        -> String
    {
        guard Files.exists(directory) else { throw KinaError.invalid("directory", directory, "does not exist") }
        guard Files.isDirectory(directory) else {
            throw KinaError.invalid("directory", directory, "is not a directory")
        }
        let layer = workspace.file("layer.tar")
        let options = [
            "--numeric-owner", "--xattrs", "--xattrs-include=*", "--one-file-system", "--sort=name",
            "--format=posix", "--pax-option=delete=atime,delete=ctime", "--warning=no-file-ignored",
        ]
        let output = try Command(try hostTool("tar"), options + ["-cf", layer, "-C", directory, "."]).run(call) {
            var info = stat()
            if stat(layer, &info) == 0, Int64(info.st_size) > limit { throw UnpackWatch.exceeded(limit) }
        }
        switch output.status {
        case .exited(0): break
        case .exited(1):
            throw KinaError(
                .failedPrecondition, "'\(directory)' changed while it was read: \(output.errorText)",
                hint: "import it when nothing writes to it")
        default:
            if ToolFailure.isDiskFull(output) {
                throw KinaError(Errno(ENOSPC, "tar"), "importing \(directory)")
            }
            throw KinaError(.failedPrecondition, "'\(directory)' can't be read: \(output.errorText)")
        }
        return try makeImage(layer, config, platform, call)
    }

    private func makeImage(_ layer: String, _ config: ImageConfig, _ platform: ImagePlatform, _ call: Call) throws
        -> String
    {
        try doing("writing the image") {
            let size = try fileSize(layer)
            let layerDigest = try staging.digest(layer, call)
            try staging.adopt(layer, layerDigest)
            let configuration = try staging.add(
                OCIImageConfiguration(config, platform, diffID: layerDigest), workspace, call)
            let manifest = OCIManifest(
                config: OCIDescriptor(MediaType.config, configuration.digest, configuration.size),
                layers: [OCIDescriptor(MediaType.layer, layerDigest, size)])
            return try staging.add(manifest, workspace, call).digest
        }
    }
}
