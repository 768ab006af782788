/// A pid with its start time: a pid alone may have become somebody else's.
public struct ProcessIdentity: Document {
    public var pid: Int32
    /// When it started, in the system's own unit: Linux's clock ticks since boot, macOS' microseconds since the epoch.
    public var startTicks: UInt64

    /// nil when there is no such process (a zombie counts as gone).
    public init?(pid: Int32) {
        guard let ticks = HostSystem.startTicks(of: pid) else { return nil }
        self.pid = pid
        startTicks = ticks
    }

    public var isAlive: Bool { HostSystem.startTicks(of: pid) == startTicks }
}
