#if os(macOS)
    import KinaCore

    /// The backend that libkina has in itself, and which one is meant when none is named.
    enum InProcess {
        static let usual = BackendName.vm

        static func open(_ options: RuntimeOptions) throws -> any Backend { throw refusal }
        static func examine(_ options: RuntimeOptions) throws -> Report { throw refusal }

        private static var refusal: KinaError {
            KinaError(
                .unimplemented, "namespaces are Linux's: on macOS every container is a virtual machine",
                hint: "leave the backend out, or name it: kina.connect(backend='vm'), KINA_BACKEND=vm",
                details: ["field": "backend"])
        }
    }
#endif
