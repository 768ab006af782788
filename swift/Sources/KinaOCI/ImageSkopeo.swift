import FoundationEssentials
import KinaCore

/// Runs skopeo: every way in and out of the blob directory that others' formats need.
struct Skopeo: Sendable {
    /// How to speak with a registry.
    struct Access: Sendable {
        var insecure: Bool
        var username: String?
        var password: String?
        var authFile: String?
    }

    let context: Context
    let blobs: BlobStore
    /// A copy that moves no byte for so long is ended, if the call has no deadline of its own.
    let stallMs: Int64

    /// Copies from a registry into `staging`. Answers the manifest's digest.
    func pull(
        _ reference: ImageReference, into staging: BlobDirectory, _ access: Access, _ platform: ImagePlatform?,
        _ workspace: ImageWorkspace,
        _ call: Call
    ) throws -> String {
        let subject = try subject("pulling", reference)
        let options = try self.options("src", reference, access, workspace)
        let source = "docker://\(reference.source)"
        let layers = call.reportsProgress ? try layers(source, options, platform, subject, workspace, call) : []
        let progress = PullProgress(layers, workspace.file("layout"), staging)
        progress.start(call)
        try copy(
            source, "oci:layout:image", global: selection(platform),
            options + ["--remove-signatures", "--dest-shared-blob-dir", staging.directory]
                + ["--dest-oci-accept-uncompressed-layers"], subject, workspace, call
        ) { try progress.tick(call, limit: context.unpackLimit) }
        progress.finish(call)
        return try normalised("layout", staging, subject, workspace, call)
    }

    /// Copies the image of an archive or of another layout.
    func `import`(
        _ source: String, keep: [Int32], into staging: BlobDirectory, as layout: String, doing: String,
        _ workspace: ImageWorkspace, _ call: Call
    ) throws -> String {
        let subject = ToolFailure.Subject(doing: doing)
        try copy(
            source, "oci:\(layout):image", global: selection(nil),
            [
                "--remove-signatures", "--dest-shared-blob-dir", staging.directory,
                "--dest-oci-accept-uncompressed-layers",
            ],
            subject, workspace, call, keep: keep)
        return try normalised(layout, staging, subject, workspace, call)
    }

    /// To a registry.
    func push(
        _ record: ImageRecord, to reference: ImageReference, _ access: Access, _ workspace: ImageWorkspace, _ call: Call
    ) throws {
        let subject = try subject("pushing", reference)
        let options = try self.options("dest", reference, access, workspace)
        try makeSource("layout", record, workspace)
        try copy(
            "oci:layout:image", "docker://\(reference.source)",
            options + ["--src-shared-blob-dir", blobs.directory], subject, workspace, call)
    }

    /// To `file` of the workspace as a Docker archive.
    func dockerArchive(
        _ record: ImageRecord, tags: [String], to file: String, _ workspace: ImageWorkspace, _ call: Call
    ) throws {
        try makeSource("\(file).layout", record, workspace)
        let more = tags.dropFirst().flatMap { ["--additional-tag", $0] }
        try copy(
            "oci:\(file).layout:image", "docker-archive:\(file)" + (tags.first.map { ":\($0)" } ?? ""),
            ["--src-shared-blob-dir", blobs.directory] + more,
            ToolFailure.Subject(doing: "writing a Docker archive of \(record.reference)"), workspace, call)
    }

    private func makeSource(_ name: String, _ record: ImageRecord, _ workspace: ImageWorkspace) throws {
        let size = try doing("reading image \(record.reference)") { try fileSize(blobs.path(record.digest)) }
        try workspace.makeLayout(
            name, [OCIDescriptor(MediaType.manifest, record.digest, size, annotations: [MediaType.refName: "image"])],
            blobs: blobs.directory)
    }

    /// Makes of what skopeo has written what umoci 0.4.7 can read.
    private func normalised(
        _ layout: String, _ staging: BlobDirectory, _ subject: ToolFailure.Subject, _ workspace: ImageWorkspace,
        _ call: Call
    ) throws -> String {
        let digest = try workspace.manifestDigest(layout)
        var manifest = try staging.document(OCIManifest.self, digest)
        if manifest.layers.contains(where: { $0.mediaType.hasSuffix("+zstd") }) {
            // It knows no zstd: compressed anew, once, at the price of another digest. Where a blob is already,
            // skopeo takes it as it is, so that happens in a directory of its own.
            try copy(
                "oci:\(layout):image", "oci:\(layout).gzip:image",
                ["--src-shared-blob-dir", staging.directory, "--dest-compress-format", "gzip"], subject, workspace, call
            )
            try copy(
                "oci:\(layout).gzip:image", "oci:\(layout).new:image",
                ["--dest-shared-blob-dir", staging.directory, "--dest-oci-accept-uncompressed-layers"], subject,
                workspace,
                call)
            return try workspace.manifestDigest("\(layout).new")
        }
        // skopeo calls a Docker archive's plain layers gzip. One that is its own content's digest is plain.
        let diffIDs = try staging.document(OCIImageConfiguration.self, manifest.config.digest).rootfs.diff_ids
        let mislabelled = zip(manifest.layers.indices, diffIDs).filter { index, diffID in
            manifest.layers[index].digest == diffID && manifest.layers[index].mediaType == MediaType.gzipLayer
        }
        if mislabelled.isEmpty { return digest }
        for (index, _) in mislabelled { manifest.layers[index].mediaType = MediaType.layer }
        return try doing("writing the manifest") { try staging.add(manifest, workspace, call).digest }
    }

