/// An image's name as Docker spells and completes it: "alpine" is docker.io/library/alpine:latest.
///
/// The grammar is that of https://github.com/distribution/reference.
package struct ImageReference: Sendable, Hashable, CustomStringConvertible {
    /// The registry with its port.
    package let domain: String
    package let path: String
    package let tag: String?
    /// "sha256:…".
    package let digest: String?

    package var repository: String { "\(domain)/\(path)" }

    /// Fully spelled.
    package var description: String {
        repository + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }

    /// For skopeo, which takes a tag or a digest: the digest says more.
    package var source: String { digest.map { "\(repository)@\($0)" } ?? "\(repository):\(tag ?? "latest")" }

    /// A registry on this very machine: nobody is in between who could listen.
    package var isLoopback: Bool {
        if domain.hasPrefix("[::1]") { return true }
        let host = domain.split(separator: ":", maxSplits: 1).first.map(String.init) ?? ""
        if host == "localhost" { return true }
        var address = in_addr()
        return inet_pton(AF_INET, host, &address) == 1 && UInt32(bigEndian: address.s_addr) >> 24 == 127
    }

    /// - Throws: INVALID_ARGUMENT naming `field`, the value and what to write instead.
    package init(_ text: String, field: String) throws {
        func invalid(_ why: String, _ hint: String) -> KinaError { .invalid(field, text, why, hint: hint) }
        let form = "write [REGISTRY[:PORT]/]NAME[:TAG][@sha256:DIGEST]"
        guard !text.isEmpty else { throw invalid("is empty", form) }
        if text.contains("://") { throw invalid("has a scheme", "leave out what is before and with '://'") }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw invalid("has a character that names can't have", form)
        }
        var rest = text[...]
        var digest: String?
        if let at = rest.firstIndex(of: "@") {
            let value = String(rest[rest.index(after: at)...])
            guard Digest.isValid(value) else {
                throw invalid("has a malformed digest", "a digest is 'sha256:' and 64 digits 0-9a-f")
            }
            digest = value
            rest = rest[..<at]
        }
        var tag: String?
        let lastSlash = rest.lastIndex(of: "/") ?? rest.startIndex
        if let colon = rest[lastSlash...].lastIndex(of: ":") {
            let value = String(rest[rest.index(after: colon)...])
            guard Self.isTag(value) else {
                throw invalid(
                    "has a malformed tag",
                    "a tag is 1 to 128 letters, digits, '_', '.' and '-', not starting with '.' or '-'")
            }
            tag = value
            rest = rest[..<colon]
        }
        let (domain, path) = Self.split(rest)
        guard Self.isDomain(domain) else { throw invalid("has a malformed registry '\(domain)'", form) }
        if path.utf8.contains(where: { (0x41...0x5A).contains($0) }) {
            throw invalid("has capital letters", "repository names are lower case")
        }
        guard path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(Self.isPathComponent) else {
            throw invalid(
                "has a malformed name '\(path)'",
                "parts between '/' are letters a-z and digits, with '.', '_', '__' or dashes in between")
        }
        if domain == Self.hub, Digest.isHex(path.replacingPrefix("library/"), count: 64...64) {
            throw invalid("is 64 hexadecimal digits, which is an id and not a name", "write sha256:… for a digest")
        }
        self.domain = domain
        self.path = path
        self.digest = digest
        self.tag = tag ?? (digest == nil ? "latest" : nil)
        guard fileName.utf8.count <= Self.longestFileName else {
            throw invalid("is too long", "at most about \(Self.longestFileName) characters")
        }
    }

    /// As one component of a path; ".json" and a temporary suffix still fit in the 255 bytes that a name may have.
    package var fileName: String {
        var name = ""
        for character in description { name += character == "/" ? "%2F" : character == "%" ? "%25" : String(character) }
        return name
    }

    private static let longestFileName = 230
    private static let hub = "docker.io"

    /// The first part is a registry when it could not be a part of a name.
    private static func split(_ text: Substring) -> (domain: String, path: String) {
        var domain = hub, path = String(text)
        if let slash = text.firstIndex(of: "/") {
            let first = text[..<slash]
            let isRegistry = first.contains { $0 == "." || $0 == ":" || $0.isUppercase } || first == "localhost"
            if isRegistry {
                domain = String(first)
                path = String(text[text.index(after: slash)...])
            }
        }
        if domain == "index.docker.io" { domain = hub }
        if domain == hub, !path.contains("/") { path = "library/\(path)" }
        return (domain, path)
    }

    private static func isTag(_ text: String) -> Bool {
        guard let first = text.utf8.first, first != 0x2E, first != 0x2D, text.utf8.count <= 128 else { return false }
        return text.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x5F || $0 == 0x2E || $0 == 0x2D }
    }

    private static func isDomain(_ text: String) -> Bool {
        var host = text[...]
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            var address = in6_addr()
            let inner = String(host[host.index(after: host.startIndex)..<end])
            guard inet_pton(AF_INET6, inner, &address) == 1 else { return false }
            host = "v6" + host[host.index(after: end)...]
        }
        let parts = host.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 {
            guard parts[1].utf8.count <= 5, let port = UInt16(parts[1]), port > 0 else { return false }
        }
        return parts[0].split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            let bytes = Array(label.utf8)
            guard let first = bytes.first, let last = bytes.last else { return false }
            return isAlphanumeric(first) && isAlphanumeric(last)
                && bytes.allSatisfy { isAlphanumeric($0) || $0 == 0x2D }
        }
    }

    /// Runs of a-z0-9 with one of ".", "_", "__" or any number of dashes in between.
    private static func isPathComponent(_ text: Substring) -> Bool {
        var separator: [UInt8] = []
        var seen = false
        for byte in text.utf8 {
            if (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) {
                guard separator.isEmpty || isSeparator(separator) else { return false }
                separator = []
                seen = true
            } else {
                guard seen else { return false }
                separator.append(byte)
            }
        }
        return seen && separator.isEmpty
    }

    private static func isSeparator(_ bytes: [UInt8]) -> Bool {
        bytes == [0x2E] || bytes == [0x5F] || bytes == [0x5F, 0x5F] || bytes.allSatisfy { $0 == 0x2D }
    }

    private static func isAlphanumeric(_ c: UInt8) -> Bool {
        (0x30...0x39).contains(c) || (0x41...0x5A).contains(c) || (0x61...0x7A).contains(c)
    }
}

