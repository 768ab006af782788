import KinaCore
import Testing

@testable import KinaOCI

@Suite struct Journals {
    private func events(_ journal: Journal, _ change: (inout EventFilter) -> Void = { _ in }) throws -> [Event] {
        var filter = EventFilter()
        filter.since = 0
        filter.until = Clock.now()
        change(&filter)
        let text = try written { try journal.follow(filter, to: $0, try Call(timeoutMs: 5000)) }
        return try text.split(separator: "\n").map { try JSON.decode(Event.self, from: String($0), what: "event") }
    }

    @Test func whatIsAppendedIsRead() throws {
        let scratch = try Scratch()
        let journal = Journal("\(scratch.path)/events.jsonl")
        journal.append(.container, "start", id: "1", name: "a", ["k": "v"])
        journal.append(.image, "pull", id: "2", name: "b")
        let found = try events(journal)
        #expect(["start", "pull"] == found.map(\.action))
        #expect(["k": "v"] == found.first?.attributes)
        #expect(["pull"] == (try events(journal) { $0.kinds = [.image] }).map(\.action))
        #expect(["start"] == (try events(journal) { $0.references = ["a", "x"] }).map(\.action))
        #expect([] == (try events(journal) { $0.since = found[1].time + 1 }).map(\.action))
        #expect(["start"] == (try events(journal) { $0.until = found[0].time }).map(\.action))
        var info = stat()
        #expect(0 == stat("\(scratch.path)/events.jsonl", &info))
        #expect(0o600 == info.st_mode & 0o777)
    }

    @Test func anEventTooLongForOneWriteLosesItsAttributesOnly() throws {
        let scratch = try Scratch()
        let journal = Journal("\(scratch.path)/events.jsonl")
        journal.append(.container, "exec", id: "1", name: "a", ["command": String(repeating: "x", count: 9000)])
        #expect([["truncated": "true"]] == (try events(journal)).map(\.attributes))
    }

    @Test func aFullFileIsPutAside() throws {
        let scratch = try Scratch()
        let path = "\(scratch.path)/events.jsonl"
        try Files.writeAtomically(path, [UInt8](repeating: 0x78, count: Journal.limit - 1) + [0x0A])
        let journal = Journal(path)
        for name in ["a", "b", "c"] { journal.append(.container, "start", id: "1", name: name) }
        #expect(Files.exists("\(path).1"))
        #expect(["a", "b", "c"] == (try events(journal)).map(\.name))
    }

    @Test func somewhereThatCannotBeWrittenIsNoError() {
        Journal("/nonexistent/events.jsonl").append(.container, "start", id: "1", name: "a")
    }

    @Test func theReadersEndEndsIt() throws {
        let scratch = try Scratch()
        let journal = Journal("\(scratch.path)/events.jsonl")
        let pipe = try FileDescriptor.pipe()
        try closeReader(pipe.read)
        try journal.follow(EventFilter(), to: pipe.write.raw, try Call(timeoutMs: 5000))
    }

    @Test func theCallsEndIsSaid() throws {
        let scratch = try Scratch()
        let journal = Journal("\(scratch.path)/events.jsonl")
        let pipe = try FileDescriptor.pipe()
        let error = #expect(throws: KinaError.self) {
            try journal.follow(EventFilter(), to: pipe.write.raw, try Call(timeoutMs: 20))
        }
        #expect(.deadlineExceeded == error?.code)
    }
}
