#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Logins of registries as `docker login` and `skopeo login` keep them: containers-auth.json(5), and Docker's
/// configuration, whose form is the same.
package struct AuthFile: Sendable {
    package struct Login: Sendable, Equatable {
        package var username: String
        package var password: String
    }

    /// Where the file is.
    private let path: String
    private let contents: Contents

    private struct Contents: Decodable {
        struct Entry: Decodable {
            var auth: String?
            var identitytoken: String?
        }
        var auths: [String: Entry]?
        var credHelpers: [String: String]?
        var credsStore: String?
    }

    package init(_ path: String) throws {
        guard Files.exists(path) else { throw KinaError.invalid("authFile", path, "does not exist") }
        self.path = path
        do {
            contents = try JSON.decode(
                Contents.self, from: try doing("reading \(path)") { try Files.readText(path) }, what: "auth file")
        } catch let error as KinaError where error.code == .invalidArgument {
            throw KinaError.invalid(
                "authFile", path, "is no file of logins: \(error.message)", hint: "make one: skopeo login --authfile")
        }
    }

    /// The login for a reference in the given file, or in the first of the standard ones that has one.
    package static func login(_ given: String?, for reference: ImageReference, _ call: Call) throws -> Login? {
        if let given { return try AuthFile(given).login(for: reference, call) }
        for path in standardPlaces where Files.exists(path) {
            // Images that need no login are had without the helper.
            do { if let login = try AuthFile(path).login(for: reference, call) { return login } } catch let error
                as KinaError where error.code == .unavailable
            {}
        }
        return nil
    }

    private static var standardPlaces: [String] {
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        let home = variable("HOME")
        let runtime = (variable("XDG_RUNTIME_DIR") ?? "/run/containers/\(geteuid())") + "/containers/auth.json"
        return [
            variable("REGISTRY_AUTH_FILE"), runtime, home.map { "\($0)/.config/containers/auth.json" },
            variable("DOCKER_CONFIG").map { "\($0)/config.json" } ?? home.map { "\($0)/.docker/config.json" },
        ].compactMap { $0 }
    }

    /// What is most specific first: a repository, its parents, the registry.
    package func login(for reference: ImageReference, _ call: Call) throws -> Login? {
        let keys = Self.keys(reference)
        let known = Dictionary((contents.auths ?? [:]).map { (Self.plain($0.key), $0.value) }) { first, _ in first }
        if let helper = contents.credHelpers?[reference.domain] ?? contents.credsStore {
            return try ask(helper, Self.serverName(reference), call)
        }
        for key in keys {
            guard let entry = known[key] else { continue }
            guard entry.identitytoken == nil else {
                throw KinaError(
                    .unimplemented, "\(path) has an identity token for \(key), which is not taken here",
                    hint: "pass username and password", details: ["field": "authFile"])
            }
            if let auth = entry.auth, !auth.isEmpty { return try decoded(auth, key) }
        }
        return nil
    }

    private static func keys(_ reference: ImageReference) -> [String] {
        var parts = reference.repository.split(separator: "/").map(String.init)
        var keys: [String] = []
        while !parts.isEmpty {
            keys.append(parts.joined(separator: "/"))
            parts.removeLast()
        }
        // Docker's own registry has a name from its first days.
        return reference.domain == "docker.io" ? keys + ["index.docker.io"] : keys
    }

    /// `https://index.docker.io/v1/` is index.docker.io.
    private static func plain(_ key: String) -> String {
        var text = key[...]
        for scheme in ["https://", "http://"] where text.hasPrefix(scheme) { text = text.dropFirst(scheme.count) }
        while text.hasSuffix("/") { text.removeLast() }
        for version in ["/v1", "/v2"] where text.hasSuffix(version) { text = text.dropLast(version.count) }
        return String(text)
    }

    private static func serverName(_ reference: ImageReference) -> String {
        reference.domain == "docker.io" ? "https://index.docker.io/v1/" : reference.domain
    }

    private func decoded(_ auth: String, _ key: String) throws -> Login {
        guard let data = Data(base64Encoded: auth), let text = String(validating: data, as: UTF8.self),
            let colon = text.firstIndex(of: ":")
        else {
            throw KinaError(
                .invalidArgument, "\(path) has no readable login for \(key)", hint: "log in again",
                details: ["field": "authFile"])
        }
        // Docker pads with zeros.
        let password = text[text.index(after: colon)...].filter { $0 != "\0" }
        return Login(username: String(text[..<colon]), password: password)
    }

    // MARK: Helpers

    private struct Credential: Decodable {
        var Username: String
        var Secret: String
    }

    /// docker-credential-NAME: reads a server's name, writes a login, or fails with words.
    private func ask(_ helper: String, _ server: String, _ call: Call) throws -> Login? {
        let name = "docker-credential-\(helper)"
        guard !helper.contains("/"), let program = Command.find(name) else {
            throw KinaError(
                .unavailable, "\(path) keeps its logins with \(name), which is not in PATH",
                hint: "install it, or pass username and password", details: ["field": "authFile"])
        }
        let output = try Command(program, ["get"]).run(call.within(ms: 30_000), input: Array(server.utf8))
        guard output.status.isSuccess else {
            let said = output.text + output.errorText
            if said.contains("credentials not found") { return nil }
            throw KinaError(
                .unauthenticated, "\(name) gives no login for \(server): \(said)",
                hint: "log in again, or pass username and password")
        }
        let found = try JSON.decode(Credential.self, from: output.stdout, what: "credential")
        return Login(username: found.Username, password: found.Secret)
    }
}
