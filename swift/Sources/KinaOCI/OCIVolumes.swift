import KinaCore

typealias OCIVolumes = DirectoryVolumes

extension DirectoryVolumes {
    convenience init(_ context: Context) throws { try self.init(home: context.home, context.journal) }
}
