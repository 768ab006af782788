import KinaCore

/// Statistics as numbers of fixed width. They are the one thing that crosses often and in bulk: JSON costs more than
/// taking the sample does.
struct SampleRecord {
    /// Which figures there are (bits, in the order of `words`), the time, then the figures.
    private static let words = 2 + widths.reduce(0, +)
    static let size = words * 8
    private let numbers: [UInt64]

    init(_ sample: Statistics) {
        let groups: [[UInt64]?] = [
            sample.cpuNs.map { [$0] }, sample.cpuModesNs.map { [$0.user, $0.system] },
            sample.memory.map { [$0.bytes, $0.workingSet] }, sample.memoryLimit.map { [$0] }, sample.pids.map { [$0] },
            sample.pidsLimit.map { [$0] },
            sample.network.map { [$0.rxBytes, $0.txBytes, $0.rxPackets, $0.txPackets] },
            sample.blockIO.map { [$0.readBytes, $0.writeBytes] }, sample.oomKills.map { [$0] },
        ]
        let valid = groups.enumerated().reduce(UInt64(0)) { $1.element == nil ? $0 : $0 | 1 << $1.offset }
        let figures = zip(groups, Self.widths).flatMap { $0 ?? [UInt64](repeating: 0, count: $1) }
        numbers = [valid, sample.timestampNs] + figures
    }

    /// Figures of each group.
    private static let widths = [1, 2, 2, 1, 1, 1, 4, 2, 1]

    init(_ bytes: some Collection<UInt8>) {
        var numbers = [UInt64](repeating: 0, count: Self.words)
        numbers.withUnsafeMutableBytes { $0.copyBytes(from: bytes.prefix(Self.size)) }
        self.numbers = numbers
    }

    var bytes: [UInt8] { numbers.withUnsafeBytes { Array($0) } }

    var sample: Statistics {
        var sample = Statistics(timestampNs: numbers[1])
        var next = 2
        func group<T>(_ index: Int, _ make: (ArraySlice<UInt64>) -> T) -> T? {
            defer { next += Self.widths[index] }
            return numbers[0] & 1 << UInt64(index) == 0 ? nil : make(numbers[next...])
        }
        func one(_ index: Int) -> UInt64? { group(index) { $0[$0.startIndex] } }
        func two(_ index: Int) -> (UInt64, UInt64)? { group(index) { ($0[$0.startIndex], $0[$0.startIndex + 1]) } }
        sample.cpuNs = one(0)
        sample.cpuModesNs = two(1).map { (user: $0.0, system: $0.1) }
        sample.memory = two(2).map { (bytes: $0.0, workingSet: $0.1) }
        sample.memoryLimit = one(3)
        sample.pids = one(4)
        sample.pidsLimit = one(5)
        sample.network = group(6) { figures in
            let first = figures.startIndex
            return (figures[first], figures[first + 1], figures[first + 2], figures[first + 3])
        }
        sample.blockIO = two(7).map { (readBytes: $0.0, writeBytes: $0.1) }
        sample.oomKills = one(8)
        return sample
    }

    /// false when nobody reads it any more, or the call has ended. The pipe does not block and takes a record whole.
    func write(to pipe: Int32, _ call: Call) -> Bool {
        while true {
            if numbers.withUnsafeBytes({ systemWrite(pipe, $0.baseAddress, Self.size) }) == Self.size { return true }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                var entries = [pollfd(fd: pipe, events: Int16(POLLOUT), revents: 0)]
                guard (try? call.poll(&entries, for: "the reader of the figures")) != nil else { return false }
            default: return false
            }
        }
    }
}
