import CKina
import KinaBoundary
import KinaCore

@c @implementation
public func kina_container_create(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ spec: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.containers.create(try document(ContainerSpec.self, spec, "spec"), call)
    }
}

@c @implementation
public func kina_container_start(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.containers.start(try text(reference, "reference"), call)
    }
}

@c @implementation
public func kina_container_stop(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ timeout_ms: Int64,
    _ status: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.containers.stop(
            try text(reference, "reference"), timeoutMs: timeout_ms < 0 ? nil : timeout_ms, call)
    }
}

@c @implementation
public func kina_container_pause(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.containers.pause(try text(reference, "reference"), call)
    }
}

@c @implementation
public func kina_container_resume(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ status: TextOut,
    _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.containers.resume(try text(reference, "reference"), call)
    }
}

@c @implementation
public func kina_container_update(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?,
    _ resources: UnsafePointer<CChar>?, _ status: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, status, error) { backend, call in
        try backend.containers.update(
            try text(reference, "reference"), try document(ResourcesSpec.self, resources, "resources"), call)
    }
}

@c @implementation
public func kina_container_delete(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ force: Int32,
    _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.containers.delete(try text(reference, "reference"), force: force != 0, call)
    }
}

@c @implementation
public func kina_container_get(
    _ runtime: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ status: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, nil, status, error) { backend, _ in try backend.containers.get(try text(reference, "reference")) }
}

@c @implementation
public func kina_container_list(
    _ runtime: OpaquePointer?, _ filter: UnsafePointer<CChar>?, _ containers: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, nil, containers, error) { backend, _ in
        try backend.containers.list(try optionalDocument(ContainerFilter.self, filter, "filter"))
    }
}

@c @implementation
public func kina_container_run(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ spec: UnsafePointer<CChar>?, _ stdin_fd: Int32,
    _ stdout_fd: Int32, _ stderr_fd: Int32, _ exit_status: TextOut, _ error: ErrorOut
) -> kina_code_t {
    answer(runtime, call, exit_status, error) { backend, call in
        try backend.containers.run(
            try document(ContainerSpec.self, spec, "spec"), try streams(stdin_fd, stdout_fd, stderr_fd), call)
    }
}

@c @implementation
public func kina_container_logs(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?,
    _ request: UnsafePointer<CChar>?, _ stdout_fd: Int32, _ stderr_fd: Int32, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.containers.logs(
            try text(reference, "reference"), try optionalDocument(LogRequest.self, request, "request"),
            try streams(-1, stdout_fd, stderr_fd), call)
    }
}

@c @implementation
public func kina_container_attach(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ stdin_fd: Int32,
    _ stdout_fd: Int32, _ stderr_fd: Int32, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.containers.attach(
            try text(reference, "reference"), try streams(stdin_fd, stdout_fd, stderr_fd), call)
    }
}

@c @implementation
public func kina_container_copy_in(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?,
    _ path: UnsafePointer<CChar>?, _ fd: Int32, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.containers.copyIn(
            try text(reference, "reference"), path: try text(path, "path"), from: try needed(fd, "fd"), call)
    }
}

@c @implementation
public func kina_container_copy_out(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?,
    _ path: UnsafePointer<CChar>?, _ fd: Int32, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        try backend.containers.copyOut(
            try text(reference, "reference"), path: try text(path, "path"), to: try needed(fd, "fd"), call)
    }
}

@c @implementation
public func kina_container_statistics(
    _ runtime: OpaquePointer?, _ call: OpaquePointer?, _ reference: UnsafePointer<CChar>?, _ interval_ns: Int64,
    _ samples: UnsafeMutablePointer<kina_statistics_t>?, _ capacity: Int64, _ count: UnsafeMutablePointer<Int64>?,
    _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, call, error) { backend, call in
        guard let samples else { throw KinaError.invalid("samples", "NULL", "must point to room for samples") }
        guard capacity > 0 else { throw KinaError.invalid("capacity", "\(capacity)", "must be at least 1") }
        guard interval_ns >= 0 else { throw KinaError.invalid("interval_ns", "\(interval_ns)", "must not be negative") }
        var filled = 0
        do {
            try backend.containers.statistics(try text(reference, "reference"), intervalNs: interval_ns, call) {
                samples[filled] = kina_statistics_t($0)
                filled += 1
                return filled < capacity
            }
        } catch let end as KinaError
            where filled > 0 && [.cancelled, .deadlineExceeded, .failedPrecondition, .notFound].contains(end.code)
        {
            // An early end with something to show is a result.
        }
        count?.pointee = Int64(filled)
    }
}

@c @implementation
public func kina_container_exited(
    _ runtime: OpaquePointer?, _ id: UnsafePointer<CChar>?, _ error: ErrorOut
) -> kina_code_t {
    perform(runtime, nil, error) { backend, _ in try backend.containers.exited(try text(id, "id")) }
}

extension kina_statistics_t {
    init(_ sample: Statistics) {
        self.init()
        size = UInt32(MemoryLayout<kina_statistics_t>.size)
        version = UInt32(KINA_STATISTICS_VERSION)
        timestamp_ns = sample.timestampNs
        func mark(_ bit: Int32) { valid |= UInt64(bit) }
        if let value = sample.cpuNs { cpu_ns = value; mark(KINA_STATISTICS_CPU) }
        if let value = sample.cpuModesNs {
            (cpu_user_ns, cpu_system_ns) = value
            mark(KINA_STATISTICS_CPU_MODES)
        }
        if let value = sample.memory {
            (memory_bytes, memory_working_set_bytes) = value
            mark(KINA_STATISTICS_MEMORY)
        }
        if let value = sample.memoryLimit { memory_limit_bytes = value; mark(KINA_STATISTICS_MEMORY_LIMIT) }
        if let value = sample.pids { pids = value; mark(KINA_STATISTICS_PIDS) }
        if let value = sample.pidsLimit { pids_limit = value; mark(KINA_STATISTICS_PIDS_LIMIT) }
        if let value = sample.network {
            (network_rx_bytes, network_tx_bytes, network_rx_packets, network_tx_packets) = value
            mark(KINA_STATISTICS_NETWORK)
        }
        if let value = sample.blockIO {
            (block_read_bytes, block_write_bytes) = value
            mark(KINA_STATISTICS_BLOCK_IO)
        }
        if let value = sample.oomKills { oom_kills = value; mark(KINA_STATISTICS_OOM_KILLS) }
    }
}
