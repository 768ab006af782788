import KinaCore

/// Turns the extended headers of a pax archive (POSIX.1-2001), which Python's tarfile and Go's archive/tar write and
/// busybox's tar skips, into GNU's, which it knows. Without this, names over 100 bytes would be cut in silence.
///
/// Names, link targets, sizes and owners are carried over; times lose their fractions. Sparse files are refused: they
/// would be unpacked as something else.
///
/// Symbolic links are withheld, for `SymbolicLink.create`: busybox's tar gives a link's owner to what the link leads to.
/// So are extended attributes, of which it knows none, for `ExtendedAttributes.set`.
struct PaxTranslator {
    /// In the archive's order.
    private(set) var links: [SymbolicLink] = []
    private(set) var attributes: [ExtendedAttributes] = []

    private enum State {
        case header
        /// So many bytes to hand on as they are.
        case body(Int64)
        /// An extended header's own bytes: its size, with and without padding.
        case extended(size: Int, padded: Int, Extension)
        /// The archive's end has come.
        case padding
    }

    private enum Extension {
        case pax
        /// Says nothing that matters here: comments, mostly.
        case global
        /// GNU's: the whole of it is one record's value, with a zero byte.
        case gnu(record: String)
    }

    private static let block = 512
    private static let largestHeader = 1 << 20
    /// They are held until the files are there; no honest archive has so much of them.
    private static let mostAttributes = 64 << 20
    private var attributeBytes = 0
    private var state = State.header
    private var buffer: [UInt8] = []
    private var records: [String: [UInt8]] = [:]

