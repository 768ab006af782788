import CKina
import KinaCore

// Between C and Swift: what libkina and the server of virtual machines have in common.

public typealias ErrorOut = UnsafeMutablePointer<UnsafeMutablePointer<kina_error_t>?>?
public typealias TextIn = UnsafePointer<CChar>?

/// Runs `body` and turns what it throws into a code and a kina_error.
package func guarded(_ error: ErrorOut, _ body: () throws -> Void) -> kina_code_t {
    do {
        try body()
        return KINA_OK
    } catch let thrown {
        let failure = KinaError(thrown)
        error?.pointee = allocate(failure)
        return kina_code_t(rawValue: UInt32(failure.code.rawValue))
    }
}

private func allocate(_ failure: KinaError) -> UnsafeMutablePointer<kina_error_t> {
    let pointer = UnsafeMutablePointer<kina_error_t>.allocate(capacity: 1)
    pointer.initialize(
        to: kina_error_t(
            code: failure.code.rawValue, message: cText(failure.message), hint: failure.hint.flatMap(cText),
            details: failure.details.isEmpty ? nil : (try? JSON.text(failure.details)).flatMap { strdup($0) }))
    return pointer
}

/// A NUL, which would end the text for a C reader, as Unicode's picture of it.
private func cText(_ text: String) -> UnsafeMutablePointer<CChar>? {
    strdup(String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\0" ? "\u{2400}" : $0 })))
}

/// A C string that must be there and be UTF-8.
package func text(_ pointer: TextIn, _ name: String) throws -> String {
    guard let text = try optionalText(pointer, name) else { throw KinaError.invalid(name, "NULL", "must be a string") }
    return text
}

package func optionalText(_ pointer: TextIn, _ name: String) throws -> String? {
    guard let pointer else { return nil }
    guard let text = String(validatingCString: pointer) else {
        throw KinaError.invalid(name, nil, "is not valid UTF-8")
    }
    return text
}

package func document<T: Document>(_ type: T.Type, _ pointer: TextIn, _ name: String) throws -> T {
    try JSON.decode(type, from: try text(pointer, name), what: "\(T.self)")
}

/// NULL stands for the document without a field.
package func optionalDocument<T: Document>(_ type: T.Type, _ pointer: TextIn, _ name: String) throws -> T {
    try JSON.decode(type, from: try optionalText(pointer, name) ?? "{}", what: "\(T.self)")
}

/// -1 is none; anything else must be open.
package func descriptor(_ fd: Int32, _ name: String) throws -> Int32? {
    if fd == -1 { return nil }
    guard fcntl(fd, F_GETFD) >= 0 else { throw KinaError.invalid(name, "\(fd)", "is not an open file descriptor") }
    return fd
}
