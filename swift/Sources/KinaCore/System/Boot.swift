/// This boot, to tell what runs now from what ran before it.
package enum Boot {
    package static func id() throws -> String { try HostSystem.bootID() }
}
