import CKinaLinux
import KinaCore

/// Who a process runs as.
struct ContainerUser: Equatable {
    var uid: UInt32 = 0
    var gid: UInt32 = 0
    /// Supplementary ones.
    var groups: [UInt32] = []
    var home = "/"

    var isRoot: Bool { uid == 0 }
}

/// A container's etc/passwd and etc/group, which its image or whoever runs in it may have written as they like.
struct Accounts {
    private struct Entry {
        var name: Substring
        var uid: UInt32
        var gid: UInt32
        var home: Substring
    }
    private struct Group {
        var name: Substring
        var gid: UInt32
        var members: [Substring]
    }
    private let entries: [Entry]
    private let groups: [Group]
    private static let largest = 16 << 20

    /// root: the container's root directory as the host sees it.
    init(root: String) throws {
        let directory = try doing("opening the container's root") {
            try FileDescriptor.open(root, O_RDONLY | O_DIRECTORY)
        }
        self.init(
            passwd: try Self.read(directory, "etc/passwd"), group: try Self.read(directory, "etc/group"))
    }

    init(passwd: String, group: String) {
        entries = Self.fields(passwd).compactMap { fields in
            guard fields.count >= 4, let uid = Self.id(fields[2]), let gid = Self.id(fields[3]) else { return nil }
            return Entry(name: fields[0], uid: uid, gid: gid, home: fields.count > 5 ? fields[5] : "")
        }
        groups = Self.fields(group).compactMap { fields in
            guard fields.count >= 3, let gid = Self.id(fields[2]) else { return nil }
            return Group(name: fields[0], gid: gid, members: fields.count > 3 ? fields[3].split(separator: ",") : [])
        }
    }

    private static func fields(_ text: String) -> [[Substring]] {
        text.split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
    }

    /// runc takes ids up to 2³¹ - 1.
    private static func id(_ text: Substring) -> UInt32? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int32(text).map { UInt32($0) } : nil
    }

    /// Links lead nowhere but into the container; a pipe or device in the file's place blocks nobody.
    private static func read(_ root: FileDescriptor, _ path: String) throws -> String {
        let raw = kina_linux_open_in_root(root.raw, path, UInt64(O_RDONLY | O_NONBLOCK | O_NOCTTY), 0)
        guard raw >= 0 else {
            if [ENOENT, ENOTDIR, ELOOP].contains(-raw) { return "" }
            throw KinaError(Errno(-raw, "openat2"), "reading the container's \(path)")
        }
        let file = FileDescriptor(raw)
        var info = stat()
        guard fstat(file.raw, &info) == 0, info.st_mode & S_IFMT == S_IFREG, info.st_size <= largest else {
            throw KinaError(
                .failedPrecondition, "the container's \(path) is not a file of at most 16 MiB",
                hint: "give user and group as numbers, or repair the file")
        }
        var bytes: [UInt8] = []
        while bytes.count <= largest, let chunk = try file.read(), !chunk.isEmpty { bytes += chunk }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// As Docker does it: a name, else a number that need not be listed; a group given takes the place of the user's.
    func resolve(_ user: String, groups further: [String], field: String = "user") throws -> ContainerUser {
        let parts = user.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let wanted = parts.first ?? ""
        let entry = wanted.isEmpty ? entries.first { $0.uid == 0 } : find(wanted)
        guard let uid = entry?.uid ?? (wanted.isEmpty ? 0 : Self.id(wanted)) else {
            throw KinaError.invalid(
                field, user, "there is no user '\(wanted)' in the container's /etc/passwd",
                hint: "use a name that is there, or a number")
        }
        var result = ContainerUser(uid: uid, gid: entry?.gid ?? 0)
        if let home = entry?.home, !home.isEmpty { result.home = String(home) }
        if parts.count == 2 {
            result.gid = try group(parts[1], field: field, user)
        } else if let entry {
            result.groups = groups.filter { $0.gid != entry.gid && $0.members.contains(entry.name) }.map(\.gid)
        }
        for (index, name) in further.enumerated() {
            let gid = try group(Substring(name), field: "groups[\(index)]", name)
            if !result.groups.contains(gid) { result.groups.append(gid) }
        }
        return result
    }

    private func find(_ name: Substring) -> Entry? {
        entries.first { $0.name == name } ?? Self.id(name).flatMap { uid in entries.first { $0.uid == uid } }
    }

    private func group(_ name: Substring, field: String, _ value: String) throws -> UInt32 {
        if let gid = groups.first(where: { $0.name == name })?.gid ?? Self.id(name) { return gid }
        throw KinaError.invalid(
            field, value, "there is no group '\(name)' in the container's /etc/group",
            hint: "use a name that is there, or a number")
    }
}
