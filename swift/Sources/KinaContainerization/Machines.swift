import KinaCore

/// The backend of virtual machines, where it was built.
public enum Machines {
    public static func open(_ options: RuntimeOptions) throws -> any Backend {
        #if Containerization
            return try ContainerizationBackend(options)
        #else
            throw KinaError(
                .unimplemented, "this kina was built without virtual machines",
                hint: "build it with the Swift trait Containerization, or use isolation 'namespaces'")
        #endif
    }
}
