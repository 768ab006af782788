public struct ImagePullRequest: Document {
    public var reference: String
    /// "linux/amd64", "linux/arm64/v8"; the host's when absent.
    public var platform: String?
    /// Plain http or an unverified certificate; loopback registries are tried without TLS anyway.
    public var insecure = false
    /// Replaces the standard auth files' for this registry.
    public var username: String?
    public var password: String?
    /// A file in the standard form (containers-auth.json(5)); the standard places when absent.
    public var authFile: String?

    public init(reference: String) { self.reference = reference }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case reference, platform, insecure, username, password, authFile
    }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        reference = try f.required(.reference)
        platform = try f.optional(.platform)
        insecure = try f.value(.insecure, default: insecure)
        username = try f.optional(.username)
        password = try f.optional(.password)
        authFile = try f.optional(.authFile)
    }
}

public struct ImagePushRequest: Document {
    /// An image that is here.
    public var reference: String
    /// Where it goes; the same reference when absent.
    public var destination: String?
    public var insecure = false
    public var username: String?
    public var password: String?
    public var authFile: String?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case reference, destination, insecure, username, password, authFile
    }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        reference = try f.required(.reference)
        destination = try f.optional(.destination)
        insecure = try f.value(.insecure, default: insecure)
        username = try f.optional(.username)
        password = try f.optional(.password)
        authFile = try f.optional(.authFile)
    }
}

public struct ImageLoadRequest: Document {
    /// Given to the image when the archive names none, or instead of the one name it has.
    public var reference: String?

    enum CodingKeys: String, CodingKey, CaseIterable { case reference }

    public init(from decoder: any Decoder) throws {
        reference = try Fields<CodingKeys>(decoder).optional(.reference)
    }
}

public struct ImageSaveRequest: Document {
    public enum Format: String, Choice { case oci, docker }

    public var references: [String]
    public var format = Format.oci

    enum CodingKeys: String, CodingKey, CaseIterable { case references, format }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        references = try f.required(.references)
        format = try f.value(.format, default: format)
    }
}

public struct ImageImportRequest: Document {
    public var reference: String
    /// A directory of the host, when no tar comes.
    public var directory: String?
    public var config = ImageConfig()
    /// "linux/amd64"; the host's when absent.
    public var platform: String?

    enum CodingKeys: String, CodingKey, CaseIterable { case reference, directory, config, platform }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        reference = try f.required(.reference)
        directory = try f.optional(.directory)
        config = try f.value(.config, default: config)
        platform = try f.optional(.platform)
    }
}

/// The `config` of an OCI image configuration (image-spec/config.md), in kina's spelling.
public struct ImageConfig: Document {
    public var entrypoint: [String] = []
    public var command: [String] = []
    public var env: [String: String] = [:]
    public var workdir = ""
    public var user = ""
    public var labels: [String: String] = [:]
    /// "80/tcp".
    public var exposedPorts: [String] = []
    /// Paths.
    public var volumes: [String] = []
    public var stopSignal = ""

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable {
        case entrypoint, command, env, workdir, user, labels, exposedPorts, volumes, stopSignal
    }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        entrypoint = try f.value(.entrypoint, default: entrypoint)
        command = try f.value(.command, default: command)
        env = try f.value(.env, default: env)
        workdir = try f.value(.workdir, default: workdir)
        user = try f.value(.user, default: user)
        labels = try f.value(.labels, default: labels)
        exposedPorts = try f.value(.exposedPorts, default: exposedPorts)
        volumes = try f.value(.volumes, default: volumes)
        stopSignal = try f.value(.stopSignal, default: stopSignal)
    }
}

public struct ImageStatus: Document {
    /// Fully spelled: "docker.io/library/alpine:3".
    public var reference: String
    /// The manifest's digest, "sha256:…".
    public var digest: String
    /// The configuration's digest: what Docker calls the image's id.
    public var id: String
    public var platform: String
    /// Compressed layers and configuration, bytes.
    public var size: Int64
    public var layers: Int
    /// When the image was built, if it says so; nanoseconds since the epoch.
    public var createdAt: Int64?
    /// Present in `get`, absent in `list`.
    public var config: ImageConfig?

    public init(
        reference: String, digest: String, id: String, platform: String, size: Int64, layers: Int, createdAt: Int64?,
        config: ImageConfig?
    ) {
        self.reference = reference
        self.digest = digest
        self.id = id
        self.platform = platform
        self.size = size
        self.layers = layers
        self.createdAt = createdAt
        self.config = config
    }
}

public struct ImageList: Document {
    public var images: [ImageStatus]
    public init(_ images: [ImageStatus]) { self.images = images }
}
