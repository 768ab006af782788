import CKinaLinux
import KinaCore

extension OCIContainers {
    /// A sample at once, then one an interval, at absolute times: a slow reader or a late wake-up shifts none of the
    /// later ones. Ends with the container.
    func statistics(_ reference: String, intervalNs: Int64, _ call: Call, _ sample: (Statistics) -> Bool) throws {
        let record = try running(reference)
        guard let process = record.run?.process else { return }
        let group = cgroup(record)
        let end = try process.descriptor()
        var next = Clock.monotonic()
        while process.isAlive, sample(group.statistics(pid: process.pid)) {
            let now = Clock.monotonic()
            next += intervalNs
            // Missed ones are left out, not made up for in a burst.
            if intervalNs > 0, next < now { next += (now - next) / intervalNs * intervalNs }
            try call.check("the next sample of container '\(record.name)'")
            if try ended(end, by: next, call, record) { return }
        }
    }

    private func ended(_ end: FileDescriptor?, by time: Int64, _ call: Call, _ record: ContainerRecord) throws -> Bool {
        guard let end else { return true }
        let left = time - Clock.monotonic()
        if left <= 0 { return false }
        // Whole milliseconds by poll, which hears the call; the rest to the nanosecond.
        if left > 2_000_000 {
            do {
                try call.within(ms: left / 1_000_000 - 1).waitReadable(end.raw, for: "the next sample")
                return true
            } catch let error as KinaError where error.code == .deadlineExceeded {
                try call.check("the next sample of container '\(record.name)'")
            }
        }
        let rest = max(0, time - Clock.monotonic())
        return kina_linux_poll_ns(end.raw, rest) > 0
    }
}
