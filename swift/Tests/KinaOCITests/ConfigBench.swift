import KinaCore
import Testing

@testable import KinaOCI

/// Figures for what is on the way of every run; KINA_BENCH=1 prints them.
@Suite(.enabled(if: Bundle.canRun && getenv("KINA_BENCH") != nil), .serialized)
struct ConfigBench {
    @Test func bundle() throws {
        let bundle = try Bundle({ $0.command = ["true"] })
        let first = try time(1) { _ = try bundle.config() }
        print("bundle: \(first) µs the first time, \(try time(200) { _ = try bundle.config() }) µs after")
        #expect(first < 200_000)
    }

    @Test func process() throws {
        let bundle = try Bundle({ $0.command = ["sleep", "60"] })
        let spec = ProcessSpec(args: ["true"])
        let cost = try time(200) {
            _ = try OCIConfig.process(spec, in: bundle.record, root: bundle.paths.rootfs, bundle.context)
        }
        print("process: \(cost) µs")
    }

    @Test func statistics() throws {
        let bundle = try Bundle({ $0.command = ["sleep", "60"] })
        try bundle.start()
        let pid = try #require(try bundle.cgroup.processes().first)
        print("statistics: \(time(500) { _ = bundle.cgroup.statistics(pid: pid) }) µs")
    }

    @Test func validation() throws {
        let text = try Files.readText(
            "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
                + "/tests/data/documents/container_spec.json")
        let spec = try JSON.decode(ContainerSpec.self, from: text, what: "spec")
        print("decode: \(time(200) { _ = try? JSON.decode(ContainerSpec.self, from: text, what: "spec") }) µs")
        print("validate: \(time(200) { try? spec.validate() }) µs")
    }

    @Test func doctor() throws {
        print("doctor: \(time(5) { _ = Doctor.examine(RuntimeOptions()) }) µs")
    }

    private func time(_ count: Int64, _ body: () throws -> Void) rethrows -> Int64 {
        let before = Clock.monotonic()
        for _ in 0..<count { try body() }
        return (Clock.monotonic() - before) / count / 1000
    }
}
