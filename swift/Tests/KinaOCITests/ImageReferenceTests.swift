import KinaCore
import Testing

@testable import KinaOCI

@Suite struct ImageReferenceTests {
    static let digest = "sha256:" + String(repeating: "0123456789abcdef", count: 4)

    @Test(arguments: [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.19", "docker.io/library/alpine:3.19"),
        ("library/alpine", "docker.io/library/alpine:latest"),
        ("grafana/loki", "docker.io/grafana/loki:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/grafana/loki:1", "docker.io/grafana/loki:1"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("localhost:5000/x/y_z:V1.0-rc", "localhost:5000/x/y_z:V1.0-rc"),
        ("a.example/b.c/d__e/f---g:tag", "a.example/b.c/d__e/f---g:tag"),
        ("Registry.Example/x", "Registry.Example/x:latest"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        ("alpine@\(digest)", "docker.io/library/alpine@\(digest)"),
        ("localhost/x:1@\(digest)", "localhost/x:1@\(digest)"),
        ("xn--n3h.example/x", "xn--n3h.example/x:latest"),
    ])
    func spellsOut(_ text: String, _ expected: String) throws {
        let reference = try ImageReference(text, field: "reference")
        #expect(expected == reference.description)
        #expect(try ImageReference(reference.description, field: "reference") == reference)
    }

    @Test(arguments: [
        "", " ", "alpine ", "al pine", "Alpine", "alpine:", ":latest", "alpine:-x", "alpine:.x", "alpine:a/b:c:",
        "alpine:\(String(repeating: "t", count: 129))", "/alpine", "alpine/", "a//b", "../alpine", "a/../b", ".a", "a.",
        "-a", "a-", "_a", "a_", "a___b", "a..b", "a._b", "localhost/", "localhost:x/y",
        "localhost:0/y", "localhost:99999/y", "-host.example/x", "host-.example/x", "host..example/x", "[::g]/x",
        "[::1/x", "docker://alpine", "https://docker.io/alpine", "alpine@", "alpine@sha256:", "alpine@sha256:1234",
        "alpine@md5:0123456789abcdef0123456789abcdef", "alpine@\(digest)0", "alpine@\(digest.uppercased())",
        "@\(digest)",
        String(repeating: "0123456789abcdef", count: 4), "alp\u{0}ine", "alp\nine", "älpine", "a/b%2fc", "a\\b",
        String(repeating: "a", count: 300), "alpine:3:4", "x@\(digest)@\(digest)", "--help", "-v",
    ])
    func refusesMalformed(_ text: String) throws {
        let error = try #require(throws: KinaError.self) { try ImageReference(text, field: "image") }
        #expect(error.code == .invalidArgument)
        #expect(error.details["field"] == "image")
        #expect(error.hint != nil)
    }

    @Test func knowsWhatIsThisMachine() throws {
        for text in ["localhost/x", "localhost:1/x", "127.0.0.1:1/x", "127.1.2.3/x", "[::1]:5/x"] {
            #expect(try ImageReference(text, field: "reference").isLoopback, "\(text)")
        }
        for text in ["alpine", "128.0.0.1/x", "localhost.example/x", "127.0.0.1.example/x", "[::2]/x", "12.7.0.1/x"] {
            #expect(try !ImageReference(text, field: "reference").isLoopback, "\(text)")
        }
    }

    @Test func isOneComponentOfAPath() throws {
        let name = try ImageReference("localhost:5000/a/b:c@\(Self.digest)", field: "reference").fileName
        #expect("localhost:5000%2Fa%2Fb:c@\(Self.digest)" == name)
    }

    @Test func aSourceHasATagOrADigest() throws {
        #expect("localhost/x@\(Self.digest)" == (try ImageReference("localhost/x:1@\(Self.digest)", field: "x").source))
        #expect("localhost/x:1" == (try ImageReference("localhost/x:1", field: "x").source))
    }

    @Test(arguments: ["linux", "linux/", "/amd64", "linux/a/b/c", "linux/am d64", ""])
    func refusesPlatforms(_ text: String) {
        #expect(throws: KinaError.self) { try ImagePlatform(text) }
    }

    @Test func readsTimes() {
        func time(_ text: String) -> Int64? {
            var configuration = OCIImageConfiguration(ImageConfig(), .host, diffID: Self.digest)
            configuration.created = text
            return configuration.createdAt
        }
        #expect(1_706_933_106_000_000_000 == time("2024-02-03T04:05:06Z"))
        #expect(1_706_933_106_123_456_789 == time("2024-02-03T04:05:06.123456789Z"))
        #expect(1_706_925_906_500_000_000 == time("2024-02-03T04:05:06.5+02:00"))
        #expect(nil == time("0001-01-01T00:00:00Z"))
        #expect(nil == time("yesterday"))
    }
}
