/// What kina knows about a volume: its files are in `data` beside this record.
package struct VolumeRecord: Record {
    package var schema = 1
    package var id: String
    package var name: String
    package var labels: [String: String]
    package var createdAt: Int64
    /// An anonymous volume's container, and where that mounts it.
    package var owner: String?
    package var target: String?
    /// Has been offered an image's files, or has had files of its own: never filled again.
    package var isFilled = false
}
