import CKina
import KinaBoundary
import KinaContainerization
import KinaServer

/// libkina's own entry, over the backend of virtual machines: what kina-vmd loads instead of libkina then.
@c @implementation
public func kina_server_run(
    _ options: UnsafePointer<CChar>?, _ ready_fd: Int32, _ stop_fd: Int32, _ error: ErrorOut
) -> kina_code_t {
    serve(options, ready_fd, stop_fd, error, Server.Lifetime.whileContainersRun) { try Machines.open($0) }
}
