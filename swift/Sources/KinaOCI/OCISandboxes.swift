import CKinaLinux
import KinaCore

/// Where the files of a pod's sandbox are.
struct SandboxPaths: Sendable {
    let run: String
    init(_ context: Context, _ id: String) { run = "\(Self.running(context))/\(id)" }
    static func running(_ context: Context) -> String { "\(context.run)/pods" }

    var netns: String { "\(run)/net" }
    var ipcns: String { "\(run)/ipc" }
    var utsns: String { "\(run)/uts" }
    /// What is /dev/shm for all.
    var shm: String { "\(run)/shm" }

    /// Those that are the sandbox's own.
    func namespaces(of modes: NamespacesSpec) -> [String] {
        (modes.network == .host ? [] : [netns]) + (modes.ipc == .host ? [] : [ipcns])
            + (modes.uts == .host ? [] : [utsns])
    }
}

/// Sandboxes that several containers share: namespaces that files hold, so that no process need live in them.
///
/// A pod's lock comes before its containers', and theirs before networks'. Who needs a pod to stay as it is holds its lock
/// shared; who makes, brings up or down, or deletes it, exclusively.
struct OCISandboxes: Sendable {
    let context: Context
    let networks: OCINetworks
    let store: Store<PodRecord>
    private let bootID: String

    init(_ context: Context, _ networks: OCINetworks) throws {
        self.context = context
        self.networks = networks
        store = try Store(kind: "pod", root: context.home)
        bootID = try doing("reading the boot id") { try Context.bootID() }
    }

    func paths(_ id: String) -> SandboxPaths { SandboxPaths(context, id) }

    /// `up`: brings it up where it is down.
    func hold(_ reference: String, up: Bool, _ call: Call) throws -> HeldPod {
        for _ in 0..<8 {
            let held = try store.hold(reference, call)
            if !up || isUp(held.pod) { return held }
            held.lock.unlock()
            try store.locked(held.pod.id, call) { pod in
                try pod.requireWhole()
                try bringUp(&pod, call)
            }
        }
        throw KinaError(.unavailable, "pod \(reference) goes down as often as it comes up", hint: "try again")
    }

    func isUp(_ pod: PodRecord) -> Bool {
        pod.bootID == bootID
            && paths(pod.id).namespaces(of: pod.spec.sandbox.namespaces).allSatisfy(NetworkPlugin.isNamespace)
    }

    /// Fine when it is up. Undone when it throws.
    func bringUp(_ pod: inout PodRecord, _ call: Call) throws {
        if isUp(pod) { return }
        let paths = paths(pod.id)
        // What a power failure or a crash left; /run is not a tmpfs everywhere.
        if Files.exists(paths.run) { try tearDown(pod.id) }
        do {
            let record = pod
            try Step.podNamespaces.perform(call) { try makeNamespaces(record, paths) }
            if pod.spec.sandbox.namespaces.network == .private {
                try Step.podNetwork.perform(call) { try networks.connect(endpoint(record, paths), call) }
            }
            pod.bootID = bootID
            pod.startedAt = Clock.now()
            let up = pod
            try Step.podCommit.perform(call) { try store.save(up) }
        } catch {
            pod.bootID = nil
            throw undo(error) { try tearDown(pod.id) }
        }
    }

    private func makeNamespaces(_ pod: PodRecord, _ paths: SandboxPaths) throws {
        let namespaces = pod.spec.sandbox.namespaces
        try doing("making the namespaces of pod \(pod.name)") {
            try Files.makeDirectories(paths.run)
            if namespaces.network != .host { try checkLinux("pin netns", kina_linux_pin_netns(paths.netns)) }
            if namespaces.uts == .private {
                try checkLinux("pin utsns", kina_linux_pin_utsns(paths.utsns, pod.hostname))
            }
            guard namespaces.ipc == .private else { return }
            try checkLinux("pin ipcns", kina_linux_pin_ipcns(paths.ipcns))
            try Files.makeDirectories(paths.shm)
            let flags = UInt(MS_NOSUID | MS_NOEXEC | MS_NODEV)
            let size = pod.spec.sandbox.shmSize
            try checkLinux("mount shm", kina_linux_mount("shm", paths.shm, "tmpfs", flags, "mode=1777,size=\(size)"))
        }
    }

    private func endpoint(_ pod: PodRecord, _ paths: SandboxPaths) -> OCINetworks.Endpoint {
        let names = pod.addresses.map { ($0.networkID, pod.names(onNetwork: $0.networkID)) }
        return OCINetworks.Endpoint(
            container: pod.id, names: Dictionary(names) { $1 }, addresses: pod.addresses, ports: pod.ports,
            netns: paths.netns)
    }

    /// Ends all that is live of a sandbox. Idempotent; bounded in time, and not cut short by a call.
    func tearDown(_ id: String) throws {
        let paths = paths(id)
        try networks.disconnect(id, NetworkLive.cleanup())
        for path in [paths.netns, paths.ipcns, paths.utsns, paths.shm] { try Mounts.unmount(path) }
        try doing("removing \(paths.run)") { try Files.removeTree(paths.run) }
    }
}
