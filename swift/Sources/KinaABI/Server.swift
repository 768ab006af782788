import CKina
import KinaBoundary
import KinaServer

@c @implementation
public func kina_server_run(
    _ options: UnsafePointer<CChar>?, _ ready_fd: Int32, _ stop_fd: Int32, _ error: ErrorOut
) -> kina_code_t {
    serve(options, ready_fd, stop_fd, error, Server.Lifetime.whileUsed) { try InProcess.open($0) }
}
