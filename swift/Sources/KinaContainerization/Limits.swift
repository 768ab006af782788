#if Containerization
    import KinaCore

    /// What a virtual machine can't do is refused by name, all of it at once, before anything is made.
    enum Limits {
        static func check(_ spec: ContainerSpec) throws {
            var problems = Problems()
            func refuse(_ field: String, _ why: String, _ hint: String, when wanted: Bool) {
                if wanted { problems.collect { throw refusal(field, why, hint) } }
            }
            check(spec.sandbox.namespaces, &problems)
            for (index, mount) in spec.mounts.enumerated() where mount.type == .bind {
                refuse(
                    "mounts[\(index)].source", "cloud-hypervisor's machines get no sockets of the host",
                    "let the program listen on the network's gateway address, or use isolation 'namespaces'",
                    when: !PlatformMonitor.relaysSockets
                        && mount.source.map(ContainerRecord.ResolvedMount.isSocket) ?? false)
            }
            checkFiles(spec.mounts, &problems)
            refuse(
                "devices", "a virtual machine has no devices of the host", "use isolation 'namespaces'",
                when: !spec.devices.isEmpty)
            refuse(
                "seccomp.json", "the guest's runtime takes no seccomp profile",
                "leave it out: the virtual machine has a kernel of its own", when: spec.seccomp.profile == .custom)
            for (index, name) in spec.groups.enumerated() {
                refuse(
                    "groups[\(index)]", "the guest takes numbers only", "write the group's number",
                    when: UInt32(name) == nil)
            }
            check(spec.resources, &problems)
            try problems.finish()
        }

        static func check(_ spec: PodSpec) throws {
            var container = ContainerSpec(image: "")
            container.isolation = spec.isolation
            try container.require(.vm)
            var problems = Problems()
            check(spec.sandbox.namespaces, &problems)
            if let cpus = spec.cpus, cpus != cpus.rounded() {
                problems.collect {
                    throw refusal(
                        "cpus", "a virtual machine has no such size",
                        "use a whole number: a virtual machine has whole CPUs")
                }
            }
            try problems.finish()
        }

        private static func check(_ names: NamespacesSpec, _ problems: inout Problems) {
            let shared = [
                ("network", names.network == .host), ("pid", names.pid == .host), ("ipc", names.ipc == .host),
                ("uts", names.uts == .host), ("cgroup", names.cgroup == .host),
            ]
            for (name, wanted) in shared where wanted {
                problems.collect {
                    throw refusal(
                        "sandbox.namespaces.\(name)", "a virtual machine shares no namespace with the host",
                        "leave it out, or use isolation 'namespaces'")
                }
            }
        }

        /// Containerization 0.40 shares a file's directory in order to mount the file, and then leaves out every other
        /// mount of that directory without a word.
        private static func checkFiles(_ mounts: [MountSpec], _ problems: inout Problems) {
            func real(_ path: String) -> String? {
                guard let raw = realpath(path, nil) else { return nil }
                defer { free(raw) }
                return String(cString: raw)
            }
            let sources = mounts.map { $0.type == .bind ? $0.source.flatMap(real) : nil }
            for (index, source) in sources.enumerated() {
                guard let source, !Files.isDirectory(source), !ContainerRecord.ResolvedMount.isSocket(source),
                    let slash = source.lastIndex(of: "/"), sources.contains(String(source[..<slash]))
                else { continue }
                problems.collect {
                    throw refusal(
                        "mounts[\(index)].source", "a virtual machine can't have a file and its directory mounted both",
                        "mount the directory only, or keep the file in another one")
                }
            }
        }

        private static func check(_ resources: ResourcesSpec, _ problems: inout Problems) {
            let unsupported: [(String, Bool, String)] = [
                (
                    "cpus", resources.cpus.map { $0 != $0.rounded() } ?? false,
                    "use a whole number: a virtual machine has whole CPUs"
                ),
                ("cpuWeight", resources.cpuWeight != nil, "leave it out: virtual machines share the CPUs evenly"),
                ("cpuset", resources.cpuset != nil, "leave it out: the host's scheduler places virtual machines"),
                (
                    "memorySwap", resources.memorySwap != nil && resources.memorySwap != resources.memory,
                    "leave it out: a virtual machine has no swap"
                ),
                ("pids", resources.pids.map { $0 != -1 } ?? false, "use an rlimit of type nproc"),
            ]
            for (name, wanted, hint) in unsupported where wanted {
                problems.collect {
                    throw refusal("resources.\(name)", "a virtual machine has no such limit", hint)
                }
            }
        }

        private static func refusal(_ field: String, _ why: String, _ hint: String) -> KinaError {
            KinaError(.unimplemented, "\(field): \(why)", hint: hint, details: ["field": field])
        }
    }
#endif
