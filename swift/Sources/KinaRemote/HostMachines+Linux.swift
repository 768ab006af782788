#if os(Linux)
    import KinaCore

    /// What virtual machines need of Linux: KVM, cloud-hypervisor, virtiofsd where directories are shared, TAP devices.
    enum HostMachines {
        static let library = "libkina-vm.so"
        static let howToBuild = "build kina with KINA_BUILD_VM=1 (make build), which fetches Apple's Containerization"

        static func checks(kernel: String?) -> [Report.Check] {
            [root(), kvm(), monitor(), sharing(), tap(), Self.kernel(kernel)]
        }

        /// Linux has no such thing.
        static func entitlement(_ program: String) -> Report.Check? { nil }

        private static func root() -> Report.Check {
            geteuid() == 0
                ? .init("root", .ok, "this is root")
                : .init(
                    "root", .failed, "TAP devices and bridges need root; this is user \(geteuid())",
                    fix: "run the program with sudo")
        }

        private static func kvm() -> Report.Check {
            guard Files.exists("/dev/kvm") else {
                return .init(
                    "KVM", .failed, "/dev/kvm is missing: this machine gives no virtualization to its programs",
                    fix: "modprobe kvm_intel or kvm_amd; inside a virtual machine, enable nested virtualization")
            }
            return access("/dev/kvm", R_OK | W_OK) == 0
                ? .init("KVM", .ok, "/dev/kvm")
                : .init("KVM", .failed, "/dev/kvm can't be opened by user \(geteuid())", fix: "run as root")
        }

        private static func monitor() -> Report.Check {
            guard let path = Command.find("cloud-hypervisor") else {
                return .init(
                    "cloud-hypervisor", .failed, "cloud-hypervisor is not in PATH",
                    fix: "install it from https://www.cloudhypervisor.org")
            }
            return .init("cloud-hypervisor", .ok, path)
        }

        private static func sharing() -> Report.Check {
            let places = ["virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd"]
            guard let path = places.lazy.compactMap({ Command.find($0) }).first else {
                return .init(
                    "virtiofsd", .warning, "virtiofsd is not installed: bind mounts and volumes will fail",
                    fix: "install virtiofsd, the Rust one (Debian 13: apt-get install virtiofsd)")
            }
            return .init("virtiofsd", .ok, path)
        }

        private static func tap() -> Report.Check {
            access("/dev/net/tun", R_OK | W_OK) == 0
                ? .init("TAP devices", .ok, "/dev/net/tun")
                : .init(
                    "TAP devices", .failed, "/dev/net/tun can't be opened: machines would have no network",
                    fix: "modprobe tun")
        }

        private static func kernel(_ path: String?) -> Report.Check {
            guard let path else {
                return .init(
                    "guest kernel", .failed, "no kernel for virtual machines is named",
                    fix: "set KINA_KERNEL to a kernel with virtio, vsock, ext4 and overlayfs built in")
            }
            return Files.exists(path)
                ? .init("guest kernel", .ok, path)
                : .init("guest kernel", .failed, "\(path) does not exist", fix: "set KINA_KERNEL to a kernel's file")
        }
    }
#endif