    /// The next bytes of the archive, as they should be handed on.
    mutating func translate(_ chunk: [UInt8]) throws -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(chunk.count + Self.block)
        var rest = chunk[...]
        while !rest.isEmpty {
            switch state {
            case .padding:
                output += rest
                rest = []
            case .body(let left):
                let part = rest.prefix(Int(min(left, Int64(rest.count))))
                output += part
                rest = rest.dropFirst(part.count)
                state = left == Int64(part.count) ? .header : .body(left - Int64(part.count))
            case .header:
                guard let header = collect(Self.block, &rest) else { break }
                try begin(header, &output)
            case .extended(let size, let padded, let kind):
                guard let bytes = collect(padded, &rest) else { break }
                switch kind {
                case .pax: try parse(bytes.prefix(size))
                case .global: break
                case .gnu(let record): records[record] = Array(bytes.prefix(size).prefix { $0 != 0 })
                }
                state = .header
            }
        }
        return output
    }

    /// The archive has ended: was it whole?
    func finish() throws {
        switch state {
        case .padding: return
        // Some writers leave out the two empty blocks.
        case .header where buffer.isEmpty: return
        default: throw Self.broken("the archive ends in the middle of a file")
        }
    }

    private mutating func collect(_ count: Int, _ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
        let part = rest.prefix(count - buffer.count)
        buffer += part
        rest = rest.dropFirst(part.count)
        guard buffer.count == count else { return nil }
        defer { buffer = [] }
        return buffer
    }

    private mutating func begin(_ header: [UInt8], _ output: inout [UInt8]) throws {
        if header.allSatisfy({ $0 == 0 }) {
            output += header
            state = .padding
            return
        }
        var header = TarHeader(header)
        guard header.isValid else { throw Self.broken("this is not a tar archive") }
        switch header.type {
        case UInt8(ascii: "x"): try extend(header, .pax)
        case UInt8(ascii: "g"): try extend(header, .global)
        case UInt8(ascii: "L"): try extend(header, .gnu(record: "path"))
        case UInt8(ascii: "K"): try extend(header, .gnu(record: "linkpath"))
        case UInt8(ascii: "S"): throw Self.sparse
        case UInt8(ascii: "2"):
            links.append(try link(header))
            records = [:]
            state = .header
        default:
            try noteAttributes(of: header)
            try apply(to: &header, &output)
            output += header.bytes
            let size = header.hasBody ? header.size : 0
            guard size >= 0, size < .max - Int64(Self.block) else { throw Self.broken("a file's size is not a number") }
            state = size == 0 ? .header : .body((size + 511) / 512 * 512)
        }
    }

    private mutating func extend(_ header: TarHeader, _ kind: Extension) throws {
        guard header.size <= Self.largestHeader else { throw Self.broken("an extended header is too large") }
        let size = Int(header.size)
        state = size == 0 ? .header : .extended(size: size, padded: Self.padded(size), kind)
    }

    private func link(_ header: TarHeader) throws -> SymbolicLink {
        func number(_ key: String, _ field: TarHeader.Field) throws -> Int64 {
            guard let text = records[key] else { return header.number(field) ?? 0 }
            guard let value = Int64(String(decoding: text.prefix { $0 != 0x2E }, as: UTF8.self)) else {
                throw Self.broken("'\(key)' is not a number")
            }
            return value
        }
        let name = records["path"] ?? header.name, target = records["linkpath"] ?? header.linkName
        guard !name.contains(0), !target.contains(0) else { throw Self.broken("a name has a zero byte") }
        return SymbolicLink(
            path: String(decoding: name, as: UTF8.self), target: String(decoding: target, as: UTF8.self),
            uid: UInt32(clamping: try number("uid", .uid)), gid: UInt32(clamping: try number("gid", .gid)),
            mtime: try number("mtime", .mtime))
    }

    /// Values come without a terminator; whatever else an archive carries is the affair of the host that made it.
    private mutating func noteAttributes(of header: TarHeader) throws {
        // Further names of a file have them already; links, devices and pipes have none that are kept.
        guard !records.isEmpty, [0, UInt8(ascii: "0"), UInt8(ascii: "5")].contains(header.type) else { return }
        let found = records.compactMap { key, value -> (String, [UInt8])? in
            guard key.hasPrefix(ExtendedAttributes.key) else { return nil }
            let name = key.replacingPrefix(ExtendedAttributes.key)
            return ExtendedAttributes.areKept(name) ? (name, value) : nil
        }
        if found.isEmpty { return }
        attributeBytes += found.reduce(0) { $0 + $1.0.utf8.count + $1.1.count }
        guard attributeBytes <= Self.mostAttributes else {
            throw KinaError(
                .resourceExhausted, "the archive has more than \(Self.mostAttributes) bytes of extended attributes",
                hint: "make the archive without them")
        }
        let path = String(decoding: records["path"] ?? header.name, as: UTF8.self)
        attributes.append(ExtendedAttributes(path: path, values: Dictionary(uniqueKeysWithValues: found)))
    }

    private static func padded(_ size: Int) -> Int { (size + block - 1) / block * block }

    /// "<length of all of this in decimal> <key>=<value>\n"
    private mutating func parse(_ bytes: ArraySlice<UInt8>) throws {
        var rest = bytes
        while !rest.isEmpty {
            guard let space = rest.firstIndex(of: 0x20),
                let length = Int(String(decoding: rest[..<space], as: UTF8.self)),
                length > space - rest.startIndex + 1, length <= rest.count,
                let equals = rest[(space + 1)..<(rest.startIndex + length)].firstIndex(of: 0x3D)
            else { throw Self.broken("an extended header can't be read") }
            let key = String(decoding: rest[(space + 1)..<equals], as: UTF8.self)
            records[key] = Array(rest[(equals + 1)..<(rest.startIndex + length - 1)])
            rest = rest.dropFirst(length)
        }
        if records.keys.contains(where: { $0.hasPrefix("GNU.sparse.") }) { throw Self.sparse }
    }

    private mutating func apply(to header: inout TarHeader, _ output: inout [UInt8]) throws {
        if records.isEmpty { return }
        defer { records = [:] }
        for (key, type) in [("linkpath", UInt8(ascii: "K")), ("path", UInt8(ascii: "L"))] {
            guard let name = records[key] else { continue }
            guard !name.contains(0) else { throw Self.broken("a name has a zero byte") }
            output += TarHeader.long(name, type: type)
        }
        for (key, field) in [("size", TarHeader.Field.size), ("uid", .uid), ("gid", .gid), ("mtime", .mtime)] {
            guard let text = records[key] else { continue }
            // Times may have a fraction, and may be before 1970, which busybox can't express.
            let digits = String(decoding: text.prefix { $0 != 0x2E }, as: UTF8.self)
            guard let value = Int64(digits) else { throw Self.broken("'\(key)' is not a number") }
            header.set(field, max(0, value))
        }
        header.sum()
    }

    private static func broken(_ why: String) -> KinaError {
        KinaError(.invalidArgument, why, hint: "pass a whole, uncompressed tar archive")
    }

    private static var sparse: KinaError {
        KinaError(.invalidArgument, "the archive has a sparse file", hint: "make the archive without tar's --sparse")
    }
}

