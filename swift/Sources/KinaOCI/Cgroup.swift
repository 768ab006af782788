import KinaCore

/// Where the host's cgroup hierarchies are.
struct CgroupHierarchies: Sendable {
    let mode: Context.Cgroups
    let root: String
    /// Every hierarchy's directory: one for v2; one a controller, "systemd" and perhaps "unified" otherwise.
    let all: [String]
    private let controllers: [String: String]

    /// Several controllers may share a directory, "cpu,cpuacct", with a link for each, or without.
    init(_ mode: Context.Cgroups, root: String = "/sys/fs/cgroup") {
        self.mode = mode
        self.root = root
        guard mode != .v2 else {
            all = [root]
            controllers = [:]
            return
        }
        let names = ((try? Files.list(root)) ?? []).sorted().filter { Files.isDirectory("\(root)/\($0)") }
        var found: [String: String] = [:]
        for name in names { for part in name.split(separator: ",") { found[String(part)] = "\(root)/\(name)" } }
        for name in names { found[name] = "\(root)/\(name)" }
        controllers = found
        all = names.map { "\(root)/\($0)" }
    }

    /// nil: this host has no such controller.
    subscript(controller: String) -> String? { mode == .v2 ? root : controllers[controller] }
}

/// A container's control group, on v1, v2 and hybrid hosts.
///
/// The OCI runtime makes it. v1 and hybrid hosts have a directory in each controller's hierarchy, v2 hosts one in all.
struct Cgroup: Sendable {
    let id: String
    /// linux.cgroupsPath: "/kina-<hash>/<id>".
    let path: String
    let hierarchies: CgroupHierarchies
    private let runtime: String

    init(_ context: Context, _ id: String) {
        self.init(
            id, path: "\(Self.parent(context))/\(id)", context.hierarchies, runtime: context.tools.ociRuntime)
    }

    /// "/kina-<hash>": what all containers of a home are in. Homes share nothing, so that one may take its own away while
    /// another's runtime makes one.
    static func parent(_ context: Context) -> String { "/kina-\(context.run.split(separator: "/").last ?? "")" }

    init(_ id: String, path: String, _ hierarchies: CgroupHierarchies, runtime: String = "runc") {
        self.id = id
        self.path = path
        self.hierarchies = hierarchies
        self.runtime = runtime
    }

    private var isV2: Bool { hierarchies.mode == .v2 }

    /// Its directory in a controller's hierarchy.
    func directory(_ controller: String) -> String? { hierarchies[controller].map { $0 + path } }

    private var directories: [String] { hierarchies.all.map { $0 + path } }

    /// The directory whose processes are frozen and killed together.
    private var killing: String { directory("freezer") ?? directory("pids") ?? directories.first ?? path }

    /// Every process in it and beneath it.
    func processes() throws -> [Int32] { try processes(killing) }

    private func processes(_ directory: String) throws -> [Int32] {
        try doing("reading the cgroup of \(id)") { try CgroupTree.processes(directory) }
    }

    /// Whether its processes are frozen: what "paused" means.
    var isFrozen: Bool {
        guard let directory = directory("freezer") else { return false }
        let state = SmallFile.read("\(directory)/\(isV2 ? "cgroup.freeze" : "freezer.state")")
        // FROZEN, or FREEZING while the last of them are on their way.
        return state?.starts(with: isV2 ? "1".utf8 : "FR".utf8) ?? false
    }

    /// SIGKILLs everything in it and beneath it, until it is empty or the deadline of the call.
    func kill(_ call: Call) throws { try kill(killing, call) }

    /// Removes it from every hierarchy. Idempotent; FAILED_PRECONDITION while processes are in it.
    func remove() throws { try remove(directories) }

    private func remove(_ directories: [String]) throws {
        try doing("removing the cgroup of \(id)") {
            for directory in directories { try CgroupTree.remove(directory) }
        }
    }