    private func subject(_ doing: String, _ reference: ImageReference) throws -> ToolFailure.Subject {
        guard !reference.domain.hasPrefix("[") else {
            throw KinaError.unimplemented(
                "skopeo can't reach a registry by its IPv6 address (\(reference.domain))",
                hint: "use a name, such as localhost")
        }
        return ToolFailure.Subject(
            doing: "\(doing) \(reference)", reference: reference.description, registry: reference.domain)
    }

    private func selection(_ platform: ImagePlatform?) -> [String] {
        let platform = platform ?? .host
        return ["--override-os", platform.os, "--override-arch", platform.architecture]
            + (platform.variant.map { ["--override-variant", $0] } ?? [])
    }

    /// TLS and credentials. `side` is "src" or "dest".
    private func options(
        _ side: String, _ reference: ImageReference, _ access: Access, _ workspace: ImageWorkspace
    ) throws -> [String] {
        var options: [String] = []
        if access.insecure || reference.isLoopback { options.append("--\(side)-tls-verify=false") }
        if let username = access.username {
            guard let password = access.password else {
                throw KinaError.invalid("password", nil, "is missing beside username")
            }
            // In a file, since arguments can be read by everybody on this host.
            let login = Data("\(username):\(password)".utf8).base64EncodedString()
            let file = workspace.file("auth.json")
            try doing("writing credentials") {
                try Files.writeAtomically(
                    file, try JSON.encode(["auths": [reference.domain: ["auth": login]]]), sync: false)
            }
            options += ["--\(side)-authfile", file]
        } else if let authFile = access.authFile {
            guard Files.exists(authFile) else { throw KinaError.invalid("authFile", authFile, "does not exist") }
            options += ["--\(side)-authfile", authFile]
        }
        return options
    }

    /// The layers that a pull will need, to say how far it is.
    private func layers(
        _ source: String, _ options: [String], _ platform: ImagePlatform?, _ subject: ToolFailure.Subject,
        _ workspace: ImageWorkspace, _ call: Call
    ) throws -> [OCIDescriptor] {
        // `inspect` has no sides.
        let options = options.map { $0.replacingOccurrence(of: "--src-", with: "--") }
        func inspect(_ source: String) throws -> AnyManifest {
            let output = try run(
                selection(platform) + ["inspect", "--raw"] + options + [source], subject, workspace, call)
            return try JSON.decode(AnyManifest.self, from: output.stdout, what: "manifest")
        }
        let top = try inspect(source)
        guard let manifests = top.manifests else { return (top.layers ?? []) }
        let wanted = platform ?? .host
        let chosen = manifests.first { $0.platform.map { wanted.accepts(ImagePlatform($0)) } ?? false }
        guard let chosen, let reference = subject.reference,
            let name = try? ImageReference(reference, field: "reference")
        else { return [] }  // the copy will say what is wrong
        return try inspect("docker://\(name.repository)@\(chosen.digest)").layers ?? []
    }

    private func copy(
        _ source: String, _ destination: String, global: [String] = [], _ options: [String],
        _ subject: ToolFailure.Subject, _ workspace: ImageWorkspace, _ call: Call, keep: [Int32] = [],
        tick: (() throws -> Void)? = nil
    ) throws {
        let arguments = global + ["copy", "--quiet", "--retry-times", "0"] + options + [source, destination]
        _ = try run(arguments, subject, workspace, call, keep: keep, tick: tick)
    }

    private func run(
        _ arguments: [String], _ subject: ToolFailure.Subject, _ workspace: ImageWorkspace, _ call: Call,
        keep: [Int32] = [], tick: (() throws -> Void)? = nil
    ) throws -> Command.Output {
        let temporary = workspace.file("tmp")
        try doing("creating \(temporary)") { try Files.makeDirectories(temporary) }
        // Layouts are named relative to the workspace: a colon in the home's path would be taken for a tag's.
        var command = Command(context.tools.skopeo, policy + ["--tmpdir", temporary] + arguments)
        command.workingDirectory = workspace.path
        var guardian = StallGuard(
            context.tools.skopeo, limitMs: subject.registry != nil && call.deadline == nil ? stallMs : nil)
        let output = try ToolFailure.naming(subject.doing) {
            try command.run(call, keep: keep) {
                try tick?()
                guard guardian.hasStalled() else { return }
                throw KinaError(
                    .unavailable, "\(subject.doing): the registry has sent nothing for \(stallMs / 1000) s",
                    hint: "check that the registry \(subject.registry ?? "") works, and try again",
                    details: ["registry": subject.registry ?? ""])
            }
        }
        guard output.status.isSuccess else { throw ToolFailure.skopeo(output, subject) }
        return output
    }

    /// A host without a policy file accepts all images, as Docker does; with one, what it says.
    private var policy: [String] {
        let own = getenv("HOME").map { "\(String(cString: $0))/.config/containers/policy.json" }
        return [own, "/etc/containers/policy.json"].contains { $0.map(Files.exists) ?? false }
            ? [] : ["--insecure-policy"]
    }
}

extension ImagePlatform {
    init(_ platform: OCIDescriptor.Platform) {
        self.init(os: platform.os, architecture: platform.architecture, variant: platform.variant)
    }
}

extension String {
    fileprivate func replacingOccurrence(of prefix: String, with text: String) -> String {
        hasPrefix(prefix) ? text + dropFirst(prefix.count) : self
    }
}
