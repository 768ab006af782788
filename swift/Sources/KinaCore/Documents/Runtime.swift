/// How to open a runtime.
public struct RuntimeOptions: Document {
    /// KINA_HOME: where the state is; the platform's place when absent.
    public var home: String?
    /// "oci", in this process; "remote", the same in a server of its own (kina-vmd) that is started on demand; or "vm",
    /// a virtual machine a container, which that server makes. $KINA_BACKEND, else "vm" on macOS and "oci" elsewhere.
    public var backend: String?
    /// The OCI runtime: a name to look for in PATH or a path; $KINA_OCI_RUNTIME, else runc.
    public var ociRuntime: String?
    /// Where libkina and its own programs are, for those that kina starts.
    public var libexec: String?
    /// Bytes that one image may unpack to.
    public var unpackLimit: Int64 = 64 << 30
    /// Virtual machines: a kernel's file, and an ext4 file or an image with the guest's init. $KINA_KERNEL and
    /// $KINA_INIT_IMAGE, else found or fetched once.
    public var kernel: String?
    public var initImage: String?

    /// The backend of virtual machines.
    public static let machines = "vm"

    public init() {}

    /// For virtual machines: a home of their own inside the home, so that no record has two masters; what the
    /// environment says filled in, since the server's is another one.
    public func forMachines() throws -> RuntimeOptions {
        var own = self
        own.backend = Self.machines
        own.home = try Home(home).path + "/vm"
        own.kernel = kernel ?? getenv("KINA_KERNEL").map { String(cString: $0) }
        own.initImage = initImage ?? getenv("KINA_INIT_IMAGE").map { String(cString: $0) }
        return own
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case home, backend, ociRuntime, libexec, unpackLimit, kernel, initImage
    }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        home = try f.optional(.home)
        backend = try f.optional(.backend)
        ociRuntime = try f.optional(.ociRuntime)
        libexec = try f.optional(.libexec)
        unpackLimit = try f.value(.unpackLimit, default: unpackLimit)
        kernel = try f.optional(.kernel)
        initImage = try f.optional(.initImage)
        var problems = Problems()
        problems.require(unpackLimit > 0, "unpackLimit", "\(unpackLimit)", "must be at least 1 byte")
        let texts: [(CodingKeys, String?)] = [
            (.home, home), (.backend, backend), (.ociRuntime, ociRuntime), (.libexec, libexec), (.kernel, kernel),
            (.initImage, initImage),
        ]
        for (key, text) in texts { if let text { problems.text(key.rawValue, text) } }
        try problems.finish()
    }
}

public struct RuntimeInfo: Document {
    public var backend: String
    public var version: String
    public var home: String
    public var runDirectory: String
    public var ociRuntime: String
    /// "v1", "v2" or "hybrid".
    public var cgroups: String
    public var platform: String

    public init(
        backend: String, version: String, home: String, runDirectory: String, ociRuntime: String, cgroups: String,
        platform: String
    ) {
        self.backend = backend
        self.version = version
        self.home = home
        self.runDirectory = runDirectory
        self.ociRuntime = ociRuntime
        self.cgroups = cgroups
        self.platform = platform
    }
}

/// What `doctor` found.
public struct Report: Document {
    public struct Check: Document {
        public enum State: String, Choice { case ok, warning, failed }

        public var name: String
        public var state: State
        /// What was found, or why it is not usable.
        public var reason: String
        /// What to do: a command where one does it.
        public var fix: String?

        public init(_ name: String, _ state: State, _ reason: String, fix: String? = nil) {
            self.name = name
            self.state = state
            self.reason = reason
            self.fix = fix
        }
    }

    public var backend: String
    public var usable: Bool
    public var checks: [Check]

    public init(backend: String, checks: [Check]) {
        self.backend = backend
        self.checks = checks
        usable = checks.allSatisfy { $0.state != .failed }
    }
}

/// Something that happened to an object.
public struct Event: Document {
    public enum Kind: String, Choice { case container, image, network, pod, volume }

    public var time: Int64
    public var kind: Kind
    /// create, start, stop, kill, die, oom, pause, resume, update, delete, exec, pull, push, load, tag, import, …
    public var action: String
    public var id: String
    public var name: String
    /// "exitCode", "signal", "image", …
    public var attributes: [String: String]

    public init(
        time: Int64, kind: Kind, action: String, id: String, name: String, attributes: [String: String] = [:]
    ) {
        self.time = time
        self.kind = kind
        self.action = action
        self.id = id
        self.name = name
        self.attributes = attributes
    }
}

public struct EventFilter: Document {
    /// Nanoseconds since the epoch: also those that the journal still has. Absent: from now on.
    public var since: Int64?
    /// Ends by itself at this time; with a past time it only reads the journal.
    public var until: Int64?
    public var kinds: [Event.Kind] = []
    /// Ids or names, any of them.
    public var references: [String] = []

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable { case since, until, kinds, references }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        since = try f.optional(.since)
        until = try f.optional(.until)
        kinds = try f.value(.kinds, default: kinds)
        references = try f.value(.references, default: references)
    }
}

/// What to delete: unused objects of these kinds. What a crash left behind goes always.
public struct PruneRequest: Document {
    /// Stopped and never started containers, and stopped pods without any.
    public var containers = false
    /// References that no container uses.
    public var images = false
    public var networks = false
    public var volumes = false
    /// Only objects with these labels (containers, networks, pods, volumes).
    public var labels: [String: String] = [:]

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable { case containers, images, networks, volumes, labels }

    public init(from decoder: any Decoder) throws {
        let f = try Fields<CodingKeys>(decoder)
        containers = try f.value(.containers, default: containers)
        images = try f.value(.images, default: images)
        networks = try f.value(.networks, default: networks)
        volumes = try f.value(.volumes, default: volumes)
        labels = try f.value(.labels, default: labels)
    }
}

public struct PruneResult: Document {
    /// Names (images: references) of what was deleted.
    public var containers: [String] = []
    public var images: [String] = []
    public var networks: [String] = []
    public var pods: [String] = []
    public var volumes: [String] = []
    /// What a crash had left: mounts, records, files; said in words.
    public var leftovers: [String] = []
    /// Bytes of files that were freed.
    public var reclaimed: Int64 = 0

    public init() {}
}

/// A step of something that lasts.
public struct ProgressEvent: Document {
    /// What is being done: "pull", "unpack", …
    public var action: String
    /// The part of it: a layer's digest, a step's name.
    public var item: String?
    public var state: String
    /// Bytes.
    public var current: Int64?
    public var total: Int64?
    /// How long a finished step took.
    public var elapsedNs: Int64?

    public init(
        action: String, item: String? = nil, state: String, current: Int64? = nil, total: Int64? = nil,
        elapsedNs: Int64? = nil
    ) {
        self.elapsedNs = elapsedNs
        self.action = action
        self.item = item
        self.state = state
        self.current = current
        self.total = total
    }
}
