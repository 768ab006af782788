import CKina
import KinaBoundary
import KinaCore

@c @implementation
public func kina_network_create(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ spec: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.networks.create(try document(NetworkSpec.self, spec, "spec"), call)
    }
}

@c @implementation
public func kina_network_list(
    _ runtime: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ networks: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, nil, networks, error) { backend, _ in
        guard let reference = try optionalText(reference, "reference") else { return try backend.networks.list() }
        return NetworkList([try backend.networks.get(reference)])
    }
}

@c @implementation
public func kina_network_delete(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.networks.delete(try text(reference, "reference"), call)
    }
}

@c @implementation
public func kina_volume_create(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ spec: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.volumes.create(try document(VolumeSpec.self, spec, "spec"), call)
    }
}

@c @implementation
public func kina_volume_list(
    _ runtime: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ volumes: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, nil, volumes, error) { backend, _ in
        guard let reference = try optionalText(reference, "reference") else { return try backend.volumes.list() }
        return VolumeList([try backend.volumes.get(reference)])
    }
}

@c @implementation
public func kina_volume_delete(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.volumes.delete(try text(reference, "reference"), call)
    }
}
