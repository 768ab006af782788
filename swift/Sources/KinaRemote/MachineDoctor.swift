import KinaCore

/// Whether containers can be virtual machines here, and what to do where they can't. Changes nothing.
public enum MachineDoctor {
    public static func examine(_ options: RuntimeOptions) -> Report {
        let program = Launcher.check(options)
        var checks = [program.state == .ok ? HostMachines.entitlement(program.reason) ?? program : program]
        checks.append(library(options))
        checks += HostMachines.checks(kernel: options.kernel ?? getenv("KINA_KERNEL").map { String(cString: $0) })
        return Report(backend: RuntimeOptions.machines, checks: checks)
    }

    static func library(_ options: RuntimeOptions) -> Report.Check {
        let path = "\(Launcher.directory(options))/\(HostMachines.library)"
        return Files.exists(path)
            ? .init("libkina-vm", .ok, path)
            : .init(
                "libkina-vm", .failed, "\(path) is missing: this kina was built without virtual machines",
                fix: HostMachines.howToBuild)
    }
}
