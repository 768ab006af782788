import CKinaLinux
import KinaCore

extension OCIContainers {
    func copyIn(_ reference: String, path: String, from fd: Int32, _ call: Call) throws {
        let path = try ContainerPath(path)
        try withRoot(of: reference, call) { root in
            try root.requireDirectory(path.text)
            let what = "copying into '\(path.text)' of container '\(reference)'"
            try TarExtraction(root, context, in: path.text).run(from: fd, call, what)
        }
    }

    func copyOut(_ reference: String, path: String, to fd: Int32, _ call: Call) throws {
        let path = try ContainerPath(path)
        try withRoot(of: reference, call) { root in
            try root.requireAnything(path.text)
            let entries = path.isRoot ? try root.entries() : [path.last]
            let what = "copying '\(path.text)' out of container '\(reference)'"
            try TarCreation(program: context.tools.tar, directory: try root.readableDirectory(path.parent))
                .run(entries, to: fd, call, what)
        }
    }

    /// A running container's root with all that is mounted there; a stopped one's own files.
    private func withRoot(of reference: String, _ call: Call, _ body: (ContainerRoot) throws -> Void) throws {
        let record = try store.find(reference)
        if let process = liveProcess(record) {
            return try body(try ContainerRoot(of: process, name: record.name))
        }
        try withRootMounted(record.id, call) { path in try body(try ContainerRoot(at: path)) }
    }
}

/// An absolute path in a container, without ".", ".." and doubled slashes.
struct ContainerPath {
    private let components: [String]

    init(_ text: String) throws {
        guard text.hasPrefix("/"), !text.utf8.contains(0) else {
            throw KinaError.invalid("path", text, "is not an absolute path in the container")
        }
        components = text.split(separator: "/").reduce(into: []) { components, part in
            switch part {
            case ".": break
            case "..": _ = components.popLast()
            default: components.append(String(part))
            }
        }
    }

    var text: String { "/" + components.joined(separator: "/") }
    var parent: String { "/" + components.dropLast().joined(separator: "/") }
    var isRoot: Bool { components.isEmpty }
    /// The name of the archive's top entry.
    var last: String { components.last ?? "." }
}
