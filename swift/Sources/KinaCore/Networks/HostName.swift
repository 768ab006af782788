/// Names of hosts: what a resolver can serve and a hosts file can hold.
package enum HostName {
    package static func check(_ name: String, _ field: String) throws {
        guard isLegal(name) else {
            throw KinaError.invalid(
                field, name, "is not a host name",
                hint: "use letters, digits and '-', in parts of at most 63 characters")
        }
    }

    package static func isLegal(_ name: String) -> Bool {
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        return name.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2D || $0 == 0x5F }
            }
    }

    private static func isAlphanumeric(_ c: UInt8) -> Bool {
        (0x30...0x39).contains(c) || (0x41...0x5A).contains(c) || (0x61...0x7A).contains(c)
    }
}

/// Who has addresses on networks: a container with a sandbox of its own, or a pod.
package protocol NetworkMember: Dated {
    var name: String { get }
    var hostname: String { get }
    var addresses: [AddressStatus] { get }
    var attachments: [NetworkAttachmentSpec] { get }
}

extension NetworkMember {
    /// By what others on a network know it.
    package func names(onNetwork id: String) -> [String] {
        var names = hostname == name ? [name] : [name, hostname]
        for (address, attachment) in zip(addresses, attachments) where address.networkID == id {
            names += attachment.aliases
        }
        return names.filter(HostName.isLegal)
    }
}

extension ContainerRecord: NetworkMember {
    package var attachments: [NetworkAttachmentSpec] { spec.sandbox.networks }
}

extension PodRecord: NetworkMember {
    package var attachments: [NetworkAttachmentSpec] { spec.sandbox.networks }
}
