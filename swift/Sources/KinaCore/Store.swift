/// What was made at some moment, and is listed in that order.
public protocol Dated {
    var id: String { get }
    /// Nanoseconds since 1970.
    var createdAt: Int64 { get }
}

extension Dated {
    package func precedes(_ other: any Dated) -> Bool { (createdAt, id) < (other.createdAt, other.id) }
}

/// A record on disk: written before the first resource it names, removed after the last.
public protocol Record: Document, Dated {
    var name: String { get }
}

/// The records of one kind: `<directory>/<id>/record.json`, and `<names>/<name>`, a link whose text is the id.
///
/// Names are claimed by symlink(2), which is atomic, and only after the record is there: a claim without a record is
/// therefore stale for certain and may be taken over. A record without its claim is what a crash left of a creation
/// or of a deletion.
public struct Store<R: Record>: Sendable {
    public let kind: String
    public let directory: String
    private let names: String

    public init(kind: String, root: String) throws {
        self.kind = kind
        directory = "\(root)/\(kind)s"
        names = "\(root)/names/\(kind)s"
        try doing("creating \(directory)") {
            try Files.makeDirectories(directory)
            try Files.makeDirectories(names)
        }
    }

    public func directory(_ id: String) -> String { "\(directory)/\(id)" }
    private func file(_ id: String) -> String { "\(directory)/\(id)/record.json" }

    /// Writes a new record and claims its name. ALREADY_EXISTS leaves nothing behind. Without `sync` a power failure may
    /// take it, or leave it empty for `sweep`: for what is saved again once it names something.
    public func insert(_ record: R, sync: Bool = true) throws {
        try doing("recording \(kind) \(record.name)") {
            try Files.makeDirectories(directory(record.id))
            do {
                try Files.writeAtomically(file(record.id), try JSON.encode(record), sync: sync)
                try claim(record.name, for: record.id)
            } catch {
                try? Files.removeTree(directory(record.id))
                throw error
            }
        }
    }

    private func claim(_ name: String, for id: String) throws {
        let link = "\(names)/\(name)"
        while symlink(id, link) < 0 {
            let code = errno
            guard code == EEXIST else { throw Errno(code, "symlink \(link)") }
            guard let holder = readLink(link) else { continue }
            if Files.exists(file(holder)) {
                throw taken(name, by: holder)
            }
            try removeStale(link, of: holder)
        }
    }

    /// One at a time, and looking again: by now somebody else may have taken the name over, whose claim must stay.
    private func removeStale(_ link: String, of holder: String) throws {
        let lock = try FileLock("\(names).lock", try Call(timeoutMs: 10_000), for: "the names of \(kind)s")
        defer { lock.unlock() }
        if readLink(link) == holder, !Files.exists(file(holder)) { unlink(link) }
    }

    /// Fails early when a name is taken, before anything costly; `insert` is what decides.
    public func requireFree(_ name: String) throws {
        if let holder = readLink("\(names)/\(name)"), Files.exists(file(holder)) { throw taken(name, by: holder) }
    }

    private func taken(_ name: String, by holder: String) -> KinaError {
        KinaError(
            .alreadyExists, "\(kind) name '\(name)' is taken by \(holder)",
            hint: "choose another name, or delete that \(kind) first",
            details: ["field": "name", "value": name, "id": holder])
    }

    public func save(_ record: R, sync: Bool = true) throws {
        try doing("recording \(kind) \(record.name)") {
            try Files.writeAtomically(file(record.id), try JSON.encode(record), sync: sync)
        }
    }

    /// nil when there is none.
    public func load(_ id: String) throws -> R? {
        do {
            let bytes = try Files.read(file(id))
            if bytes.isEmpty { return nil }  // a power failure cut its first writing off
            do {
                return try JSON.decode(R.self, from: bytes, what: "\(kind) record")
            } catch let error as KinaError {
                throw KinaError(
                    .dataLoss, "the record of \(kind) \(id) can't be read: \(error.message)",
                    hint: "restore or remove \(directory(id)), then prune")
            }
        } catch let error as Errno where error.code == ENOENT || error.code == ENOTDIR {
            return nil
        } catch let error as Errno {
            throw KinaError(error, "reading \(kind) \(id)")
        }
    }

    /// By name, id, or a prefix of an id of at least four characters that only one has.
    public func id(of reference: String) throws -> String? {
        guard !reference.isEmpty, !reference.contains("/"), !reference.contains("\0"), !reference.hasPrefix(".") else {
            throw KinaError.invalid(kind, reference, "is not a name or id")
        }
        if let id = readLink("\(names)/\(reference)"), Files.exists(file(id)) { return id }
        if reference.utf8.count == Identifier.length, Files.exists(file(reference)) { return reference }
        guard reference.utf8.count >= 4 else { return nil }
        let matches = try ids().filter { $0.hasPrefix(reference) }
        if matches.count > 1 {
            throw KinaError.invalid(
                kind, reference, "is the beginning of \(matches.count) ids", hint: "give more of the id")
        }
        return matches.first
    }

    public func find(_ reference: String) throws -> R {
        guard let id = try id(of: reference), let record = try load(id) else {
            throw KinaError.notFound(kind, reference)
        }
        return record
    }