/// A tar header block (ustar, GNU and older ones).
struct TarHeader {
    enum Field {
        case uid, gid, size, mtime, checksum

        var range: Range<Int> {
            switch self {
            case .uid: 108..<116
            case .gid: 116..<124
            case .size: 124..<136
            case .mtime: 136..<148
            case .checksum: 148..<156
            }
        }
    }

    private(set) var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var type: UInt8 { bytes[156] }
    var size: Int64 { Self.number(bytes[Field.size.range]) ?? -1 }
    func number(_ field: Field) -> Int64? { Self.number(bytes[field.range]) }

    /// With the ustar format's prefix.
    var name: [UInt8] {
        let name = text(0..<100), prefix = text(345..<500)
        let isUstar = bytes[257..<263].elementsEqual("ustar\0".utf8)
        return isUstar && !prefix.isEmpty ? prefix + [0x2F] + name : name
    }
    var linkName: [UInt8] { text(157..<257) }

    private func text(_ range: Range<Int>) -> [UInt8] { Array(bytes[range].prefix { $0 != 0 }) }

    /// Links, devices, directories and fifos have none, whatever their size field says.
    var hasBody: Bool { !(UInt8(ascii: "1")...UInt8(ascii: "6")).contains(type) }
    var isValid: Bool { Self.number(bytes[Field.checksum.range]) == computedSum && size >= 0 }

    /// With the checksum's own bytes counted as spaces.
    private var computedSum: Int64 {
        bytes.indices.reduce(Int64(0)) { $0 + Int64(Field.checksum.range.contains($1) ? 0x20 : bytes[$1]) }
    }

    /// Octal digits among spaces and zeros, or GNU's base 256.
    private static func number(_ field: ArraySlice<UInt8>) -> Int64? {
        guard let first = field.first else { return nil }
        if first & 0x80 != 0 {
            // The sign bit's neighbour makes it negative.
            guard first & 0x40 == 0 else { return nil }
            return field.dropFirst().reduce(Int64(first & 0x3F)) { value, byte in
                value > .max >> 8 ? .max : value << 8 | Int64(byte)
            }
        }
        let digits = field.drop { $0 == 0x20 }.prefix { $0 != 0x20 && $0 != 0 }
        return digits.isEmpty ? 0 : Int64(String(decoding: digits, as: UTF8.self), radix: 8)
    }

    mutating func set(_ field: Field, _ value: Int64) {
        let width = field.range.count
        let octal = String(value, radix: 8)
        var digits =
            Array(repeating: UInt8(ascii: "0"), count: max(0, width - 1 - octal.utf8.count)) + Array(octal.utf8) + [0]
        if digits.count > width {
            digits = (0..<width).map {
                UInt8(truncatingIfNeeded: $0 < width - 8 ? 0 : value >> Int64(8 * (width - 1 - $0)))
            }
            digits[0] |= 0x80
        }
        bytes.replaceSubrange(field.range, with: digits)
    }

    mutating func sum() {
        let text = String(computedSum, radix: 8)
        let digits = String(repeating: "0", count: max(0, 6 - text.utf8.count)) + text
        bytes.replaceSubrange(Field.checksum.range, with: Array(digits.utf8) + [0, 0x20])
    }

    /// GNU's header for a name of any length, with the name after it.
    static func long(_ name: [UInt8], type: UInt8) -> [UInt8] {
        var header = TarHeader([UInt8](repeating: 0, count: 512))
        let text: [(Int, String)] = [(0, "././@LongLink"), (100, "0000644"), (257, "ustar  ")]
        for (offset, value) in text {
            header.bytes.replaceSubrange(offset..<(offset + value.utf8.count), with: Array(value.utf8))
        }
        header.bytes[156] = type
        for field in [Field.uid, .gid, .mtime] { header.set(field, 0) }
        header.set(.size, Int64(name.count + 1))
        header.sum()
        let body = name + [0]
        return header.bytes + body + [UInt8](repeating: 0, count: (512 - body.count % 512) % 512)
    }
}
