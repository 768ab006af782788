import CKina
import KinaBoundary
import KinaCore

// Handles are numbers in the shape of pointers: never dereferenced, so that a stale or invented one is an error and
// not a crash. Runtime numbers are odd and call numbers even: one can't be taken for the other.

final class Handles<Value: Sendable>: Sendable {
    private struct State {
        var next: Int
        var values: [Int: (value: Value, pid: pid_t)] = [:]
    }
    private let name: String
    private let state: Global<State>

    init(_ name: String, first: Int) {
        self.name = name
        state = Global(State(next: first))
    }

    func insert(_ value: Value) -> OpaquePointer? {
        state.withLock { state in
            let handle = state.next
            state.next += 2
            state.values[handle] = (value, getpid())
            return OpaquePointer(bitPattern: handle)
        }
    }

    func remove(_ handle: OpaquePointer?) {
        guard let handle else { return }
        // The value dies outside the lock.
        _ = state.withLock { $0.values.removeValue(forKey: Int(bitPattern: handle)) }
    }

    func get(_ handle: OpaquePointer?) throws -> Value {
        guard let handle else { throw KinaError.invalid(name, "NULL", "must be a \(name)") }
        guard let entry = state.withLock({ $0.values[Int(bitPattern: handle)] }) else {
            throw KinaError(.failedPrecondition, "this \(name) has been released", hint: "open a new one")
        }
        guard entry.pid == getpid() else {
            throw KinaError(
                .failedPrecondition, "this \(name) was opened before fork()",
                hint: "open a new one in the child process")
        }
        return entry.value
    }
}

let runtimes = Handles<any Backend>("runtime", first: 4097)
let calls = Handles<Call>("call", first: 4098)

public typealias TextOut = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?

/// A function of a runtime that is bounded by a call.
func perform(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ error: ErrorOut, _ body: (any Backend, Call) throws -> Void
) -> kina_code_t {
    guarded(error) {
        let backend = try runtimes.get(runtime)
        let bound = call == nil ? Call.unbounded : try calls.get(call)
        try bound.check("the call to begin")
        try body(backend, bound)
    }
}

/// The same with a document as its answer.
func answer(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ out: TextOut, _ error: ErrorOut,
    _ body: (any Backend, Call) throws -> some Encodable
) -> kina_code_t {
    perform(runtime, call, error) { backend, bound in
        let text = try JSON.text(try body(backend, bound))
        out?.pointee = strdup(text)
    }
}

func needed(_ fd: Int32, _ name: String) throws -> Int32 {
    guard let fd = try descriptor(fd, name) else {
        throw KinaError.invalid(name, "-1", "must be an open file descriptor")
    }
    return fd
}

func streams(_ stdin: Int32, _ stdout: Int32, _ stderr: Int32) throws -> Streams {
    Streams(
        stdin: try descriptor(stdin, "stdin_fd"), stdout: try descriptor(stdout, "stdout_fd"),
        stderr: try descriptor(stderr, "stderr_fd"))
}
