#if Containerization && os(macOS)
    import Containerization
    import Foundation
    import KinaCore
    import Security

    /// Virtualization.framework: its machines are this process's, and end with it.
    enum PlatformMonitor {
        static let relaysSockets = true
        /// A machine has the disks that it booted with.
        static let addsDisks = false
        /// Of processes, which a machine has in its whole life: as many as are wanted.
        static let streams: Int? = nil
        private static let entitlement = "com.apple.security.virtualization"

        /// A machine leaves nothing in files.
        struct Room: Sendable {
            init(_ home: Home, _ id: String) {}

            func cutPower(of machine: (any VirtualMachineInstance)?) throws {
                guard let machine else { return }
                try blocking(.unbounded.within(ms: 30_000), for: "a machine to stop") { try await machine.stop() }
            }

            func clear() {}
        }

        static func make(_ kernel: Kernel, _ guest: Containerization.Mount, _ room: Room) throws
            -> any VirtualMachineManager
        {
            guard isEntitled else {
                throw KinaError(
                    .permissionDenied, "kina-vmd is not signed with the entitlement \(entitlement)",
                    hint: "reinstall kina; or sign it: codesign --force --sign - --entitlements "
                        + "kina-vmd.entitlements kina-vmd")
            }
            return VZVirtualMachineManager(kernel: kernel, initialFilesystem: guest)
        }

        /// The framework itself would only say that the configuration is invalid.
        static var isEntitled: Bool {
            guard let task = SecTaskCreateFromSelf(nil) else { return false }
            return SecTaskCopyValueForEntitlement(task, entitlement as CFString, nil) as? Bool ?? false
        }

        static func endOrphans(_ home: Home) throws {}
    }
#endif
