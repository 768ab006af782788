/// Where a new volume's first files come from: the tree of an image.
package protocol VolumeOrigin: Sendable {
    /// Copies the directory at `target` to `copy`, which is not there yet; links in the image lead nowhere out of it.
    /// False when the image has nothing there.
    func copy(_ target: String, to copy: String, _ call: Call) throws -> Bool
}

/// Fills a new volume with what an image has where it will be mounted.
///
/// The copy is made beside `data` and takes its place in one step, so that an interrupted one is no more than a
/// directory to remove. Only an empty `data` that nobody mounts is replaced: a mount would stay on the old one.
package struct VolumeCopyUp: Sendable {
    /// The volume's directory.
    package let directory: String

    private var copy: String { "\(directory)/filling" }

    /// Under the volume's lock. False when the image has nothing there.
    package func fill(from origin: any VolumeOrigin, target: String, _ call: Call) throws -> Bool {
        try discard()
        try call.check("a volume to be filled")
        do {
            guard try origin.copy(target, to: copy, call) else { return false }
            _ = try doing("filling a volume from \(target)") {
                try attempt("rename \(copy)") { rename(copy, "\(directory)/data") }
            }
        } catch {
            try? discard()
            throw error
        }
        return true
    }

    package var isBegun: Bool { Files.exists(copy) }

    /// What an interrupted copy left.
    package func discard() throws { try doing("removing \(copy)") { try Files.removeTree(copy) } }
}
