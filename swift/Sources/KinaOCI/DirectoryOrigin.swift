import CKinaLinux
import KinaCore

/// An image's tree that is a directory of the host.
struct DirectoryOrigin: VolumeOrigin {
    private let rootfs: String

    init(_ rootfs: String) { self.rootfs = rootfs }

    func copy(_ target: String, to copy: String, _ call: Call) throws -> Bool {
        guard let source = try open(target) else { return false }
        try run(source, to: copy, call)
        return true
    }

    /// The directory, found inside of the image's root.
    private func open(_ target: String) throws -> FileDescriptor? {
        let what = "reading \(target) of the image"
        let root = try doing(what) { try FileDescriptor.open(rootfs, O_RDONLY | O_DIRECTORY) }
        let raw = kina_linux_open_in_root(root.raw, target, UInt64(O_RDONLY | O_DIRECTORY), 0)
        switch -raw {
        case ENOENT: return nil
        case ENOTDIR:
            throw KinaError.invalid(
                "mounts.target", target, "is not a directory in the image", hint: "mount the volume on a directory")
        case let code where code > 0: throw KinaError(Errno(code, "openat2 \(target)"), what)
        default: return FileDescriptor(raw)
        }
    }

    /// `cp -a` keeps owners, modes, times, links and extended attributes, and shares blocks where the file system can.
    private func run(_ source: FileDescriptor, to copy: String, _ call: Call) throws {
        guard let program = Command.find("cp") else {
            throw KinaError(.unavailable, "missing program: cp", hint: "apt-get install coreutils")
        }
        let output = try Command(program, ["-a", "--no-target-directory", "/proc/self/fd/3/.", copy])
            .run(call, keep: [source.raw])
        guard output.status.isSuccess else {
            // cp says why in words only.
            let isFull = output.errorText.contains(String(cString: strerror(ENOSPC)))
            throw KinaError(
                isFull ? .resourceExhausted : .internal, "filling a volume from the image: \(output.errorText)",
                hint: isFull ? "free disk space, or run kina.prune(images=True)" : nil,
                details: ["exitCode": "\(output.status.code)"])
        }
    }
}
