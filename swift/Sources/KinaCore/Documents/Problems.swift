/// Collects everything that is wrong with a document, so that one error tells all of it.
package struct Problems {
    package private(set) var errors: [KinaError] = []

    package init() {}

    package mutating func add(_ field: String, _ value: String? = nil, _ why: String, hint: String? = nil) {
        errors.append(.invalid(field, value, why, hint: hint))
    }

    mutating func require(
        _ condition: Bool, _ field: String, _ value: @autoclosure () -> String?, _ why: @autoclosure () -> String,
        hint: @autoclosure () -> String? = nil
    ) {
        if !condition { add(field, value(), why(), hint: hint()) }
    }

    /// What a check that throws has to say.
    package mutating func collect(_ check: () throws -> Void) {
        do { try check() } catch { errors.append(KinaError(error)) }
    }

    /// Throws the one problem as it is, or all of them as one: invalid, unless all that is asked for is merely not
    /// offered.
    package func finish() throws {
        guard var all = errors.first(where: { $0.code == .invalidArgument }) ?? errors.first else { return }
        guard errors.count > 1 else { throw all }
        all.message = errors.map(\.message).joined(separator: "\n")
        var hints: [String] = []
        for hint in errors.compactMap(\.hint) where !hints.contains(hint) { hints.append(hint) }
        all.hint = hints.isEmpty ? nil : hints.joined(separator: "; ")
        all.details["problems"] = "\(errors.count)"
        throw all
    }
}

// Rules that several documents share.
extension Problems {
    /// No NUL: the kernel's strings end there. No longer than what exec(2) takes.
    mutating func text(_ field: String, _ value: String) {
        require(!value.utf8.contains(0), field, value, "contains a NUL byte")
        require(
            value.utf8.count < 131_072, field, nil, "is longer than 131071 bytes, which Linux does not take",
            hint: "pass it in a file")
    }

    mutating func texts(_ field: String, _ values: [String]) {
        for (index, value) in values.enumerated() { text("\(field)[\(index)]", value) }
    }

    mutating func environment(_ field: String, _ variables: [String: String]) {
        for (name, value) in variables.sorted(by: { $0.key < $1.key }) {
            if name.isEmpty || name.utf8.contains(0x3D) || name.utf8.contains(0) {
                add(field, name, "is not a variable's name: it must not be empty or contain '='")
            }
            text("\(field).\(name)", value)
        }
    }

    mutating func labels(_ field: String, _ labels: [String: String]) {
        for (name, value) in labels.sorted(by: { $0.key < $1.key }) {
            let plain = !name.isEmpty && name.utf8.count <= 256 && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
            require(
                plain, field, name, "is not a label's name",
                hint: "use 1 to 256 characters without spaces, such as 'com.example.role'")
            text("\(field).\(name)", value)
        }
    }

    /// An absolute path without "..".
    mutating func path(_ field: String, _ value: String, in place: String) {
        text(field, value)
        require(
            value.hasPrefix("/"), field, value, "is not an absolute path in the \(place)", hint: "start it with '/'")
        require(
            !value.split(separator: "/").contains(".."), field, value, "contains '..'",
            hint: "write the path that you mean in full")
        require(value.utf8.count < 4096, field, nil, "is longer than 4095 bytes")
    }

    /// "name", "uid", "name:group", "uid:gid".
    mutating func user(_ field: String, _ value: String) {
        let parts = value.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let plain = (1...2).contains(parts.count) && parts.allSatisfy(Self.isAccount)
        require(
            plain, field, value, "is not a user",
            hint: "use 'name', 'uid', 'name:group' or 'uid:gid'; numbers go up to 2147483647")
    }

    mutating func group(_ field: String, _ value: String) {
        require(Self.isAccount(value), field, value, "is not a group", hint: "use a name or a number")
    }

    private static func isAccount(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 256 else { return false }
        if text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) { return Int32(text) != nil }
        return text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != 0x3A && $0 != 0x2F } && !text.hasPrefix("-")
    }

    mutating func signal(_ field: String, _ value: String) {
        collect { _ = try Signals.number(of: value, field: field) }
    }

    /// Dotted decimal.
    @discardableResult
    mutating func address(_ field: String, _ value: String) -> UInt32? {
        if let address = IPv4.parse(value) { return address }
        if value.contains(":") {
            errors.append(
                KinaError(
                    .unimplemented, "\(field) '\(value)': IPv6 is not supported yet", hint: "use an IPv4 address",
                    details: ["field": field, "value": value]))
        } else {
            add(field, value, "is not an IPv4 address", hint: "write it like 10.0.0.7")
        }
        return nil
    }

    /// What resolvers take: labels of letters, digits and '-' (and '_', as Docker's tools make them).
    mutating func domain(_ field: String, _ value: String) {
        let valid = isDomain(value, most: 253) { $0 == 0x5F }
        require(
            valid, field, value, "is not a host name",
            hint: "use letters, digits, '-' and '.', at most 63 between two dots")
    }

    /// RFC 1123, and sethostname(2)'s 64 bytes.
    mutating func hostname(_ field: String, _ value: String) {
        require(
            isDomain(value, most: 64) { _ in false }, field, value,
            "is not a host name (RFC 1123)",
            hint: "use at most 64 letters, digits, '-' and '.', with a letter or digit at each end")
    }

    private func isDomain(_ text: String, most: Int, _ further: (UInt8) -> Bool) -> Bool {
        guard !text.isEmpty, text.utf8.count <= most else { return false }
        return text.utf8.split(separator: 0x2E, omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.first, let last = label.last, label.count <= 63 else { return false }
            return first != 0x2D && last != 0x2D
                && label.allSatisfy { Identifier.isAlphanumeric($0) || $0 == 0x2D || further($0) }
        }
    }

    mutating func range<T: Comparable>(_ field: String, _ value: T, _ allowed: ClosedRange<T>, _ unit: String = "") {
        let suffix = unit.isEmpty ? "" : " \(unit)"
        require(
            allowed.contains(value), field, "\(value)",
            "must be from \(allowed.lowerBound) to \(allowed.upperBound)\(suffix)")
    }
}

/// IPv4 in dotted decimal.
public enum IPv4 {
    /// Four decimal numbers without leading zeros, and nothing else.
    public static func parse(_ text: String) -> UInt32? {
        let parts = text.utf8.split(separator: 0x2E, omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var address: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != 0x30,
                part.allSatisfy({ (0x30...0x39).contains($0) }), let byte = UInt8(String(decoding: part, as: UTF8.self))
            else { return nil }
            address = address << 8 | UInt32(byte)
        }
        return address
    }
}
