import CKina
import KinaBoundary
import KinaCore

@c @implementation
public func kina_image_pull(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.images.pull(try document(ImagePullRequest.self, request, "request"), call)
    }
}

@c @implementation
public func kina_image_push(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.images.push(try document(ImagePushRequest.self, request, "request"), call)
    }
}

@c @implementation
public func kina_image_load(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ fd: Int32,
    _ images: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, images, error) { backend, call in
        try backend.images.load(
            try optionalDocument(ImageLoadRequest.self, request, "request"), from: try needed(fd, "fd"), call)
    }
}

@c @implementation
public func kina_image_save(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ fd: Int32, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.images.save(
            try document(ImageSaveRequest.self, request, "request"), to: try needed(fd, "fd"), call)
    }
}

@c @implementation
public func kina_image_import(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ fd: Int32,
    _ status: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.images.import(
            try document(ImageImportRequest.self, request, "request"), from: try descriptor(fd, "fd"), call)
    }
}

@c @implementation
public func kina_image_tag(
    _ runtime: OpaquePointer?, _ source: UnsafePointer<CChar>?, _ target: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, nil, status, error) { backend, _ in
        try backend.images.tag(try text(source, "source"), as: try text(target, "target"))
    }
}

@c @implementation
public func kina_image_get(
    _ runtime: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ status: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, nil, status, error) { backend, _ in try backend.images.get(try text(reference, "reference")) }
}

@c @implementation
public func kina_image_list(_ runtime: OpaquePointer?, _ images: TextOut, _ error: ErrorOut) -> kina_code_t {
    answer(runtime, nil, images, error) { backend, _ in try backend.images.list() }
}

@c @implementation
public func kina_image_delete(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ force: Int32,
    _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.images.delete(try text(reference, "reference"), force: force != 0, call)
    }
}