    /// How many processes the kernel killed for memory, nil when it can't be read.
    func oomKills() -> UInt64? {
        guard let directory = directory("memory") else { return nil }
        return SmallFile.read("\(directory)/\(isV2 ? "memory.events" : "memory.oom_control")")?.value(of: "oom_kill")
    }

    /// Whether this host counts, and so can limit, swap.
    static func countsSwap(_ mode: Context.Cgroups, root: String = "/sys/fs/cgroup") -> Bool {
        guard mode == .v2 else { return Files.exists("\(root)/memory/memory.memsw.limit_in_bytes") }
        // The root group has no limits: look at any group beneath, and believe in it where there is none.
        for name in (try? Files.list(root)) ?? [] where Files.exists("\(root)/\(name)/memory.max") {
            return Files.exists("\(root)/\(name)/memory.swap.max")
        }
        return true
    }
}

// Sub-groups, one an exec'd process, so that it can be killed with all its children. On v1 the freezer's hierarchy
// suffices: that is what kills; accounting and limits stay the container's.
extension Cgroup {
    private func name(_ process: String) -> String { "exec-\(process)" }

    func makeProcessGroup(_ process: String) throws {
        let directory = "\(killing)/\(name(process))"
        guard mkdir(directory, 0o755) == 0 || errno == EEXIST else {
            let code = errno
            if code == ENOENT {
                throw KinaError(.failedPrecondition, "the container \(id) has ended", hint: "start it first")
            }
            throw KinaError(Errno(code, "mkdir \(directory)"), "making a cgroup for a process of \(id)")
        }
    }

    /// For `runc exec --cgroup`.
    func processGroupArguments(_ process: String) -> [String] {
        // crun takes no controllers, and makes the group in every hierarchy by itself.
        if isV2 || runtime.hasSuffix("crun") { return ["--cgroup", name(process)] }
        guard hierarchies["freezer"] != nil else { return [] }
        return ["--cgroup", "freezer:\(name(process))"]
    }

    func killProcessGroup(_ process: String, _ call: Call) throws { try kill("\(killing)/\(name(process))", call) }

    func removeProcessGroup(_ process: String) throws { try remove(directories.map { "\($0)/\(name(process))" }) }
}

// Killing, so that not even what forks as fast as it can gets away.
extension Cgroup {
    private func kill(_ directory: String, _ call: Call) throws {
        let bounded = call.within(ms: 30_000)
        var pause: Int64 = 1
        while Files.exists(directory) {
            if !(isV2 && CgroupTree.write("\(directory)/cgroup.kill", "1")) {
                guard try killFrozen(directory, bounded) else { return }
            }
            if try processes(directory).isEmpty { return }
            try bounded.sleep(ms: pause, for: "the processes of \(id) to die")
            pause = min(pause * 2, 20)
        }
    }

    /// Frozen processes don't fork; the signal takes effect when they thaw, before any of their code runs. false when
    /// there were none.
    private func killFrozen(_ directory: String, _ call: Call) throws -> Bool {
        if try processes(directory).isEmpty { return false }
        let (file, frozen, thawed) = isV2 ? ("cgroup.freeze", "1", "0") : ("freezer.state", "FROZEN", "THAWED")
        if CgroupTree.write("\(directory)/\(file)", frozen) { try awaitFrozen(directory, call) }
        defer {
            // Beneath too: a group that was frozen by itself stays so when its parent thaws.
            for group in ((try? CgroupTree.groups(directory)) ?? [directory]) {
                _ = CgroupTree.write("\(group)/\(file)", thawed)
            }
        }
        for pid in try processes(directory) { _ = Glibc.kill(pid, SIGKILL) }
        return true
    }

