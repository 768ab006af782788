#if Containerization
    import Foundation
    import KinaCore
    import Synchronization

    /// Runs asynchronous work for a caller that blocks. Callers are threads outside Swift's cooperative pool, which must
    /// never wait.
    ///
    /// When the call ends first, the work is cancelled and waited for (a guest may need a while to notice), so that
    /// whoever undoes it finds nothing under way; what it had achieved by then is the caller's to undo. `graceMs`: for so
    /// long it is waited for before it is cancelled. Work that has to do with guests needs such a while: a connection to
    /// an agent that is closed before its first use ends this process (Containerization 0.40: NIOAsyncWriter is freed
    /// unfinished), and a connection is made for each question.
    func blocking<T: Sendable>(
        _ call: Call, for waitedFor: String, graceMs: Int64 = 2_000, patienceMs: Int64 = 60_000,
        _ work: @escaping @Sendable () async throws -> T
    ) throws -> T {
        let outcome = Outcome<T>()
        let (read, write) = try doing("making a pipe") { try FileDescriptor.pipe() }
        let task = Task.detached {
            do { outcome.set(.success(try await work())) } catch { outcome.set(.failure(error)) }
            try? writeAll(write.raw, [1])
        }
        do {
            try call.waitReadable(read.raw, for: waitedFor)
        } catch {
            let hasEnded = (try? Call.unbounded.within(ms: graceMs).waitReadable(read.raw, for: waitedFor)) != nil
            if hasEnded { throw error }
            task.cancel()
            try? Call.unbounded.within(ms: patienceMs).waitReadable(read.raw, for: waitedFor)
            throw error
        }
        guard let result = outcome.take() else { throw KinaError(.internal, "\(waitedFor): no outcome") }
        do { return try result.get() } catch { throw KinaError(guest: error, waitedFor) }
    }

    private final class Outcome<T: Sendable>: Sendable {
        private let value = Mutex<Result<T, any Error>?>(nil)

        func set(_ result: Result<T, any Error>) { value.withLock { $0 = result } }
        func take() -> Result<T, any Error>? { value.withLock { $0 } }
    }
#endif
