import CKina
import KinaBoundary
import KinaCore

/// `kina_server_run`, whose backend is that of the library in which it is.
public func serve(
    _ options: UnsafePointer<CChar>?, _ readyFd: Int32, _ stopFd: Int32, _ error: ErrorOut,
    _ lifetime: (Int) -> Server.Lifetime, _ open: (RuntimeOptions) throws -> any Backend
) -> kina_code_t {
    guarded(error) {
        try Serving(ready: try descriptor(readyFd, "ready_fd")).run(
            {
                (
                    try optionalDocument(RuntimeOptions.self, options, "options"),
                    try descriptor(stopFd, "stop_fd")
                )
            }, lifetime, open)
    }
}
