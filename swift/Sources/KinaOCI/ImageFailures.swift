import KinaCore

/// What skopeo's and umoci's failures mean. They tell it in words only, so this is the one place that reads them.
enum ToolFailure {
    /// What was being done, for the message.
    struct Subject: Sendable {
        /// "pulling docker.io/library/alpine:3"
        var doing: String
        var reference: String?
        /// nil: an archive of the user's.
        var registry: String?
    }

    static func skopeo(_ output: Command.Output, _ subject: Subject) -> KinaError {
        let said = fatalMessage(output.errorText)
        var error = classify(said, subject)
        error.details["exitCode"] = "\(output.status.code)"
        if let reference = subject.reference { error.details["reference"] = reference }
        if let registry = subject.registry { error.details["registry"] = registry }
        return error
    }

    static func umoci(_ output: Command.Output, directory: String) -> KinaError {
        let said = output.errorText.split(separator: "\n").last.map { $0.drop { $0 == " " || $0 == "⨯" } } ?? ""
        if !output.status.isSuccess, case .signaled(let signal) = output.status {
            return KinaError(.aborted, "umoci was ended by signal \(signal)")
        }
        return common(said.lowercased(), "unpacking the image", String(said))
            ?? KinaError(
                .invalidArgument, "the image's layers can't be unpacked: \(said)",
                hint: "the image is damaged or not a tar of a file system; build it again")
    }

    /// When the call ends, says what was being done instead of which program was waited for.
    static func naming<T>(_ doing: String, _ body: () throws -> T) throws -> T {
        do { return try body() } catch var error as KinaError {
            switch error.code {
            case .deadlineExceeded: error.message = "timed out while \(doing)"
            case .cancelled: error.message = "cancelled while \(doing)"
            default: break
            }
            throw error
        }
    }

    /// skopeo logs in logrus' form: the last line at level fatal says why it ended.
    private static func fatalMessage(_ text: String) -> String {
        let lines = text.split(separator: "\n").map(String.init)
        let line = lines.last { $0.contains("level=fatal") } ?? lines.last ?? "no reason given"
        guard let start = line.range(of: "msg=\"") else { return line }
        var message = "", escaped = false
        for character in line[start.upperBound...] {
            if !escaped, character == "\"" { break }
            escaped = !escaped && character == "\\"
            if !escaped { message.append(character) }
        }
        return message
    }

    private static func classify(_ said: String, _ subject: Subject) -> KinaError {
        let low = said.lowercased()
        if let error = common(low, subject.doing, said) { return error }
        guard let registry = subject.registry else {
            return KinaError(
                .invalidArgument, "\(subject.doing): \(said)",
                hint: "pass a whole Docker or OCI image archive, as `docker save` or kina write it")
        }
        let message = "\(subject.doing): \(said)"
        func any(_ patterns: String...) -> Bool { patterns.contains { low.contains($0) } }
        if any("no image found in manifest list", "no image found in image index", "choosing image instance") {
            return KinaError(.notFound, message, hint: "the image does not exist for this platform; ask for another")
        }
        if any("toomanyrequests", "too many requests") {
            return KinaError(.resourceExhausted, message, hint: "log in to \(registry), or try again later")
        }
        if any("unauthorized", "authentication required", "denied", "invalid username/password", "403 (forbidden)") {
            return KinaError(
                .unauthenticated, message,
                hint: "check that the name is right and pass username and password, or `skopeo login \(registry)`")
        }
        if any("manifest unknown", "name unknown", "not found", "repository name not known") {
            return KinaError(.notFound, message, hint: "check the spelling of the name and the tag")
        }
        if any("x509:", "tls:", "server gave http response to https client", "certificate") {
            return KinaError(
                .unavailable, message,
                hint: "put the registry's certificate in /etc/containers/certs.d/\(registry), or pass insecure=True")
        }
        if any("no such host", "server misbehaving", "name resolution") {
            return KinaError(
                .unavailable, message, hint: "check the name of the registry \(registry) and this host's DNS")
        }
        if any("rejected by policy", "signature was required", "policy") {
            return KinaError(.permissionDenied, message, hint: "see /etc/containers/policy.json")
        }
        return KinaError(
            .unavailable, message, hint: "check that the registry \(registry) can be reached, and try again")
    }

    /// tar, gzip and their kin: a full disk in the C library's words, or as tar says it of its own archive.
    static func isDiskFull(_ output: Command.Output) -> Bool {
        let said = output.errorText
        return said.contains("No space left on device") || said.contains("Wrote only")
    }

    /// What a registry, an archive and an unpacking have in common.
    private static func common(_ low: String, _ doing: String, _ said: String) -> KinaError? {
        if low.contains("no space left on device") || low.contains("disk quota exceeded") {
            return KinaError(
                .resourceExhausted, "\(doing): no space is left on the disk",
                hint: "free disk space, or run kina.prune(images=True)", details: ["cause": said])
        }
        let digestWords = [
            "digest did not match", "does not match digest", "digest mismatch", "verified reader",
            "doesn't match expected digest", "manifest does not match", "diffid",
        ]
        if digestWords.contains(where: { low.contains($0) }) {
            return KinaError(
                .dataLoss, "\(doing): \(said)",
                hint: "the content is not what its digest says: it was damaged or tampered with; fetch it again")
        }
        return nil
    }
}

extension String {
    /// The first place of a text (Foundation's is not used here).
    fileprivate func range(of text: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
