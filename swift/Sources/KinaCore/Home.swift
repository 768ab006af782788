/// What the library says of itself.
public enum Kina {
    public static let version = "0.1.0"
    /// What runs in containers here, whatever the host's own system is.
    #if arch(x86_64)
        public static let platform = "linux/amd64"
    #elseif arch(arm64)
        public static let platform = "linux/arm64"
    #else
        public static let platform = "linux/unknown"
    #endif
}

/// KINA_HOME, and what belongs to it until the next reboot.
public struct Home: Sendable {
    /// Absolute, without links: what outlives a reboot.
    public let path: String
    /// /run/kina/<hash of the path> on Linux: pids, sockets, namespaces, mount points; nothing there is needed after a
    /// reboot.
    public let runDirectory: String

    /// Makes the directory. nil: $KINA_HOME, else the platform's place.
    public init(_ option: String?) throws {
        let home = try option ?? getenv("KINA_HOME").map { String(cString: $0) } ?? HostSystem.defaultHome()
        guard home.hasPrefix("/") else {
            throw KinaError.invalid("home", home, "is not an absolute path", hint: "set KINA_HOME to an absolute path")
        }
        try doing("creating \(home)") { try Files.makeDirectories(home) }
        guard let resolved = realpath(home, nil) else { throw KinaError(Errno(errno, "realpath"), "resolving \(home)") }
        defer { free(resolved) }
        path = String(cString: resolved)
        runDirectory = "\(try HostSystem.runDirectory())/\(Self.hash(path))"
    }

    /// Distinguishes the homes of one host; short, since socket paths have 108 bytes, 104 on macOS (FNV-1a, 64 bits).
    public static func hash(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}
