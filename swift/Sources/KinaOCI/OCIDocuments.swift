import FoundationEssentials
import KinaCore

/// The OCI runtime specification's documents, as far as kina writes them, in the specification's own names
/// (https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md). Absent fields are left out.
enum OCI {
    struct Spec: Encodable {
        /// What runc 1.1 and crun both take.
        var ociVersion = "1.0.2"
        var process: Process
        var root: Root
        var hostname: String?
        var mounts: [Mount]
        var annotations: [String: String]
        // linux is added as JSON: it holds the seccomp profile, which is kept encoded.
    }

    struct Process: Encodable {
        var terminal: Bool
        var user: User
        var args: [String]
        var env: [String]
        var cwd: String
        var capabilities: Capabilities
        var rlimits: [Rlimit]
        var noNewPrivileges: Bool
    }

    struct User: Encodable {
        var uid: UInt32
        var gid: UInt32
        var additionalGids: [UInt32]
    }

    struct Capabilities: Encodable {
        var bounding: [String]
        var effective: [String]
        var permitted: [String]
        var inheritable: [String] = []
        var ambient: [String] = []
    }

    struct Rlimit: Encodable {
        var type: String
        var hard: UInt64
        var soft: UInt64
    }

    struct Root: Encodable {
        var path: String
        var readonly: Bool
    }

    struct Mount: Encodable {
        var destination: String
        var type: String
        var source: String
        var options: [String]
    }

    struct Linux: Encodable {
        var cgroupsPath: String
        var namespaces: [Namespace]
        var resources: Resources
        var devices: [Device]
        var sysctl: [String: String]
        var maskedPaths: [String]
        var readonlyPaths: [String]
        var rootfsPropagation: String?
    }

    struct Namespace: Encodable {
        var type: String
        var path: String?
    }

    struct Device: Encodable {
        var type: String
        var path: String
        var major: Int64
        var minor: Int64
        var fileMode: UInt32
        var uid: UInt32
        var gid: UInt32
    }

    struct Resources: Encodable {
        var devices: [DeviceRule]?
        var memory: Memory?
        var cpu: CPU?
        var pids: Pids?
        /// cgroup v2's own files.
        var unified: [String: String]?
    }

    struct DeviceRule: Encodable {
        var allow: Bool
        var type: String?
        var major: Int64?
        var minor: Int64?
        var access: String
    }

    struct Memory: Encodable {
        var limit: Int64?
        var swap: Int64?
    }

    struct CPU: Encodable {
        var shares: UInt64?
        var quota: Int64?
        var period: UInt64?
        var cpus: String?
    }

    struct Pids: Encodable { var limit: Int64 }

    struct Seccomp: Encodable {
        var defaultAction: String
        var defaultErrnoRet: UInt32?
        var architectures: [String]
        var flags: [String]?
        var syscalls: [Syscall]
    }

    struct Syscall: Encodable {
        var names: [String]
        var action: String
        var errnoRet: UInt32?
        var args: [Argument]?
    }

    struct Argument: Codable {
        var index: UInt32
        var value: UInt64
        var valueTwo: UInt64?
        var op: String
    }
}

/// An object's JSON with one more field, whose value is JSON already.
func addField(_ name: String, _ value: [UInt8], to object: [UInt8]) -> [UInt8] {
    var result = object
    result.reserveCapacity(object.count + name.utf8.count + value.count + 4)
    result.removeLast()
    if result.count > 1 { result.append(UInt8(ascii: ",")) }
    result += Array("\"\(name)\":".utf8)
    result += value
    result.append(UInt8(ascii: "}"))
    return result
}
