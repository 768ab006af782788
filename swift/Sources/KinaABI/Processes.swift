import CKina
import KinaBoundary
import KinaCore

@c @implementation
public func kina_process_create(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ container: UnsafePointer<CChar>?,
    _ spec: UnsafePointer<CChar>?, _ stdin_fd: Int32, _ stdout_fd: Int32, _ stderr_fd: Int32, _ process: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        let id = try backend.processes.create(
            try text(container, "container"), try document(ProcessSpec.self, spec, "spec"),
            try streams(stdin_fd, stdout_fd, stderr_fd), call)
        process?.pointee = strdup(id)
    }
}

@c @implementation
public func kina_process_wait(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ container: UnsafePointer<CChar>?,
    _ process: UnsafePointer<CChar>?, _ exit_status: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, exit_status, error) { backend, call in
        try backend.processes.wait(try text(container, "container"), try optionalText(process, "process"), call)
    }
}

@c @implementation
public func kina_process_kill(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ container: UnsafePointer<CChar>?,
    _ process: UnsafePointer<CChar>?, _ signal: UnsafePointer<CChar>?, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.processes.kill(
            try text(container, "container"), try optionalText(process, "process"), signal: try text(signal, "signal"),
            call)
    }
}

@c @implementation
public func kina_process_resize(
    _ runtime: OpaquePointer?, _ container: UnsafePointer<CChar>?, _ process: UnsafePointer<CChar>?, _ rows: Int32,
    _ columns: Int32, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, nil, error) { backend, _ in
        for (name, value) in [("rows", rows), ("columns", columns)] where !(1...65535).contains(value) {
            throw KinaError.invalid(name, "\(value)", "must be 1 to 65535")
        }
        try backend.processes.resize(
            try text(container, "container"), try optionalText(process, "process"), rows: Int(rows),
            columns: Int(columns))
    }
}

@c @implementation
public func kina_process_delete(
    _ runtime: OpaquePointer?, _ container: UnsafePointer<CChar>?, _ process: UnsafePointer<CChar>?, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, nil, error) { backend, _ in
        try backend.processes.delete(try text(container, "container"), try text(process, "process"))
    }
}
