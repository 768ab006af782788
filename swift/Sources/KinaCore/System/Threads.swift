/// Plain threads, for what blocks.
package enum Threads {
    package typealias Body = @Sendable () -> Void

    /// Starts one that nobody waits for. Signals are other threads' affair. false: none can be had.
    package static func start(_ body: @escaping Body) -> Bool {
        let reference = Unmanaged.passRetained(Box(body))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { pthread_attr_destroy(&attributes) }
        var all = sigset_t(), before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let failed = create(&attributes, reference.toOpaque()) != 0
        if failed { reference.release() }
        return !failed
    }

    /// What a new thread does with what it was given.
    static func run(_ raw: UnsafeMutableRawPointer?) {
        guard let raw else { return }
        Unmanaged<Box>.fromOpaque(raw).takeRetainedValue().body()
    }

    private final class Box: Sendable {
        let body: Body
        init(_ body: @escaping Body) { self.body = body }
    }
}
