import KinaCore

/// Threads that perform requests: as many as are under way, kept for a while for the next ones. Plain threads, since
/// what they do blocks.
final class Workers: @unchecked Sendable {
    typealias Job = @Sendable () -> Void

    private static let limit = 512
    private static let idleSeconds = 10
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let added = Condition()
    private let allDone = Condition()
    // All behind the mutex.
    private var jobs: [Job] = []
    private var threads = 0
    private var waiting = 0

    init() {
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        // Every thread holds a reference: none is left.
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    private func locked<T>(_ body: () -> T) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    var isIdle: Bool { locked { isDone } }
    private var isDone: Bool { jobs.isEmpty && waiting == threads }

    /// false: there are too many, or no thread can be had.
    func perform(_ job: @escaping Job) -> Bool {
        locked {
            if waiting > jobs.count {
                jobs.append(job)
                added.signal()
                return true
            }
            guard threads < Self.limit, Threads.start({ [self] in work() }) else { return false }
            jobs.append(job)
            threads += 1
            return true
        }
    }

    private func work() {
        while let job = next() { job() }
    }

    /// nil: there has been nothing for a while.
    private func next() -> Job? {
        locked {
            if jobs.isEmpty {
                waiting += 1
                defer { waiting -= 1 }
                if isDone { allDone.signal() }
                let until = Self.time(in: Self.idleSeconds)
                while jobs.isEmpty {
                    if !added.wait(mutex, until: until), jobs.isEmpty {
                        threads -= 1
                        return nil
                    }
                }
            }
            return jobs.removeFirst()
        }
    }

    /// Waits until all is done, at most so long.
    func finish(seconds: Int) {
        let until = Self.time(in: seconds)
        locked { while !isDone, allDone.wait(mutex, until: until) {} }
    }

    private static func time(in seconds: Int) -> timespec {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        time.tv_sec += seconds
        return time
    }
}

private final class Condition {
    private let raw = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        raw.initialize(to: pthread_cond_t())
        pthread_cond_init(raw, nil)
    }

    deinit {
        pthread_cond_destroy(raw)
        raw.deallocate()
    }

    func signal() { pthread_cond_signal(raw) }

    /// false: the time has come.
    func wait(_ mutex: UnsafeMutablePointer<pthread_mutex_t>, until: timespec) -> Bool {
        var until = until
        return pthread_cond_timedwait(raw, mutex, &until) != ETIMEDOUT
    }
}
