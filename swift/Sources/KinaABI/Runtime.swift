import CKina
import KinaBoundary
import KinaCore
import KinaRemote

@c @implementation
public func kina_abi_version() -> Int32 { KINA_ABI_VERSION }

@c @implementation
public func kina_string_free(_ string: UnsafeMutablePointer<CChar>?) { free(string) }

@c @implementation
public func kina_error_release(_ error: UnsafeMutablePointer<kina_error_t>?) {
    guard let error else { return }
    free(error.pointee.message)
    free(error.pointee.hint)
    free(error.pointee.details)
    error.deallocate()
}

@c @implementation
public func kina_call_create(_ timeout_ms: Int64, _ progress_fd: Int32) -> OpaquePointer? {
    guard let call = try? Call(timeoutMs: timeout_ms, progressFd: try descriptor(progress_fd, "progress_fd")) else {
        return nil
    }
    return calls.insert(call)
}

@c @implementation
public func kina_call_cancel(_ call: OpaquePointer?) { (try? calls.get(call))?.cancel() }

@c @implementation
public func kina_call_release(_ call: OpaquePointer?) { calls.remove(call) }

@c @implementation
public func kina_runtime_open(
    _ options: UnsafePointer<CChar>?, _ runtime: UnsafeMutablePointer<OpaquePointer?>?, _ error: ErrorOut
) -> kina_code_t {
    guarded(error) {
        guard let runtime else { throw KinaError.invalid("runtime", "NULL", "must point to where the handle goes") }
        runtime.pointee = runtimes.insert(try open(try optionalDocument(RuntimeOptions.self, options, "options")))
    }
}

enum BackendName: String {
    case oci, remote, vm

    fileprivate init(_ options: RuntimeOptions) throws {
        let name = options.backend ?? getenv("KINA_BACKEND").map { String(cString: $0) } ?? InProcess.usual.rawValue
        guard let known = Self(rawValue: name) else {
            throw KinaError.invalid(
                options.backend == nil ? "KINA_BACKEND" : "backend", name, "is not a backend",
                hint: "use 'oci', 'remote' or 'vm'")
        }
        self = known
    }
}

private func open(_ options: RuntimeOptions) throws -> any Backend {
    switch try BackendName(options) {
    case .oci: try InProcess.open(options)
    case .remote: try RemoteBackend(options)
    case .vm: try RemoteBackend(try options.forMachines())
    }
}

@c @implementation
public func kina_runtime_doctor(_ options: UnsafePointer<CChar>?, _ report: TextOut, _ error: ErrorOut) -> kina_code_t {
    guarded(error) {
        let options = try optionalDocument(RuntimeOptions.self, options, "options")
        let found =
            switch try BackendName(options) {
            case .oci: try InProcess.examine(options)
            case .remote: RemoteBackend.examine(options, behind: try InProcess.examine(options))
            case .vm: MachineDoctor.examine(options)
            }
        report?.pointee = strdup(try JSON.text(found))
    }
}

@c @implementation
public func kina_runtime_info(_ runtime: OpaquePointer?, _ info: TextOut, _ error: ErrorOut) -> kina_code_t {
    answer(runtime, nil, info, error) { backend, _ in backend.info }
}

@c @implementation
public func kina_runtime_events(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ filter: UnsafePointer<CChar>?, _ fd: Int32, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.events(
            try optionalDocument(EventFilter.self, filter, "filter"), to: try needed(fd, "fd"), call)
    }
}

@c @implementation
public func kina_runtime_prune(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ result: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, result, error) { backend, call in
        try backend.prune(try optionalDocument(PruneRequest.self, request, "request"), call)
    }
}

@c @implementation
public func kina_runtime_release(_ runtime: OpaquePointer?) { runtimes.remove(runtime) }
