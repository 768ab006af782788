#if Containerization
    import ContainerizationError
    import ContainerizationOCI
    import Foundation
    import KinaCore

    extension KinaError {
        /// What Apple's package throws, in kina's words; `doing` says what was tried.
        init(guest error: any Error, _ doing: String) {
            switch error {
            case let error as KinaError: self = error
            case let error as Errno: self.init(error, doing)
            case let error as ContainerizationError: self.init(containerization: error, doing)
            case RegistryClient.Error.invalidStatus(_, let status, _):
                self.init(registry: Int(status.code), "\(doing): \(error)")
            case is CancellationError: self.init(.cancelled, "\(doing): cancelled")
            default: self.init(.internal, "\(doing): \(error)", hint: "see the boot log beside the container's record")
            }
        }

        /// With the user that a guest did not know, which the guest does not say.
        static func naming(user: String, in error: any Error) -> any Error {
            guard var named = error as? KinaError, named.details["field"] == "user" else { return error }
            named.message = "user '\(user)': \(named.message)"
            named.details["value"] = user
            return named
        }

        /// What a registry's answer means.
        private init(registry status: Int, _ text: String) {
            switch status {
            case 401, 403:
                self.init(
                    .unauthenticated, text,
                    hint: "check that the name is right and pass username and password, or log in")
            case 404: self.init(.notFound, text, hint: "check the name and the tag")
            case 429: self.init(.resourceExhausted, text, hint: "log in, or try again later")
            case 500...: self.init(.unavailable, text, hint: "try again later")
            default: self.init(.internal, text)
            }
        }

        private init(containerization error: ContainerizationError, _ doing: String) {
            let text = "\(doing): \(Self.words(error))"
            // The guest tells a missing program by these words only.
            if text.contains("failed to find target executable") {
                self.init(
                    .notFound, "\(doing): the command is not in the image: \(Self.words(error))",
                    hint: "check the command's name and the image's PATH",
                    details: ["field": "command", "exitCode": "127"])
                return
            }
            // And one that is there but can't be run.
            if text.contains("failed to exec ["), Self.refusals.contains(where: text.contains) {
                self.init(
                    .permissionDenied, "\(doing): the command can't be executed: \(Self.words(error))",
                    hint: "check its mode, its user and its architecture",
                    details: ["field": "command", "exitCode": "126"])
                return
            }
            // Nor that its files do not have a user or a group.
            if let (_, missing) = Self.unknownAccounts.first(where: { text.contains($0.words) }) {
                self.init(
                    .invalidArgument, "\(doing): \(missing)", hint: "use a name that is there, or a number",
                    details: ["field": "user"])
                return
            }
            if text.contains("was not pre-bound") {
                self.init(
                    .resourceExhausted, text,
                    hint: "restart the container: on Linux a machine has 16 streams for its whole life")
                return
            }
            self.init(Self.code(error.code), text, hint: Self.hint(error.code))
        }

        private static let refusals = [EACCES, ENOEXEC, EISDIR].map { String(cString: strerror($0)) }

        private static let unknownAccounts = [
            (words: "noPasswdEntries", missing: "there is no such user in the container's /etc/passwd"),
            (words: "noGroupEntries", missing: "there is no such group in the container's /etc/group"),
        ]

        private static func code(_ code: ContainerizationError.Code) -> Code {
            switch code {
            case .invalidArgument, .empty: .invalidArgument
            case .exists: .alreadyExists
            case .notFound: .notFound
            case .cancelled: .cancelled
            case .invalidState: .failedPrecondition
            case .timeout: .deadlineExceeded
            case .unsupported: .unimplemented
            case .interrupted: .aborted
            default: .internal
            }
        }

        private static func hint(_ code: ContainerizationError.Code) -> String? {
            switch code {
            case .unsupported: "this virtual machine monitor can't do it"
            case .timeout: "allow more time, or give the virtual machine more CPUs"
            default: nil
            }
        }

        private static func words(_ error: ContainerizationError) -> String {
            error.cause.map { "\(error.message): \($0)" } ?? error.message
        }
    }
#endif
