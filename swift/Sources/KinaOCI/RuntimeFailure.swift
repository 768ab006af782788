import KinaCore

/// What the OCI runtime says when it fails is text: this is the one place that reads it.
enum RuntimeFailure {
    private struct LogEntry: Decodable {
        var level: String
        var msg: String
    }

    /// What the runtime itself failed with, as opposed to the program that it ran: the last error in its JSON log.
    static func words(inLog path: String) -> String? {
        let lines = ((try? Files.read(path)) ?? []).split(separator: 0x0A)
        let entries = lines.compactMap { try? JSON.decode(LogEntry.self, from: $0, what: "log entry") }
        return entries.last { $0.level == "error" || $0.level == "fatal" }?.msg
    }

    static func classify(_ text: String, _ doing: String) -> KinaError {
        let message = innermost(text)
        let lower = message.lowercased()
        if let state = ["paused": "resume it first", "stopped": "start it first"].first(where: {
            lower.contains("cannot exec in a \($0.key) container")
        }) {
            return KinaError(
                .failedPrecondition, "can't \(doing): the container is \(state.key)", hint: state.value,
                details: ["state": state.key])
        }
        if lower.contains("chdir to cwd") {
            return KinaError(
                lower.contains("permission denied") ? .permissionDenied : .notFound,
                "can't \(doing): the working directory is not usable: \(message)",
                hint: "make it in the container, or name another one", details: ["field": "workdir"])
        }
        // runc says `exec: "program": …`; "exec failed: …" begins its other complaints as well.
        let aboutProgram = lower.contains("exec: \"") || lower.contains("exec /")
        if (lower.contains("executable file") && lower.contains("not found"))
            || (aboutProgram && lower.contains("no such file or directory"))
        {
            return KinaError(
                .notFound, "can't \(doing): the command is not in the image: \(message)",
                hint: "check the command and the image's PATH", details: ["field": "command", "exitCode": "127"])
        }
        if aboutProgram
            && (lower.contains("permission denied") || lower.contains("is a directory")
                || lower.contains("exec format error"))
        {
            return KinaError(
                .permissionDenied, "can't \(doing): the command can't be executed: \(message)",
                hint: "check its mode, its user and its architecture", details: ["field": "command", "exitCode": "126"])
        }
        if lower.contains("error mounting") {
            return KinaError(
                .invalidArgument, "can't \(doing): one of the mounts can't be made: \(message)",
                hint: "check the mounts' sources, targets and options", details: ["field": "mounts"])
        }
        if let name = sysctl(message) {
            return KinaError(
                .invalidArgument, "sandbox.sysctls '\(name)': can't \(doing): \(message)",
                hint: "check the parameter's name and value: this kernel refuses it",
                details: ["field": "sandbox.sysctls", "value": name])
        }
        if let controller = missingController(lower) {
            return KinaError(
                .failedPrecondition,
                "can't \(doing): this host's cgroups have no controller '\(controller)': \(message)",
                hint: "leave out the limit, or give that controller to this place; kina.doctor() says more")
        }
        if lower.contains("setrlimit"), lower.contains("operation not permitted") {
            return KinaError(
                .permissionDenied, "can't \(doing): limits can't be raised here: \(message)",
                hint: "start kina with CAP_SYS_RESOURCE or higher limits, or use runc")
        }
        if lower.contains("start a container that has stopped") || lower.contains("container process is already dead") {
            return KinaError(
                .aborted, "can't \(doing): its process was killed before it began", hint: "start it again")
        }
        if lower.contains("no space left on device") {
            return KinaError(.resourceExhausted, "can't \(doing): \(message)", hint: "free disk space")
        }
        if lower.contains("container does not exist") || lower.contains("not running") {
            return KinaError(.failedPrecondition, "can't \(doing): \(message)")
        }
        return KinaError(.internal, "can't \(doing): \(message.isEmpty ? "the OCI runtime failed" : message)")
    }

    /// The kernel parameter whose file can't be written: "open /proc/sys/net/ipv4/x: no such file or directory".
    private static func sysctl(_ message: String) -> String? {
        guard let start = message.firstRange(of: " /proc/sys/") else { return nil }
        return String(message[start.upperBound...].prefix { $0 != ":" }.map { $0 == "/" ? "." : $0 })
    }

    /// runc finds no "pids.max" in the container's group, crun says it in words.
    private static func missingController(_ lower: String) -> String? {
        for name in ["cpuset", "cpu", "memory", "pids", "io"] {
            let file =
                lower.contains("no such file") && lower.contains("/sys/fs/cgroup/") && lower.contains("/\(name).")
            if file || lower.contains("controller `\(name)` is not available") { return name }
        }
        return nil
    }

    /// runc writes a log line, time="…" level=error msg="…", or JSON: the message is what counts.
    static func innermost(_ text: String) -> String {
        let lines = text.split(separator: "\n").map(String.init)
        guard let line = lines.last(where: { $0.contains("level=error") }) ?? lines.last else { return "" }
        guard let range = line.firstRange(of: "msg=\""), let end = line.lastIndex(of: "\""), end > range.upperBound
        else {
            return line
        }
        return String(line[range.upperBound..<end].replacing("\\\"", with: "\""))
    }
}
