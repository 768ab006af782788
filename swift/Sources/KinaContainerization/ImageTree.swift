#if Containerization
    import ContainerizationEXT4
    import Foundation
    import KinaCore

    import struct SystemPackage.FilePath

    /// An image's tree that is in an ext4 file, from which a new volume is filled: read without mounting it, which only
    /// Linux's root could.
    struct FileSystemOrigin: VolumeOrigin {
        /// Of the container's own root, which no machine has yet.
        let file: String

        func copy(_ target: String, to copy: String, _ call: Call) throws -> Bool {
            let what = "reading \(target) of the image"
            do {
                let reader = try EXT4.EXT4Reader(blockDevice: FilePath(file))
                let path = FilePath(target)
                guard reader.exists(path) else { return false }
                guard Kind(try reader.stat(path).inode) == .directory else {
                    throw KinaError.invalid(
                        "mounts.target", target, "is not a directory in the image",
                        hint: "mount the volume on a directory")
                }
                var copying = Copying(reader, file, call)
                try copying.directory(path, to: copy)
                return true
            } catch let error as Errno {
                throw KinaError(error, what)
            } catch {
                throw KinaError(guest: error, what)
            }
        }
    }

    private enum Kind {
        case directory, file, link, other

        init(_ inode: EXT4.Inode) {
            switch inode.mode & 0xF000 {
            case 0x4000: self = .directory
            case 0x8000: self = .file
            case 0xA000: self = .link
            default: self = .other
            }
        }
    }

    /// Keeps modes, owners, times, and links of both kinds.
    private struct Copying {
        let reader: EXT4.EXT4Reader
        let file: String
        let call: Call
        /// Inode → where its first name was copied to.
        private var copied: [EXT4.InodeNumber: String] = [:]

        init(_ reader: EXT4.EXT4Reader, _ file: String, _ call: Call) {
            self.reader = reader
            self.file = file
            self.call = call
        }

        mutating func directory(_ source: FilePath, to target: String) throws {
            try attempt("mkdir \(target)") { mkdir(target, 0o700) }
            for name in try reader.listDirectory(source) {
                try call.check("a volume to be filled")
                let (path, place) = (source.appending(name), "\(target)/\(name)")
                let (number, inode) = try reader.stat(path, followSymlinks: false)
                switch Kind(inode) {
                case .directory: try directory(path, to: place)
                case .file: try file(path, number, inode, to: place)
                case .link: try link(path, inode, to: place)
                case .other: continue  // devices and sockets have no place in a volume
                }
            }
            try finish(target, try reader.stat(source).inode)
        }

        private mutating func file(
            _ source: FilePath, _ number: EXT4.InodeNumber, _ inode: EXT4.Inode, to target: String
        ) throws {
            if let first = copied[number] {
                try attempt("link \(target)") { Foundation.link(first, target) }
                return
            }
            let output = try FileDescriptor.open(target, O_WRONLY | O_CREAT | O_EXCL)
            var offset: UInt64 = 0
            while true {
                let chunk = try reader.readFile(at: source, offset: offset, count: 1 << 20, followSymlinks: false)
                if chunk.isEmpty { break }
                try writeAll(output.raw, Array(chunk))
                offset += UInt64(chunk.count)
            }
            if inode.linksCount > 1 { copied[number] = target }
            try finish(target, inode)
        }

        private func link(_ source: FilePath, _ inode: EXT4.Inode, to target: String) throws {
            let text = try linkText(inode)
            try attempt("symlink \(target)") { symlink(text, target) }
            try own(target, inode)
        }

        /// The reader follows links, and has no function to read one: a short text is in the inode itself, a longer one in
        /// the one block that it names.
        private func linkText(_ inode: EXT4.Inode) throws -> String {
            let size = Int(inode.sizeLow)
            let inline = withUnsafeBytes(of: inode.block) { Array($0) }
            if size < inline.count { return String(decoding: inline.prefix(size), as: UTF8.self) }
            // After the header of 12 bytes an extent: its first block's number is in the last four of 12.
            let block = inline[20..<24].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let file = try FileDescriptor.open(file, O_RDONLY)
            var bytes = [UInt8](repeating: 0, count: size)
            let offset = off_t(block * UInt64(reader.superBlock.blockSize))
            let count = try attempt("pread") { pread(file.raw, &bytes, size, offset) }
            return String(decoding: bytes.prefix(count), as: UTF8.self)
        }

        /// Last, since what is made inside of a directory changes its times.
        private func finish(_ target: String, _ inode: EXT4.Inode) throws {
            try own(target, inode)
            try attempt("chmod \(target)") { chmod(target, mode_t(inode.mode & 0o7777)) }
            var times = [
                timespec(tv_sec: Int(inode.atime), tv_nsec: 0), timespec(tv_sec: Int(inode.mtime), tv_nsec: 0),
            ]
            try attempt("utimensat \(target)") { utimensat(AT_FDCWD, target, &times, AT_SYMLINK_NOFOLLOW) }
        }

        /// Where a user may give files away.
        private func own(_ target: String, _ inode: EXT4.Inode) throws {
            guard geteuid() == 0 else { return }
            let owner = uid_t(inode.uidHigh) << 16 | uid_t(inode.uid)
            let group = gid_t(inode.gidHigh) << 16 | gid_t(inode.gid)
            try attempt("lchown \(target)") { lchown(target, owner, group) }
        }
    }
#endif
