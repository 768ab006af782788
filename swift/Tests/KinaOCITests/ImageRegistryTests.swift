import KinaCore
import Testing

@testable import KinaOCI

/// Pulling and pushing, against Debian's docker-registry.
@Suite(.enabled(if: geteuid() == 0 && Command.find("docker-registry") != nil)) struct ImageRegistryTests {
    @Test func whatIsPushedIsPulled() throws {
        let fixture = try ImageFixture()
        let registry = try #require(try RegistryFixture())
        let pushed = try fixture.importTar(ImageStoreTests.tree, as: "localhost/a")
        let request = try JSON.decode(
            ImagePushRequest.self,
            from: #"{"reference": "localhost/a", "destination": "\#(registry.address)/kina/a:1"}"#, what: "request")
        try fixture.images.push(request, .unbounded)
        try fixture.images.delete("localhost/a", force: false, .unbounded)

        let progress = try FileDescriptor.pipe()
        let call = try Call(timeoutMs: 60_000, progressFd: progress.write.raw)
        let pulled = try fixture.pull("\(registry.address)/kina/a:1", call)
        #expect(pushed.id == pulled.id)
        let text = String(decoding: try progress.read.read() ?? [], as: UTF8.self)
        let events = try text.split(separator: "\n").map {
            try JSON.decode(ProgressEvent.self, from: String($0), what: "event")
        }
        let layer = events.last { $0.action == "pull" }
        #expect("done" == layer?.state)
        #expect(nil != layer?.total && layer?.current == layer?.total)
        #expect("unpack" == events.last?.action)

        let prepared = try fixture.images.prepare("\(registry.address)/kina/a:1", .always, .unbounded)
        #expect("content\n" == (try Files.readText("\(prepared.rootfs)/bin/tool")))

        // skopeo writes manifests in place: never where others read them, and where a kill would leave half of one.
        let blob = try fixture.images.blobs.path(pulled.digest)
        let manifest = try FileDescriptor.open(blob, O_RDONLY)
        var before = stat(), after = stat()
        fstat(manifest.raw, &before)
        _ = try fixture.pull("\(registry.address)/kina/a:1")
        fstat(manifest.raw, &after)
        #expect(before.st_mtim.tv_nsec == after.st_mtim.tv_nsec && before.st_size == after.st_size)
        #expect(pulled.digest == (try fixture.images.blobs.describe(pulled.digest, as: "x").digest))

        let error = #expect(throws: KinaError.self) { try fixture.pull("\(registry.address)/kina/a:2") }
        #expect(.notFound == error?.code)
    }

    @Test func parallelPullsKeepEveryReference() async throws {
        let fixture = try ImageFixture()
        let registry = try #require(try RegistryFixture())
        try fixture.importTar(ImageStoreTests.tree, as: "localhost/a")
        for index in 0..<8 {
            let request = try JSON.decode(
                ImagePushRequest.self,
                from: #"{"reference": "localhost/a", "destination": "\#(registry.address)/a:\#(index)"}"#,
                what: "request")
            try fixture.images.push(request, .unbounded)
        }
        try fixture.images.delete("localhost/a", force: false, .unbounded)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<8 { group.addTask { _ = try fixture.pull("\(registry.address)/a:\(index)") } }
            for index in 8..<12 {
                group.addTask {
                    let error = #expect(throws: KinaError.self) { try fixture.pull("\(registry.address)/a:\(index)") }
                    #expect(.notFound == error?.code)
                }
            }
            try await group.waitForAll()
        }
        #expect((0..<8).map { "\(registry.address)/a:\($0)" } == (try fixture.images.list().images.map(\.reference)))
        for image in try fixture.images.list().images {
            try fixture.images.delete(image.reference, force: false, .unbounded)
        }
        #expect([] == (try fixture.remains))
    }
}

@Suite(.enabled(if: geteuid() == 0)) struct ImagePullFailureTests {
    @Test func aRegistryThatIsNotThere() throws {
        let fixture = try ImageFixture()
        let port = try Listener().port
        let error = #expect(throws: KinaError.self) { try fixture.pull("127.0.0.1:\(port)/x") }
        #expect(.unavailable == error?.code)
        #expect("127.0.0.1:\(port)" == error?.details["registry"])
        #expect([] == (try fixture.remains))
    }

    @Test func aRegistryThatSaysNothingEndsWithTheCall() throws {
        let fixture = try ImageFixture()
        let listener = try Listener()
        let error = #expect(throws: KinaError.self) {
            try fixture.pull("127.0.0.1:\(listener.port)/x", Call(timeoutMs: 300))
        }
        #expect(.deadlineExceeded == error?.code)
        #expect([] == (try fixture.remains))
    }

    @Test func aRegistryThatSaysNothingIsGivenUpWithoutADeadline() throws {
        let fixture = try ImageFixture(stallMs: 500)
        let listener = try Listener()
        let error = #expect(throws: KinaError.self) { try fixture.pull("127.0.0.1:\(listener.port)/x") }
        #expect(.unavailable == error?.code)
        #expect(error?.message.contains("127.0.0.1:\(listener.port)") == true)
        #expect([] == (try fixture.remains))
    }

    @Test func credentialsNeedBothHalvesAndAuthFilesExist() throws {
        let fixture = try ImageFixture()
        var request = ImagePullRequest(reference: "127.0.0.1:1/x")
        request.username = "me"
        #expect(
            "password"
                == #expect(throws: KinaError.self) { try fixture.images.pull(request, .unbounded) }?.details["field"])
        request.username = nil
        request.authFile = "/nonexistent"
        #expect(
            "authFile"
                == #expect(throws: KinaError.self) { try fixture.images.pull(request, .unbounded) }?.details["field"])
    }
}