    /// Not for ever: what hangs in the kernel does not freeze, and is killed as it is.
    private func awaitFrozen(_ directory: String, _ call: Call) throws {
        for attempt in 0..<100 {
            let done =
                isV2
                ? SmallFile.read("\(directory)/cgroup.events")?.value(of: "frozen") == 1
                : SmallFile.read("\(directory)/freezer.state")?.starts(with: "FROZEN".utf8) ?? true
            if done { return }
            try call.sleep(ms: attempt < 10 ? 1 : 5, for: "the processes of \(id) to freeze")
        }
    }
}

/// Directories of a cgroup file system.
enum CgroupTree {
    /// Removes what the containers' groups of a home were in, where nothing is in it any more.
    static func removeParents(_ context: Context) {
        for hierarchy in context.hierarchies.all { rmdir(hierarchy + Cgroup.parent(context)) }
    }

    /// A group and those beneath it, outer ones first. None when it is gone.
    static func groups(_ directory: String) throws -> [String] {
        var info = stat()
        guard lstat(directory, &info) == 0 else {
            if errno == ENOENT { return [] }
            throw Errno(errno, "lstat \(directory)")
        }
        // kernfs counts sub-directories like ext4: with none, the many files need no look.
        if info.st_nlink == 2 { return [directory] }
        var result = [directory]
        for name in try Files.list(directory).sorted() {
            let path = "\(directory)/\(name)"
            if lstat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR { result += try groups(path) }
        }
        return result
    }

    static func processes(_ directory: String) throws -> [Int32] {
        try groups(directory).flatMap { group -> [Int32] in
            do {
                let text = try Files.readText("\(group)/cgroup.procs")
                // 0 is a process that our pid namespace does not have.
                return text.split(separator: "\n").compactMap { Int32($0) }.filter { $0 > 0 }
            } catch let error as Errno where [ENOENT, ENODEV, EOPNOTSUPP].contains(error.code) {
                // It went, or it is a threaded group, whose processes its domain lists.
                return []
            }
        }
    }

    /// false when there is no such file or it does not take that.
    static func write(_ path: String, _ text: String) -> Bool {
        guard let fd = try? FileDescriptor.open(path, O_WRONLY) else { return false }
        return (try? writeAll(fd.raw, Array(text.utf8))) != nil
    }

    /// Inner ones first. What has just been killed needs a moment until it has left.
    static func remove(_ directory: String) throws {
        let deadline = Clock.monotonic() + 2_000_000_000
        while true {
            var busy = false
            for group in try groups(directory).reversed() where rmdir(group) < 0 && errno != ENOENT {
                guard errno == EBUSY || errno == ENOTEMPTY else { throw Errno(errno, "rmdir \(group)") }
                busy = true
            }
            if !busy { return }
            if Clock.monotonic() >= deadline { break }
            try Call.unbounded.sleep(ms: 2, for: "cgroup \(directory)")
        }
        let left = (try? processes(directory)) ?? []
        throw KinaError(
            .failedPrecondition,
            "the cgroup \(directory) is in use"
                + (left.isEmpty ? "" : " by processes \(left.map(String.init).joined(separator: ", "))"),
            hint: "stop the container first")
    }
}

extension ResourcesSpec {
    /// The kernel refuses a set with a CPU that is not there; better before anything is made.
    func requireCPUs() throws {
        guard let cpuset,
            let online = try? Files.readText("/sys/devices/system/cpu/online").filter({ !$0.isWhitespace })
        else { return }
        let there = Self.ranges(online)
        for range in Self.ranges(cpuset) {
            if let missing = range.prefix(8192).first(where: { cpu in !there.contains { $0.contains(cpu) } }) {
                throw KinaError.invalid(
                    "resources.cpuset", cpuset, "CPU \(missing) is not there, or is offline",
                    hint: "this host has \(online)")
            }
        }
    }

    private static func ranges(_ text: String) -> [ClosedRange<Int>] {
        text.split(separator: ",").compactMap { part in
            let ends = part.split(separator: "-").compactMap { Int($0) }
            guard let first = ends.first, let last = ends.last, first <= last else { return nil }
            return first...last
        }
    }
}
