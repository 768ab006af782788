// Others' documents of images, as far as backends read or write them: unknown fields are none of our business.

/// The configuration blob (image-spec/config.md).
package struct OCIImageConfiguration: Codable, Sendable {
    package struct Empty: Codable, Sendable {}

    package struct Config: Codable, Sendable {
        package var User: String?
        package var ExposedPorts: [String: Empty]?
        package var Env: [String]?
        package var Entrypoint: [String]?
        package var Cmd: [String]?
        package var Volumes: [String: Empty]?
        package var WorkingDir: String?
        package var Labels: [String: String]?
        package var StopSignal: String?
    }

    package struct RootFS: Codable, Sendable {
        package var type = "layers"
        package var diff_ids: [String]
    }

    package struct History: Codable, Sendable {
        package var created_by: String?
    }

    package var created: String?
    package var architecture: String
    package var os: String
    package var variant: String?
    package var config: Config?
    package var rootfs: RootFS
    package var history: [History]?
}

extension OCIImageConfiguration {
    /// A configuration for one layer. Without a time, so that the same content has the same digest.
    package init(_ config: ImageConfig, _ platform: ImagePlatform, diffID: String) {
        architecture = platform.architecture
        os = platform.os
        variant = platform.variant
        rootfs = RootFS(diff_ids: [diffID])
        history = [History(created_by: "kina import")]
        self.config = Config(
            User: config.user.orNil, ExposedPorts: Self.set(config.exposedPorts),
            Env: config.env.map { "\($0.key)=\($0.value)" }.sorted().orNil, Entrypoint: config.entrypoint.orNil,
            Cmd: config.command.orNil, Volumes: Self.set(config.volumes), WorkingDir: config.workdir.orNil,
            Labels: config.labels.isEmpty ? nil : config.labels, StopSignal: config.stopSignal.orNil)
    }

    private static func set(_ names: [String]) -> [String: Empty]? {
        names.isEmpty ? nil : Dictionary(names.map { ($0, Empty()) }, uniquingKeysWith: { first, _ in first })
    }

    package var platform: ImagePlatform { ImagePlatform(os: os, architecture: architecture, variant: variant) }

    package var imageConfig: ImageConfig {
        var result = ImageConfig()
        guard let config else { return result }
        result.entrypoint = config.Entrypoint ?? []
        result.command = config.Cmd ?? []
        for entry in config.Env ?? [] {
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if let name = parts.first, !name.isEmpty {
                result.env[String(name)] = parts.count > 1 ? String(parts[1]) : ""
            }
        }
        result.workdir = config.WorkingDir ?? ""
        result.user = config.User ?? ""
        result.labels = config.Labels ?? [:]
        result.exposedPorts = (config.ExposedPorts ?? [:]).keys.sorted()
        result.volumes = (config.Volumes ?? [:]).keys.sorted()
        result.stopSignal = config.StopSignal ?? ""
        return result
    }

    /// Nanoseconds since the epoch; nil for none, and for the zero time that some builders write.
    package var createdAt: Int64? {
        created.flatMap { RFC3339.nanoseconds(Array($0.utf8)[...]) }.flatMap { $0 > 0 ? $0 : nil }
    }
}

extension String {
    fileprivate var orNil: String? { isEmpty ? nil : self }
}

extension [String] {
    fileprivate var orNil: [String]? { isEmpty ? nil : self }
}

/// An entry of a Docker archive's manifest.json.
package struct DockerArchiveImage: Codable, Sendable {
    package var Config: String
    package var RepoTags: [String]?
    package var Layers: [String]

    package init(config: String, tags: [String]?, layers: [String]) {
        Config = config
        RepoTags = tags
        Layers = layers
    }
}
