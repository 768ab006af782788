import KinaCore

// The documents of the OCI image specification (https://github.com/opencontainers/image-spec), as far as they are
// read or written here. Not ours, so unknown fields are none of our business.

struct OCIDescriptor: Codable, Sendable, Equatable {
    struct Platform: Codable, Sendable, Equatable {
        var os: String
        var architecture: String
        var variant: String?
    }

    var mediaType: String
    var digest: String
    var size: Int64
    var annotations: [String: String]?
    var platform: Platform?

    init(_ mediaType: String, _ digest: String, _ size: Int64, annotations: [String: String]? = nil) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.annotations = annotations
    }
}

/// index.json of a layout, and a list of one image's platforms.
struct OCIIndex: Codable, Sendable {
    var schemaVersion = 2
    var manifests: [OCIDescriptor]
}

struct OCIManifest: Codable, Sendable {
    var schemaVersion = 2
    var mediaType: String? = MediaType.manifest
    var config: OCIDescriptor
    var layers: [OCIDescriptor]
}

/// What `skopeo inspect --raw` may answer: a manifest or a list of them, in OCI's or Docker's form.
struct AnyManifest: Codable, Sendable {
    var config: OCIDescriptor?
    var layers: [OCIDescriptor]?
    var manifests: [OCIDescriptor]?
}

enum MediaType {
    static let manifest = "application/vnd.oci.image.manifest.v1+json"
    static let config = "application/vnd.oci.image.config.v1+json"
    static let layer = "application/vnd.oci.image.layer.v1.tar"
    static let gzipLayer = "application/vnd.oci.image.layer.v1.tar+gzip"
    /// A layout's names of its images.
    static let refName = "org.opencontainers.image.ref.name"
    /// containerd's and Docker's, which is the whole reference.
    static let containerdName = "io.containerd.image.name"
}
