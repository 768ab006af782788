/// State of the whole process, behind one lock that fork(2) can't leave locked.
///
/// A child of a fork has the forking thread only: a lock that another one held is held for ever (Swift's Mutex even
/// ends the process, since its owner is gone). So fork waits for this lock, and both sides let go of it. Hold it
/// briefly and never twice.
public final class Global<Value>: @unchecked Sendable {
    private var value: Value

    public init(_ value: Value) {
        _ = GlobalLock.registered
        self.value = value
    }

    public func withLock<T>(_ body: (inout Value) throws -> T) rethrows -> T {
        GlobalLock.lock()
        defer { GlobalLock.unlock() }
        return try body(&value)
    }
}

private enum GlobalLock {
    nonisolated(unsafe) private static let mutex: UnsafeMutablePointer<pthread_mutex_t> = {
        let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        return mutex
    }()

    static let registered: Bool = {
        _ = mutex
        return pthread_atfork({ GlobalLock.lock() }, { GlobalLock.unlock() }, { GlobalLock.unlock() }) == 0
    }()

    static func lock() { pthread_mutex_lock(mutex) }
    static func unlock() { pthread_mutex_unlock(mutex) }
}
