import KinaCore

/// Writes archives of images that are here to a descriptor.
struct ImageSaving: Sendable {
    let skopeo: Skopeo
    let blobs: BlobStore
    let workspace: ImageWorkspace

    /// An image layout whose index names all of them; blobs go from their directory straight into the archive.
    func saveOCI(_ images: [(reference: String, record: ImageRecord)], to fd: Int32, _ call: Call) throws {
        let descriptors = try images.map { reference, record in
            OCIDescriptor(
                MediaType.manifest, record.digest, try fileSize(blobs.path(record.digest)),
                annotations: [MediaType.refName: reference, MediaType.containerdName: reference])
        }
        try workspace.makeLayout("archive", descriptors, blobs: blobs.directory)
        let names = Set(images.flatMap { $0.record.blobs })
        let files = try names.map { "blobs/sha256/\(try Digest.hex($0))" }.sorted()
        // The directory of blobs' parent has them under just these names.
        let images = String(blobs.directory.dropLast("/blobs".count))
        try pack([(workspace.file("archive"), ["oci-layout", "index.json"]), (images, files)], to: fd, call)
    }

    /// skopeo puts one image in a Docker archive; the archives of several are joined by their manifests, since all
    /// other names in them are digests.
    func saveDocker(_ images: [(reference: String, record: ImageRecord)], to fd: Int32, _ call: Call) throws {
        var joined: [DockerArchiveImage] = []
        var seen: [String] = []
        for (_, record) in images where !seen.contains(record.digest) {
            let file = "archive\(seen.count)"
            seen.append(record.digest)
            let tags = images.filter { $0.record.digest == record.digest }.map(\.reference)
            try skopeo.dockerArchive(record, tags: tags, to: file, workspace, call)
            joined += try extract(file, call)
        }
        let manifest = workspace.file("joined/manifest.json")
        try Files.writeAtomically(manifest, try JSON.encode(joined), sync: false)
        let files = Set(joined.flatMap { [$0.Config] + $0.Layers }).sorted()
        try pack([(workspace.file("joined"), ["manifest.json"] + files)], to: fd, call)
    }

    private func extract(_ file: String, _ call: Call) throws -> [DockerArchiveImage] {
        let joined = workspace.file("joined")
        try Files.makeDirectories(joined)
        let output = try Command(try hostTool("tar"), ["-xf", workspace.file(file), "-C", joined]).run(call)
        try check(output)
        try Files.remove(workspace.file(file))
        return try JSON.decode(
            [DockerArchiveImage].self, from: try Files.read("\(joined)/manifest.json"), what: "manifest.json")
    }

    private func pack(_ parts: [(directory: String, names: [String])], to fd: Int32, _ call: Call) throws {
        // The same images make the same archive.
        let options = [
            "--numeric-owner", "--owner=0", "--group=0", "--mtime=@0", "--mode=u=rw,go=r", "--format=posix",
            "--pax-option=delete=atime,delete=ctime",
        ]
        // Names come through a file: there may be more than fit in arguments. "-C" works in there too.
        let list = parts.map { "-C\($0.directory)\n" + $0.names.joined(separator: "\n") + "\n" }.joined()
        let output = try Command(try hostTool("tar"), ["-cf", "-"] + options + ["--files-from=-"])
            .run(call, input: Array(list.utf8), stdoutFd: fd)
        try check(output)
    }

    private func check(_ output: Command.Output) throws {
        if output.status.isSuccess { return }
        let said = output.errorText
        if ToolFailure.isDiskFull(output) { throw Errno(ENOSPC, "tar") }
        if output.status == .signaled(SIGPIPE) || said.contains("Broken pipe") {
            throw KinaError(.aborted, "the reader of the archive is gone")
        }
        throw KinaError(.internal, "tar failed: \(said)")
    }
}
