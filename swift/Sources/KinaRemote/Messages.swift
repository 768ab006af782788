import KinaCore

/// What both sides say first.
public struct Hello: Codable, Sendable {
    public let version: String
    /// How the client would open the runtime. One server has one set of options.
    public let options: RuntimeOptions

    public init(_ options: RuntimeOptions) {
        version = Kina.version
        self.options = options
    }

    /// Another version's options may have other fields: the version says enough then.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        version = try container.decode(String.self, forKey: .version)
        options =
            version == Kina.version
            ? try container.decode(RuntimeOptions.self, forKey: .options) : RuntimeOptions()
    }

    /// Whether a server with these options is what a client with those wants.
    public func fits(_ other: Hello) -> Bool {
        version == other.version && options.ociRuntime == other.options.ociRuntime
            && options.unpackLimit == other.options.unpackLimit && options.backend == other.options.backend
            && options.kernel == other.options.kernel && options.initImage == other.options.initImage
    }
}

public struct Welcome: Codable, Sendable {
    public let info: RuntimeInfo
    public let pid: Int32

    public init(_ info: RuntimeInfo) {
        self.info = info
        pid = getpid()
    }
}

/// An error, whole.
public struct Failure: Codable, Sendable {
    public let code: Int32
    public let message: String
    public let hint: String?
    public let details: [String: String]

    public init(_ error: any Error) {
        let error = KinaError(error)
        code = error.code.rawValue
        message = error.message
        hint = error.hint
        details = error.details
    }

    public var error: KinaError {
        KinaError(KinaError.Code(rawValue: code) ?? .unknown, message, hint: hint, details: details)
    }
}

/// Where a home's server is found.
public struct ServerPlace: Sendable {
    public let directory: String
    public var socket: String { "\(directory)/socket" }
    /// Held by the server for as long as it lives; has its pid.
    public var lock: String { "\(directory)/lock" }
    /// Held by who starts one.
    public var starting: String { "\(directory)/starting" }
    /// What it wrote to its standard error.
    public var log: String { "\(directory)/log" }

    public init(_ home: Home) { directory = "\(home.runDirectory)/server" }
}
