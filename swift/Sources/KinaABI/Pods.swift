import CKina
import KinaBoundary
import KinaCore

@c @implementation
public func kina_pod_create(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ spec: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.pods.create(try document(PodSpec.self, spec, "spec"), call)
    }
}

@c @implementation
public func kina_pod_start(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.pods.start(try text(reference, "reference"), call)
    }
}

@c @implementation
public func kina_pod_stop(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ timeout_ms: Int64,
    _ status: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.pods.stop(
            try text(reference, "reference"), timeoutMs: timeout_ms < 0 ? nil : timeout_ms, call)
    }
}

@c @implementation
public func kina_pod_delete(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ force: Int32,
    _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.pods.delete(try text(reference, "reference"), force: force != 0, call)
    }
}

@c @implementation
public func kina_pod_list(
    _ runtime: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ pods: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, nil, pods, error) { backend, _ in
        guard let reference = try optionalText(reference, "reference") else { return try backend.pods.list() }
        return PodList([try backend.pods.get(reference)])
    }
}
