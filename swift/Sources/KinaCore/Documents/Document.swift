#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A JSON document or a part of one. Unknown fields are errors: a misspelt limit must not be silently absent.
public protocol Document: Codable, Sendable, Equatable {}

/// One of a few words.
public protocol Choice: Document, RawRepresentable, CaseIterable where RawValue == String {}

extension Choice {
    /// The standard library's error names a Swift type, and not what there is to choose from.
    public init(from decoder: any Decoder) throws {
        let word = try decoder.singleValueContainer().decode(String.self)
        guard let choice = Self(rawValue: word) else {
            let known = Self.allCases.map(\.rawValue)
            throw KinaError.invalid(
                path(decoder.codingPath), word, "must be one of \(known.map { "'\($0)'" }.joined(separator: ", "))",
                hint: nearest(word, among: known).map { "did you mean '\($0)'?" })
        }
        self = choice
    }
}

/// Reads the fields of one object: refuses unknown ones by name, fills in defaults, keeps the path for errors.
public struct Fields<Key: CodingKey & CaseIterable> {
    private let container: KeyedDecodingContainer<Key>

    public init(_ decoder: any Decoder) throws {
        let present = try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
        let known = Key.allCases.map(\.stringValue)
        for name in present.sorted() where !known.contains(name) {
            let field = path(decoder.codingPath + [AnyKey(name)])
            throw KinaError.invalid(field, nil, "unknown field", hint: suggestion(for: name, among: known))
        }
        container = try decoder.container(keyedBy: Key.self)
    }

    public func required<T: Decodable>(_ key: Key) throws -> T {
        try located(key, T.self) { try container.decode(T.self, forKey: key) }
    }
    public func optional<T: Decodable>(_ key: Key) throws -> T? {
        try located(key, T.self) { try container.decodeIfPresent(T.self, forKey: key) }
    }
    public func value<T: Decodable>(_ key: Key, default fallback: @autoclosure () -> T) throws -> T {
        try optional(key) ?? fallback()
    }

    /// For a number that does not fit its type FoundationEssentials throws an error of its own, which names no place
    /// and would come out as "not valid JSON".
    private func located<T, R>(_ key: Key, _ type: T.Type, _ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error where !(error is DecodingError || error is KinaError) {
            let range = type is any FixedWidthInteger.Type ? ", and fit into \(MemoryLayout<T>.size * 8) bits" : ""
            throw KinaError.invalid(path(container.codingPath + [key]), nil, "must be \(described(type))\(range)")
        }
    }
}

struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { return nil }
}

/// `sandbox.ports[2].hostPort`, as users write it.
func path(_ keys: [any CodingKey]) -> String {
    keys.reduce(into: "") { text, key in
        if let index = key.intValue {
            text += "[\(index)]"
        } else {
            text += (text.isEmpty ? "" : ".") + key.stringValue
        }
    }
}

func suggestion(for name: String, among known: [String]) -> String {
    let nearest = known.min { editDistance($0, name) < editDistance($1, name) }
    if let nearest, editDistance(nearest, name) <= 3 { return "did you mean '\(nearest)'?" }
    return "known fields: \(known.sorted().joined(separator: ", "))"
}

/// Levenshtein's distance, case-insensitive.
func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a.lowercased().utf8), b = Array(b.lowercased().utf8)
    if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
    var row = Array(0...b.count)
    for i in 1...a.count {
        var diagonal = row[0]
        row[0] = i
        for j in 1...b.count {
            let substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)
            diagonal = row[j]
            row[j] = min(substitution, row[j] + 1, row[j - 1] + 1)
        }
    }
    return row[b.count]
}

/// JSON in and out, one way for the ABI, the socket and the disk.
public enum JSON {
    public static func decode<T: Decodable>(_ type: T.Type, from bytes: some Sequence<UInt8>, what: String) throws -> T
    {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch let error as DecodingError {
            var kina = KinaError(decoding: error)
            kina.details["document"] = what
            if (kina.details["field"] ?? "").isEmpty {
                // The document as a whole is what is wrong.
                kina.details["field"] = nil
                kina.message = what + kina.message
            }
            throw kina
        }
    }

    public static func decode<T: Decodable>(_ type: T.Type, from text: String, what: String) throws -> T {
        try decode(type, from: text.utf8, what: what)
    }

    public static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    public static func text(_ value: some Encodable) throws -> String {
        String(decoding: try encode(value), as: UTF8.self)
    }
}

extension KinaError {
    init(decoding error: DecodingError) {
        switch error {
        case .keyNotFound(let key, let context):
            self = .invalid(path(context.codingPath + [key]), nil, "is missing")
        case .typeMismatch(let type, let context):
            self = .invalid(path(context.codingPath), nil, "must be \(described(type))")
        case .valueNotFound(let type, let context):
            self = .invalid(path(context.codingPath), "null", "must be \(described(type))")
        case .dataCorrupted(let context):
            if context.codingPath.isEmpty {
                self = KinaError(.invalidArgument, ": not valid JSON", hint: "pass one UTF-8 JSON object")
            } else {
                self = .invalid(path(context.codingPath), nil, context.debugDescription)
            }
        @unknown default:
            self = KinaError(.invalidArgument, "\(error)")
        }
    }
}

private func described(_ type: any Any.Type) -> String {
    switch type {
    case is String.Type: "a string"
    case is Bool.Type: "true or false"
    case is any FixedWidthInteger.Type: "a whole number"
    case is Double.Type: "a number"
    default: "\(type)".hasPrefix("Array") ? "a list" : "an object"
    }
}
