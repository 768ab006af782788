import KinaCore

extension Cgroup {
    /// pid: a process of the container, for its network's figures. What can't be read is absent, never 0.
    func statistics(pid: Int32) -> Statistics {
        var sample = Statistics(timestampNs: UInt64(Clock.monotonic()))
        if hierarchies.mode == .v2 { readV2(&sample) } else { readV1(&sample) }
        if pid > 0 { sample.network = SmallFile.read("/proc/\(pid)/net/dev").flatMap(Self.network) }
        return sample
    }

    private func readV1(_ sample: inout Statistics) {
        if let cpu = directory("cpuacct") {
            sample.cpuNs = SmallFile.read("\(cpu)/cpuacct.usage")?.number
            if let user = SmallFile.read("\(cpu)/cpuacct.usage_user")?.number,
                let system = SmallFile.read("\(cpu)/cpuacct.usage_sys")?.number
            {
                sample.cpuModesNs = (user, system)
            }
        }
        if let memory = directory("memory") {
            if let usage = SmallFile.read("\(memory)/memory.usage_in_bytes")?.number {
                let inactive = SmallFile.read("\(memory)/memory.stat")?.value(of: "total_inactive_file") ?? 0
                sample.memory = (usage, usage - min(usage, inactive))
            }
            // Unlimited is the greatest multiple of the page size that fits into a signed number.
            sample.memoryLimit = SmallFile.read("\(memory)/memory.limit_in_bytes")?.number.flatMap {
                $0 < 1 << 62 ? $0 : nil
            }
        }
        readPids(&sample)
        if let io = directory("blkio") {
            let file =
                SmallFile.read("\(io)/blkio.throttle.io_service_bytes_recursive")
                ?? SmallFile.read("\(io)/blkio.throttle.io_service_bytes")
            sample.blockIO = file.map(Self.blockIOv1)
        }
        sample.oomKills = oomKills()
    }

    private func readV2(_ sample: inout Statistics) {
        let group = hierarchies.root + path
        if let cpu = SmallFile.read("\(group)/cpu.stat") {
            sample.cpuNs = cpu.value(of: "usage_usec").map { $0 * 1000 }
            if let user = cpu.value(of: "user_usec"), let system = cpu.value(of: "system_usec") {
                sample.cpuModesNs = (user * 1000, system * 1000)
            }
        }
        if let usage = SmallFile.read("\(group)/memory.current")?.number {
            let inactive = SmallFile.read("\(group)/memory.stat")?.value(of: "inactive_file") ?? 0
            sample.memory = (usage, usage - min(usage, inactive))
        }
        sample.memoryLimit = SmallFile.read("\(group)/memory.max")?.number
        readPids(&sample)
        sample.blockIO = SmallFile.read("\(group)/io.stat").map(Self.blockIOv2)
        sample.oomKills = oomKills()
    }

    private func readPids(_ sample: inout Statistics) {
        guard let group = directory("pids") else { return }
        sample.pids = SmallFile.read("\(group)/pids.current")?.number
        sample.pidsLimit = SmallFile.read("\(group)/pids.max")?.number
    }

    /// Lines of "8:0 Read 4096"; the last one, "Total", counts twice and has no device.
    static func blockIOv1(_ file: SmallFile) -> (readBytes: UInt64, writeBytes: UInt64) {
        var sum: (readBytes: UInt64, writeBytes: UInt64) = (0, 0)
        file.forEachLine { line in
            let parts = line.split(separator: 0x20)
            guard parts.count == 3, let bytes = SmallFile.number(parts[2]) else { return }
            if parts[1].elementsEqual("Read".utf8) { sum.readBytes &+= bytes }
            if parts[1].elementsEqual("Write".utf8) { sum.writeBytes &+= bytes }
        }
        return sum
    }

    /// Lines of "8:0 rbytes=4096 wbytes=0 rios=1 …".
    static func blockIOv2(_ file: SmallFile) -> (readBytes: UInt64, writeBytes: UInt64) {
        var sum: (readBytes: UInt64, writeBytes: UInt64) = (0, 0)
        file.forEachLine { line in
            for part in line.split(separator: 0x20) {
                guard let bytes = SmallFile.number(part.dropFirst(7)) else { continue }
                if part.starts(with: "rbytes=".utf8) { sum.readBytes &+= bytes }
                if part.starts(with: "wbytes=".utf8) { sum.writeBytes &+= bytes }
            }
        }
        return sum
    }

    /// /proc/<pid>/net/dev: every interface but the loopback. nil without any.
    static func network(_ file: SmallFile) -> (rxBytes: UInt64, txBytes: UInt64, rxPackets: UInt64, txPackets: UInt64)?
    {
        var sum: (rxBytes: UInt64, txBytes: UInt64, rxPackets: UInt64, txPackets: UInt64)?
        file.forEachLine { line in
            guard let colon = line.firstIndex(of: 0x3A) else { return }
            let name = line[..<colon].drop { $0 == 0x20 }
            let fields = line[(colon + 1)...].split(separator: 0x20)
            guard fields.count >= 16, !name.elementsEqual("lo".utf8), let rx = SmallFile.number(fields[0]),
                let rxPackets = SmallFile.number(fields[1]), let tx = SmallFile.number(fields[8]),
                let txPackets = SmallFile.number(fields[9])
            else { return }
            let before = sum ?? (0, 0, 0, 0)
            sum = (
                before.rxBytes &+ rx, before.txBytes &+ tx, before.rxPackets &+ rxPackets, before.txPackets &+ txPackets
            )
        }
        return sum
    }
}
