/// Which capabilities a container's processes have.
package enum CapabilitySets {
    /// What Podman and CRI-O give: Docker's without MKNOD, NET_RAW and AUDIT_WRITE. (ping works all the same, see the
    /// sysctls of a container.)
    package static let defaults: Set<String> = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
        "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
    ]

    /// drop ALL, add some; or add ALL, drop some; what is named in both is dropped. `bounding` is what can be given at all.
    package static func of(_ spec: ContainerSpec, bounding: Set<String>) throws -> Set<String> {
        if spec.privileged { return bounding }
        let add = Set(spec.capAdd.compactMap(Capabilities.normalized)),
            drop = Set(spec.capDrop.compactMap(Capabilities.normalized))
        var set = drop.contains(Capabilities.all) ? [] : defaults
        if add.contains(Capabilities.all) { set = bounding }
        for name in add.subtracting([Capabilities.all]).sorted() where !bounding.contains(name) {
            throw KinaError(
                .failedPrecondition, "capAdd '\(name)': this host can't give it: its own bounding set lacks it",
                hint: "leave it out, or start kina with that capability", details: ["field": "capAdd", "value": name])
        }
        return set.union(add).subtracting(drop).intersection(bounding)
    }
}
