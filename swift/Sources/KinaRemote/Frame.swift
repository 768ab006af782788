import CKinaSocket
import KinaCore

/// What goes over the socket: eight bytes of header, then a JSON document.
///
///     0x6B ('k') · kind · number of descriptors · 0 · length of the document, 32 bits, little-endian
///
/// This layout stays the same in all versions, so that a version that does not fit can always be told apart. The
/// descriptors come with the frame's first byte.
public struct Frame: Sendable {
    public enum Kind: UInt8, Sendable {
        /// Client's first and server's answer to it: Hello, Welcome.
        case hello = 1
        case welcome = 2
        /// Envelope. One at a time on a connection; then `answer` (the method's) or `failure` (Failure).
        case request = 3
        case answer = 4
        case failure = 5
        /// Ends the request under way. Its answer still comes.
        case cancel = 6
    }

    public static let headerSize = 8
    /// Bytes of one document.
    public static let limit = 16 << 20
    private static let mark: UInt8 = 0x6B

    public let kind: Kind
    public let body: [UInt8]
    public let descriptors: [FileDescriptor]

    /// The bytes of a frame with so many descriptors.
    public static func bytes(_ kind: Kind, _ document: some Encodable, descriptors: Int = 0) throws -> [UInt8] {
        let body = try JSON.encode(document)
        guard body.count <= limit else {
            throw KinaError(
                .resourceExhausted, "a document of \(body.count) bytes is more than the \(limit) that one may have",
                hint: "ask for less at once")
        }
        let length = UInt32(body.count)
        return [mark, kind.rawValue, UInt8(descriptors), 0]
            + (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
            + body
    }

    struct Header {
        let kind: Kind
        let descriptors: Int
        let length: Int

        init(_ bytes: ArraySlice<UInt8>) throws {
            let at = { bytes[bytes.startIndex + $0] }
            guard at(0) == mark, at(3) == 0, let kind = Kind(rawValue: at(1)) else {
                throw KinaError(.invalidArgument, "what came over the socket is no frame of kina's")
            }
            self.kind = kind
            descriptors = Int(at(2))
            length = (0..<4).reduce(0) { $0 | Int(at(4 + $1)) << (8 * $1) }
            guard length <= limit, descriptors <= Int(KINA_SOCKET_DESCRIPTORS) else {
                throw KinaError(
                    .invalidArgument, "a frame of \(length) bytes and \(descriptors) descriptors is over the limit")
            }
        }
    }
}

/// Puts frames together from what arrives, in whatever pieces.
public struct FrameReader {
    private var buffer: [UInt8] = []
    private var descriptors: [FileDescriptor] = []

    public init() {}

    public mutating func append(_ bytes: some Sequence<UInt8>, _ arrived: [FileDescriptor] = []) {
        buffer += bytes
        descriptors += arrived
    }

    /// nil: more has to come first. After an error nothing more can be read.
    public mutating func next() throws -> Frame? {
        guard buffer.count >= Frame.headerSize else {
            try requireAtMost(buffer.isEmpty ? 0 : Int(KINA_SOCKET_DESCRIPTORS))
            return nil
        }
        let header = try Frame.Header(buffer[..<Frame.headerSize])
        let end = Frame.headerSize + header.length
        // More than it has are those of a frame after it, whose first byte came along in one piece: a cancel and the
        // next request, for one.
        if buffer.count <= end { try requireAtMost(header.descriptors) }
        guard buffer.count >= end else { return nil }
        guard descriptors.count >= header.descriptors else {
            throw KinaError(
                .invalidArgument, "a frame has \(descriptors.count) of its \(header.descriptors) descriptors")
        }
        defer {
            buffer.removeSubrange(..<end)
            descriptors.removeFirst(header.descriptors)
        }
        return Frame(
            kind: header.kind, body: Array(buffer[Frame.headerSize..<end]),
            descriptors: Array(descriptors.prefix(header.descriptors)))
    }

    private func requireAtMost(_ count: Int) throws {
        guard descriptors.count <= count else {
            throw KinaError(.invalidArgument, "descriptors came that no frame has")
        }
    }
}
