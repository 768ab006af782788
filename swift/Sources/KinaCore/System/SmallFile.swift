/// A file of the kernel's, read at once and parsed as bytes: a sample reads ten of them.
package struct SmallFile: Sendable {
    package let bytes: [UInt8]
    private static let page = 4096

    /// nil when it can't be read.
    package static func read(_ path: String) -> SmallFile? {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var bytes: [UInt8] = []
        while true {
            var count = 0
            let chunk = [UInt8](unsafeUninitializedCapacity: page) { buffer, filled in
                repeat { count = systemRead(fd, buffer.baseAddress, buffer.count) } while count < 0 && errno == EINTR
                filled = max(0, count)
            }
            if count < 0 { return nil }
            bytes = bytes.isEmpty ? chunk : bytes + chunk
            // The kernel hands out as many whole lines as fit into a page: far less is all there is.
            if count < page / 2 { return SmallFile(bytes: bytes) }
        }
    }

    package init(bytes: [UInt8]) { self.bytes = bytes }
    package init(_ text: String) { bytes = Array(text.utf8) }

    package func starts(with text: String.UTF8View) -> Bool { bytes.starts(with: text) }

    /// The number it begins with; nil for "max".
    package var number: UInt64? { Self.number(bytes[...]) }

    package static func number(_ bytes: ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        var digits = 0
        for byte in bytes {
            guard (0x30...0x39).contains(byte) else { break }
            let (product, over) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(byte - 0x30))
            if over || carry { return nil }
            value = sum
            digits += 1
        }
        return digits == 0 ? nil : value
    }

    /// The number behind a key at the start of a line: "oom_kill 3".
    package func value(of key: String) -> UInt64? {
        var found: UInt64?
        forEachLine { line in
            guard found == nil, line.starts(with: key.utf8) else { return }
            let rest = line.dropFirst(key.utf8.count)
            if rest.first == 0x20 { found = Self.number(rest.dropFirst()) }
        }
        return found
    }

    package func forEachLine(_ body: (ArraySlice<UInt8>) -> Void) {
        var start = bytes.startIndex
        while start < bytes.endIndex {
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.endIndex
            body(bytes[start..<end])
            start = end == bytes.endIndex ? end : end + 1
        }
    }
}
