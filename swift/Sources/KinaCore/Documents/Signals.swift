/// Linux's signals by name, whatever this host is: containers are Linux everywhere. Numbers of x86 and arm.
public enum Signals {
    private static let numbers: [String: Int32] = [
        "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
        "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19,
        "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28,
        "IO": 29, "PWR": 30, "SYS": 31,
    ]
    private static let aliases: [String: Int32] = ["IOT": 6, "CLD": 17, "POLL": 29, "UNUSED": 31]
    private static let names = Dictionary(uniqueKeysWithValues: numbers.map { ($0.value, $0.key) })
    /// What C libraries leave to programs: they keep 32 and 33 for themselves.
    private static let realTime: ClosedRange<Int32> = 34...64
    private static let all: ClosedRange<Int32> = 1...64

    /// "TERM", "SIGTERM", "15" or "RTMIN+3", in any case.
    public static func number(of text: String, field: String = "signal") throws -> Int32 {
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let number = numbers[name] ?? aliases[name] ?? realTimeNumber(name) { return number }
        if name.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int32(name), all.contains(number) {
            return number
        }
        let near = nearest(name, among: Array(numbers.keys) + ["RTMIN", "RTMAX"], distance: 1)
        throw KinaError.invalid(
            field, text, "is not a signal",
            hint: near.map { "did you mean '\($0)'?" }
                ?? "use a name such as TERM or SIGRTMIN+3, or a number from 1 to 64")
    }

    /// "TERM", "RTMIN+3"; the number as text where there is no name.
    public static func name(of number: Int32) -> String {
        if let name = names[number] { return name }
        guard realTime.contains(number) else { return "\(number)" }
        return number == realTime.lowerBound ? "RTMIN" : "RTMIN+\(number - realTime.lowerBound)"
    }

    private static func realTimeNumber(_ name: String) -> Int32? {
        if name == "RTMIN" { return realTime.lowerBound }
        if name == "RTMAX" { return realTime.upperBound }
        let offset = name.dropFirst(6)
        guard offset.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let distance = Int32(offset),
            distance <= realTime.upperBound - realTime.lowerBound
        else { return nil }
        if name.hasPrefix("RTMIN+") { return realTime.lowerBound + distance }
        if name.hasPrefix("RTMAX-") { return realTime.upperBound - distance }
        return nil
    }
}

/// The candidate that a misspelling most likely meant.
func nearest(_ name: String, among candidates: [String], distance: Int = 2) -> String? {
    let ranked = candidates.sorted().map { ($0, editDistance($0, name)) }.min { $0.1 < $1.1 }
    return ranked.flatMap { $0.1 <= distance ? $0.0 : nil }
}