/// "sha256:" and 64 hexadecimal digits: the only digests that registries use.
package enum Digest {
    package static let prefix = "sha256:"

    package static func isValid(_ text: String) -> Bool {
        text.hasPrefix(prefix) && isHex(String(text.dropFirst(prefix.count)), count: 64...64)
    }

    package static func isHex(_ text: String, count: ClosedRange<Int>) -> Bool {
        count.contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// The digits alone: what becomes part of a path, so anything else is refused.
    package static func hex(_ digest: String) throws -> String {
        guard isValid(digest) else { throw KinaError.invalid("digest", digest, "is not a sha256 digest") }
        return String(digest.dropFirst(prefix.count))
    }
}

extension StringProtocol {
    package func replacingPrefix(_ prefix: String) -> String {
        String(hasPrefix(prefix) ? dropFirst(prefix.count) : self[...])
    }
}

/// "linux/arm64/v8", taken apart.
package struct ImagePlatform: Sendable, Equatable, CustomStringConvertible {
    package var os: String
    package var architecture: String
    package var variant: String?

    package var description: String { "\(os)/\(architecture)" + (variant.map { "/\($0)" } ?? "") }

    package init(os: String, architecture: String, variant: String? = nil) {
        self.os = os
        self.architecture = architecture
        self.variant = variant.flatMap { $0.isEmpty ? nil : $0 }
    }

    package init(_ text: String) throws {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let isWord: (String) -> Bool = { !$0.isEmpty && $0.utf8.allSatisfy { $0 > 0x2D && $0 < 0x7B && $0 != 0x2F } }
        guard (2...3).contains(parts.count), parts.allSatisfy(isWord) else {
            throw KinaError.invalid("platform", text, "is not a platform", hint: "write OS/ARCH[/VARIANT]: linux/arm64")
        }
        self.init(os: parts[0], architecture: parts[1], variant: parts.count == 3 ? parts[2] : nil)
    }

    package static let host: ImagePlatform = {
        let parts = Kina.platform.split(separator: "/").map(String.init)
        return ImagePlatform(os: parts[0], architecture: parts[1])
    }()

    /// Whether an image for `other` is what was asked for.
    package func accepts(_ other: ImagePlatform) -> Bool {
        os == other.os && architecture == other.architecture && (variant == nil || variant == other.variant)
    }
}
