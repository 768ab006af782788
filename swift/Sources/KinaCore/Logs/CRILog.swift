/// One record of a log in the CRI format: `2026-11-24T07:18:52.106357987+00:00 stdout F text`.
/// https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
package struct CRIRecord {
    package let stamp: ArraySlice<UInt8>
    package let stream: LogRequest.Stream
    /// A part of a line: more of it follows in a later record of the same stream.
    package let isPartial: Bool
    package let text: ArraySlice<UInt8>

    /// nil: not such a record.
    package init?(_ line: ArraySlice<UInt8>) {
        guard let first = line.firstIndex(of: 0x20), let second = line[(first + 1)...].firstIndex(of: 0x20),
            let third = line[(second + 1)...].firstIndex(of: 0x20)
        else { return nil }
        stamp = line[..<first]
        // "stdout" and "stderr" differ in the fourth byte; nothing else is as long.
        let name = line[(first + 1)..<second]
        if name.elementsEqual("stdout".utf8) {
            stream = .stdout
        } else if name.elementsEqual("stderr".utf8) {
            stream = .stderr
        } else {
            return nil
        }
        let tag = line[second + 1]
        guard tag == 0x46 || tag == 0x50 else { return nil }
        isPartial = tag == 0x50
        text = line[(third + 1)...]
    }

    /// Nanoseconds since the epoch.
    package var time: Int64? { RFC3339.nanoseconds(stamp) }
}

/// Internet timestamps (RFC 3339) with up to nine decimals.
package enum RFC3339 {
    package static func nanoseconds(_ text: ArraySlice<UInt8>) -> Int64? {
        var rest = text
        /// Exactly so many digits.
        func number(_ digits: Int) -> Int64? {
            guard rest.count >= digits, rest.prefix(digits).allSatisfy({ (0x30...0x39).contains($0) }) else {
                return nil
            }
            let value = rest.prefix(digits).reduce(Int64(0)) { $0 * 10 + Int64($1 - 0x30) }
            rest = rest.dropFirst(digits)
            return value
        }
        func skip(_ character: UInt8) -> Bool {
            guard let first = rest.first, first == character || first == character | 0x20 else { return false }
            rest = rest.dropFirst()
            return true
        }
        guard let year = number(4), skip(0x2D), let month = number(2), skip(0x2D), let day = number(2), skip(0x54),
            let hour = number(2), skip(0x3A), let minute = number(2), skip(0x3A), let second = number(2),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        var fraction: Int64 = 0
        if skip(0x2E) {
            let digits = rest.prefix { (0x30...0x39).contains($0) }.count
            guard (1...9).contains(digits), let value = number(digits) else { return nil }
            fraction = (digits..<9).reduce(value) { value, _ in value * 10 }
        }
        var offset: Int64 = 0
        if !skip(0x5A) {
            guard let sign = rest.first, sign == 0x2B || sign == 0x2D else { return nil }
            rest = rest.dropFirst()
            guard let hours = number(2), skip(0x3A), let minutes = number(2) else { return nil }
            offset = (hours * 60 + minutes) * (sign == 0x2B ? 60 : -60)
        }
        guard rest.isEmpty, (1678...2261).contains(year) else { return nil }
        let seconds = days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
        return seconds * 1_000_000_000 + fraction
    }

    /// Days since the epoch of a Gregorian date (http://howardhinnant.github.io/date_algorithms.html#days_from_civil).
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = y / 400
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
