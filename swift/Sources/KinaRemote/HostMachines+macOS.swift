#if os(macOS)
    import KinaCore

    /// What virtual machines need of a Mac: Apple silicon, macOS 26 for its networks, a signed kina-vmd.
    enum HostMachines {
        static let library = "libkina-vm.dylib"
        static let howToBuild = "reinstall kina: on macOS it is built with virtual machines"
        private static let entitlementName = "com.apple.security.virtualization"

        static func checks(kernel: String?) -> [Report.Check] { [chip(), system(), vmnet(), Self.kernel(kernel)] }

        private static func text(_ name: String) -> String {
            var bytes = [CChar](repeating: 0, count: 256)
            var count = bytes.count
            guard sysctlbyname(name, &bytes, &count, nil, 0) == 0 else { return "" }
            return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        private static func chip() -> Report.Check {
            let name = text("machdep.cpu.brand_string")
            #if arch(arm64)
                return .init("chip", .ok, name)
            #else
                return .init("chip", .failed, "\(name) is not Apple silicon", fix: "use kina.connect(\"docker\")")
            #endif
        }

        private static var version: String { text("kern.osproductversion") }
        private static var major: Int { Int(version.split(separator: ".").first ?? "") ?? 0 }

        private static func system() -> Report.Check {
            major >= 26
                ? .init("macOS", .ok, version)
                : .init(
                    "macOS", .failed, "macOS \(version) gives containers no addresses of their own",
                    fix: "update to macOS 26, or use kina.connect(\"docker\")")
        }

        private static func vmnet() -> Report.Check {
            let path = "/System/Library/Frameworks/vmnet.framework"
            return Files.isDirectory(path)
                ? .init("vmnet", .ok, path) : .init("vmnet", .failed, "\(path) is missing", fix: "update to macOS 26")
        }

        private static func kernel(_ given: String?) -> Report.Check {
            let home = getenv("HOME").map { String(cString: $0) } ?? ""
            let containers = "\(home)/Library/Application Support/com.apple.container/kernels/default.kernel-arm64"
            for path in [given, containers].compactMap(\.self) where Files.exists(path) {
                return .init("guest kernel", .ok, path)
            }
            if let given {
                return .init("guest kernel", .failed, "\(given) does not exist", fix: "set KINA_KERNEL to a kernel")
            }
            return .init("guest kernel", .ok, "fetched and checked when the first container starts")
        }

        /// codesign itself says what a program is signed with.
        static func entitlement(_ program: String) -> Report.Check? {
            guard let call = try? Call(timeoutMs: 10_000),
                let output = try? Command("/usr/bin/codesign", ["-d", "--entitlements", "-", "--xml", program])
                    .run(call)
            else { return .init("kina-vmd", .warning, "codesign does not say how \(program) is signed") }
            return output.text.contains(entitlementName)
                ? .init("kina-vmd", .ok, "\(program), with \(entitlementName)")
                : .init(
                    "kina-vmd", .failed, "\(program) lacks the entitlement \(entitlementName)",
                    fix: "reinstall kina, which signs it")
        }
    }
#endif