    public func ids() throws -> [String] {
        try doing("listing \(kind)s") { try Files.list(directory).filter { !$0.contains(".") }.sorted() }
    }

    /// Those that can be read: one that is being removed is not there, and a broken one must not hide the others
    /// (asking for it by name says what is wrong with it).
    public func all() throws -> [R] { try ids().compactMap { try? load($0) } }

    /// In the order of their making.
    package func inOrder() throws -> [R] { try all().sorted { $0.precedes($1) } }

    /// Thing → its users, by what each record uses.
    package func users(_ uses: (R) -> [(thing: String, user: String)]) throws -> [String: [String]] {
        try all().flatMap(uses).reduce(into: [:]) { $0[$1.thing, default: []].append($1.user) }
    }

    /// Frees the name and removes the record with all that lies beside it. Fine when it is gone.
    public func remove(_ id: String, name: String) throws {
        try doing("removing \(kind) \(name)") {
            let link = "\(names)/\(name)"
            if readLink(link) == id { try Files.remove(link) }
            // Out of sight in one step, whatever happens while the tree goes.
            let doomed = "\(directory)/\(id).\(Identifier.random(8)).gone"
            if rename(directory(id), doomed) < 0 {
                if errno == ENOENT { return }
                throw Errno(errno, "rename \(directory(id))")
            }
            try Files.removeTree(doomed)
        }
    }

    /// Removes what crashes left: half-removed trees, claims without a record, trees without a record. Says what.
    public func sweep() throws -> [String] {
        var swept: [String] = []
        for name in try Files.list(directory) {
            let path = "\(directory)/\(name)"
            // A tree without a record is one that `insert` is about to fill unless it is old.
            let half =
                !name.contains(".") && ((try? Files.read("\(path)/record.json"))?.isEmpty ?? true)
                && isOlder(path, seconds: 60)
            if name.hasSuffix(".gone") || half {
                try Files.removeTree(path)
                swept.append("\(kind) files \(name)")
            }
        }
        for name in try Files.list(names) {
            if let id = readLink("\(names)/\(name)"), !Files.exists(file(id)) {
                try removeStale("\(names)/\(name)", of: id)
                swept.append("\(kind) name \(name)")
            }
        }
        return swept
    }

    /// The lock of one object, for every change to it, or shared for what must not see one; NOT_FOUND when the object went
    /// while waiting.
    public func lock(_ id: String, shared: Bool = false, _ call: Call) throws -> FileLock {
        do {
            return try FileLock(
                "\(directory(id))/lock", shared: shared, call, for: "\(kind) \(id), which another call is changing")
        } catch let error as Errno where error.code == ENOENT {
            throw KinaError.notFound(kind, id)
        }
    }

    /// Finds an object, locks it, and hands its record over.
    public func locked<T>(_ reference: String, _ call: Call, _ body: (inout R) throws -> T) throws -> T {
        let (found, lock) = try find(reference, shared: false, call)
        defer { lock.unlock() }
        var record = found
        return try body(&record)
    }

    /// Finds an object and locks it; its record is read under the lock.
    func find(_ reference: String, shared: Bool, _ call: Call) throws -> (R, FileLock) {
        guard let id = try id(of: reference) else { throw KinaError.notFound(kind, reference) }
        let lock = try lock(id, shared: shared, call)
        guard let record = try load(id) else { throw KinaError.notFound(kind, reference) }
        return (record, lock)
    }

    private func isOlder(_ path: String, seconds: Int) -> Bool {
        var info = stat()
        return stat(path, &info) == 0 && Int(time(nil)) - Int(info.modified.tv_sec) > seconds
    }
}

/// The text of a symbolic link, nil when there is none.
public func readLink(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes { raw in
        readlink(path, raw.baseAddress!.assumingMemoryBound(to: CChar.self), raw.count)
    }
    return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
}

/// flock(2) on a file of its own description: excludes other threads as well as other processes, and goes with them.
public final class FileLock: Sendable {
    private let fd: FileDescriptor
    private let path: String

    /// Waits for it, within the call.
    public init(_ path: String, shared: Bool = false, _ call: Call, for waitedFor: @autoclosure () -> String) throws {
        var pause: Int64 = 1
        while true {
            let fd = try FileDescriptor.open(path, O_RDWR | O_CREAT)
            while flock(fd.raw, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0 {
                let code = errno
                guard code == EWOULDBLOCK || code == EINTR else { throw Errno(code, "flock \(path)") }
                try call.sleep(ms: pause, for: waitedFor())
                pause = min(pause * 2, 20)
            }
            // The file may have been removed, or replaced, while we waited: then this lock protects nothing.
            var mine = stat(), there = stat()
            if fstat(fd.raw, &mine) == 0, stat(path, &there) == 0, mine.st_ino == there.st_ino,
                mine.st_dev == there.st_dev
            {
                self.fd = fd
                self.path = path
                return
            }
        }
    }

    /// Frees it; letting go of the object does as well.
    public func unlock() { flock(fd.raw, LOCK_UN) }

    /// Frees it, and takes its file away first: who waits for that one finds out, and makes another. For the holder of
    /// an exclusive lock.
    public func remove() {
        unlink(path)
        unlock()
    }
}
