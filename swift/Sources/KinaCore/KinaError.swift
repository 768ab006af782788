/// What went wrong, in gRPC's canonical vocabulary, and what the user can do about it.
public struct KinaError: Error, Sendable, CustomStringConvertible {
    /// gRPC's canonical status codes; the numbers are those of `kina_code_t`.
    public enum Code: Int32, Sendable, CaseIterable {
        case cancelled = 1
        case unknown = 2
        case invalidArgument = 3
        case deadlineExceeded = 4
        case notFound = 5
        case alreadyExists = 6
        case permissionDenied = 7
        case resourceExhausted = 8
        case failedPrecondition = 9
        case aborted = 10
        case outOfRange = 11
        case unimplemented = 12
        case `internal` = 13
        case unavailable = 14
        case dataLoss = 15
        case unauthenticated = 16
    }

    public var code: Code
    public var message: String
    /// An action the user can take.
    public var hint: String?
    /// Machine-readable facts: "field", "value", "exitCode", "cause", …
    public var details: [String: String]

    public init(_ code: Code, _ message: String, hint: String? = nil, details: [String: String] = [:]) {
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details
    }

    /// A bad value in a request: names the field and shows the value.
    public static func invalid(_ field: String, _ value: String? = nil, _ why: String, hint: String? = nil) -> KinaError
    {
        let field = visible(field)
        var details = ["field": field]
        var shown = ""
        if let value {
            let short = visible(value.count > 200 ? String(value.prefix(200)) + "…" : value)
            details["value"] = short
            shown = " '\(short)'"
        }
        return KinaError(.invalidArgument, "\(field)\(shown): \(why)", hint: hint, details: details)
    }

    /// Control characters as Unicode's pictures of them: a NUL would end the message for a C reader.
    private static func visible(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 }) else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            result.append(scalar.value < 0x20 ? Unicode.Scalar(0x2400 + scalar.value) ?? scalar : scalar)
        }
        return String(result)
    }

    public static func notFound(_ kind: String, _ reference: String, hint: String? = nil) -> KinaError {
        KinaError(
            .notFound, "no \(kind) '\(reference)'", hint: hint ?? "list the \(kind)s to see what there is",
            details: ["kind": kind, "reference": reference])
    }

    public static func unimplemented(_ what: String, hint: String? = nil) -> KinaError {
        KinaError(.unimplemented, what, hint: hint)
    }

    /// The same error with the failure that led to it, or that came on top of it.
    public func caused(by cause: any Error) -> KinaError {
        var copy = self
        copy.details["cause"] = copy.details["cause"].map { "\($0); \(cause)" } ?? "\(cause)"
        return copy
    }

    public var description: String { hint.map { "\(message) (\($0))" } ?? message }
}

extension KinaError {
    /// Any error as ours; what is not ours is our bug and says so.
    public init(_ error: any Error) {
        switch error {
        case let error as KinaError: self = error
        case let error as DecodingError: self = KinaError(decoding: error)
        default: self = KinaError(.internal, "\(error)", hint: "this is a bug in kina; please report it")
        }
    }
}
