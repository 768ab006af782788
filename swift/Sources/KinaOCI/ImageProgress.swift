import KinaCore

/// Tells how far a pull is, by what there is on disk: skopeo 1.9 says it to terminals only.
///
/// It writes a layer to `oci-put-blob<random>` in the layout and moves it to its digest when it is whole. Which file
/// is which layer can't be seen, so growing files are taken to be the missing layers in order; sums are exact.
final class PullProgress {
    private let layers: [OCIDescriptor]
    private let layout: String
    private let blobs: BlobDirectory
    private var done: Set<String> = []
    private var reported: [String: Int64] = [:]

    init(_ layers: [OCIDescriptor], _ layout: String, _ blobs: BlobDirectory) {
        // The same layer may be there twice.
        var seen: Set<String> = []
        self.layers = layers.filter { seen.insert($0.digest).inserted }
        self.layout = layout
        self.blobs = blobs
    }

    func start(_ call: Call) { complete("exists", call) }

    func finish(_ call: Call) { complete("done", call) }

    /// - Throws: RESOURCE_EXHAUSTED: nothing else stops a registry that sends a layer without end.
    func tick(_ call: Call, limit: Int64) throws {
        var files = growingFiles()
        guard files.reduce(0, { $0 + $1.size }) <= limit else { throw UnpackWatch.exceeded(limit) }
        guard !layers.isEmpty, done.count < layers.count else { return }
        complete("done", call)
        for layer in layers where !done.contains(layer.digest) {
            guard let index = files.firstIndex(where: { $0.size <= layer.size }) else { continue }
            report(layer, "downloading", files.remove(at: index).size, call)
        }
    }

    private func complete(_ state: String, _ call: Call) {
        for layer in layers where !done.contains(layer.digest) {
            guard let path = try? blobs.path(layer.digest), Files.exists(path) else { continue }
            done.insert(layer.digest)
            report(layer, state, layer.size, call)
        }
    }

    private func report(_ layer: OCIDescriptor, _ state: String, _ current: Int64, _ call: Call) {
        guard state != "downloading" || reported[layer.digest] != current else { return }
        reported[layer.digest] = current
        call.report(
            ProgressEvent(
                action: "pull", item: shortDigest(layer.digest), state: state, current: current, total: layer.size))
    }

    /// The oldest first.
    private func growingFiles() -> [(size: Int64, inode: UInt64)] {
        let names = ((try? Files.list(layout)) ?? []).filter { $0.hasPrefix("oci-put-blob") }
        let files = names.compactMap { name -> (size: Int64, inode: UInt64)? in
            var info = stat()
            return stat("\(layout)/\(name)", &info) == 0 ? (Int64(info.st_size), UInt64(info.st_ino)) : nil
        }
        return files.sorted { $0.inode < $1.inode }
    }
}

/// Sees whether a program of ours still reads or writes anything.
struct StallGuard {
    private let program: String
    private let limitMs: Int64?
    private var last: Int64 = -1
    private var changedAt = Clock.monotonic()
    private var lookedAt: Int64 = 0

    /// limitMs nil: never.
    init(_ program: String, limitMs: Int64?) {
        self.program = program
        self.limitMs = limitMs
    }

    mutating func hasStalled() -> Bool {
        let now = Clock.monotonic()
        guard let limitMs, now - lookedAt >= 100_000_000 else { return false }
        lookedAt = now
        // What can't be seen is not called stalled.
        guard let moved = bytesMoved(), moved == last else {
            last = bytesMoved() ?? -1
            changedAt = now
            return false
        }
        return now - changedAt > limitMs * 1_000_000
    }

    /// Sockets count too. The child is one of this thread's, since the thread that waits is the one that started it.
    private func bytesMoved() -> Int64? {
        let children = (try? Files.readText("/proc/thread-self/children")) ?? ""
        guard let pid = children.split(separator: " ").first(where: isOurs),
            let io = try? Files.readText("/proc/\(pid)/io")
        else { return nil }
        // rchar and wchar: whatever passed through read(2) and write(2).
        return io.split(separator: "\n").prefix(2).reduce(0) { sum, line in
            sum + (line.split(separator: " ").last.flatMap { Int64($0) } ?? 0)
        }
    }

    private func isOurs(_ pid: Substring) -> Bool {
        var running = stat(), installed = stat()
        return stat("/proc/\(pid)/exe", &running) == 0 && stat(program, &installed) == 0
            && running.st_ino == installed.st_ino && running.st_dev == installed.st_dev
    }
}
