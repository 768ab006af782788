import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@testable import KinaCore

struct AuthFileTests {
    private static func written<T>(_ text: String, _ body: (String) throws -> T) throws -> T {
        let path = "/tmp/kina-auth-\(Identifier.random()).json"
        try Files.writeAtomically(path, Array(text.utf8))
        defer { try? Files.remove(path) }
        return try body(path)
    }

    private static func entry(_ text: String) -> String { #"{"auth": "\#(Data(text.utf8).base64EncodedString())"}"# }

    private func login(_ text: String, _ reference: String) throws -> String? {
        try Self.written(text) { path in
            let found = try AuthFile.login(path, for: ImageReference(reference, field: "reference"), .unbounded)
            return found.map { "\($0.username)/\($0.password)" }
        }
    }

    @Test func `what is most specific counts`() throws {
        let text = """
            {"auths": {"r.example:5000": \(Self.entry("a:registry")), "r.example:5000/team": \(Self.entry("b:team")),
             "r.example:5000/team/app": \(Self.entry("c:app:with:colons"))}}
            """
        #expect(try login(text, "r.example:5000/other:1") == "a/registry")
        #expect(try login(text, "r.example:5000/team/web") == "b/team")
        #expect(try login(text, "r.example:5000/team/app:2") == "c/app:with:colons")
        #expect(try login(text, "r.example/team/app:2") == nil)
    }

    @Test(arguments: ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
    func `Docker's own registry has several names`(key: String) throws {
        #expect(try login("{\"auths\": {\"\(key)\": \(Self.entry("me:secret"))}}", "alpine") == "me/secret")
    }

    @Test func `what can't be used is refused by name`() throws {
        for (text, code) in [
            ("[]", KinaError.Code.invalidArgument), ("nonsense", .invalidArgument),
            (#"{"auths": {"r.example": {"auth": "%%%"}}}"#, .invalidArgument),
            (#"{"auths": {"r.example": {"auth": "", "identitytoken": "t"}}}"#, .unimplemented),
            (#"{"credHelpers": {"r.example": "no-such-helper"}}"#, .unavailable),
            (#"{"credsStore": "../evil"}"#, .unavailable),
        ] {
            #expect { try login(text, "r.example/app") } throws: { KinaError($0).code == code }
        }
        #expect { try AuthFile("/nonexistent") } throws: { KinaError($0).details["field"] == "authFile" }
    }

    @Test func `no login is none`() throws {
        #expect(try login("{}", "r.example/app") == nil)
        #expect(try login(#"{"auths": {"r.example": {}}}"#, "r.example/app") == nil)
    }
}
