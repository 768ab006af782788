#if os(Linux)
    import KinaCore
    import KinaOCI

    /// The backend that libkina has in itself, and which one is meant when none is named.
    enum InProcess {
        static let usual = BackendName.oci

        static func open(_ options: RuntimeOptions) throws -> any Backend { try OCIBackend(options) }
        static func examine(_ options: RuntimeOptions) throws -> Report { Doctor.examine(options) }
    }
#endif
