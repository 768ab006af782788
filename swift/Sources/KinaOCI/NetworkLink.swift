import KinaCore

/// The host's interfaces, by ioctl: a bridge costs microseconds this way, and a program of the host milliseconds.
enum NetworkLink {
    // linux/sockios.h, which the Glibc overlay leaves out.
    private static let addBridge: UInt = 0x89A0
    private static let deleteBridge: UInt = 0x89A1
    private static let setName: UInt = 0x8923
    private static let getFlags: UInt = 0x8913
    private static let setFlags: UInt = 0x8914
    private static let setAddress: UInt = 0x8916
    private static let setNetmask: UInt = 0x891C
    private static let getMTU: UInt = 0x8921
    private static let setMTU: UInt = 0x8922
    private static let setHardwareAddress: UInt = 0x8924

    static func index(_ name: String) -> UInt32? {
        let index = if_nametoindex(name)
        return index == 0 ? nil : index
    }

    static func names() -> [String] {
        guard let list = if_nameindex() else { return [] }
        defer { if_freenameindex(list) }
        var names: [String] = []
        var entry = list
        while entry.pointee.if_index != 0, let name = entry.pointee.if_name {
            names.append(String(cString: name))
            entry += 1
        }
        return names
    }

    static func mtu(_ name: String) -> Int? {
        guard let socket = try? controlSocket(), var request = try? ifreq(named: name),
            ioctl(socket.raw, getMTU, &request) == 0
        else { return nil }
        return Int(request.ifr_ifru.ifru_mtu)
    }

    /// A bridge that is up and has the gateway's address; fine when it is there already.
    static func makeBridge(_ name: String, gateway: IPv4Address, netmask: IPv4Address, mtu: Int) throws {
        let socket = try controlSocket()
        var request = try ifreq(named: name)
        if ioctl(socket.raw, addBridge, &request) < 0, errno != EEXIST { throw Errno(errno, "create bridge \(name)") }
        request.ifr_ifru.ifru_mtu = Int32(mtu)
        try attempt("set MTU \(mtu) of \(name)") { ioctl(socket.raw, setMTU, &request) }
        // Without a MAC of its own a bridge takes over its ports', and changes it as they come and go.
        request.setHardware([0x02, 0x6B] + gateway.bytes)
        try attempt("set MAC of \(name)") { ioctl(socket.raw, setHardwareAddress, &request) }
        request.setInternet(gateway)
        try attempt("set address of \(name)") { ioctl(socket.raw, setAddress, &request) }
        request.setInternet(netmask)
        try attempt("set netmask of \(name)") { ioctl(socket.raw, setNetmask, &request) }
        try setUp(true, name, socket)
    }

    /// Fine when it is gone.
    static func removeBridge(_ name: String) throws {
        guard index(name) != nil else { return }
        let socket = try controlSocket()
        try setUp(false, name, socket)
        var request = try ifreq(named: name)
        if ioctl(socket.raw, deleteBridge, &request) < 0, errno != ENXIO, errno != ENODEV {
            throw Errno(errno, "delete bridge \(name)")
        }
    }

    static func rename(_ name: String, to new: String) throws {
        let socket = try controlSocket()
        if try setName(name, new, socket) { return }
        // Kernels before 6.2 rename only what is down.
        try setUp(false, name, socket)
        guard try setName(name, new, socket) else { throw Errno(EBUSY, "rename interface \(name) to \(new)") }
        try setUp(true, new, socket)
    }

    private static func setName(_ name: String, _ new: String, _ socket: FileDescriptor) throws -> Bool {
        var request = try ifreq(named: name)
        try request.setNewName(new)
        if ioctl(socket.raw, setName, &request) == 0 { return true }
        if errno == EBUSY { return false }
        throw Errno(errno, "rename interface \(name) to \(new)")
    }

    private static func setUp(_ up: Bool, _ name: String, _ socket: FileDescriptor) throws {
        var request = try ifreq(named: name)
        do {
            try attempt("flags of \(name)") { ioctl(socket.raw, getFlags, &request) }
        } catch let error as Errno where error.code == ENODEV && !up {
            return
        }
        let bit = Int16(IFF_UP)
        let flags = request.ifr_ifru.ifru_flags
        request.ifr_ifru.ifru_flags = up ? flags | bit : flags & ~bit
        try attempt("set flags of \(name)") { ioctl(socket.raw, setFlags, &request) }
    }

    private static func controlSocket() throws -> FileDescriptor {
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        return FileDescriptor(try attempt("socket") { socket(AF_INET, type, 0) })
    }
}

extension ifreq {
    fileprivate init(named name: String) throws {
        self.init()
        try withUnsafeMutableBytes(of: &ifr_ifrn.ifrn_name) { try fill($0, name) }
    }

    fileprivate mutating func setNewName(_ name: String) throws {
        try withUnsafeMutableBytes(of: &ifr_ifru.ifru_newname) { try fill($0, name) }
    }

    fileprivate mutating func setHardware(_ mac: [UInt8]) {
        ifr_ifru.ifru_hwaddr = sockaddr()
        ifr_ifru.ifru_hwaddr.sa_family = 1  // ARPHRD_ETHER
        withUnsafeMutableBytes(of: &ifr_ifru.ifru_hwaddr.sa_data) { $0.copyBytes(from: mac) }
    }

    fileprivate mutating func setInternet(_ address: IPv4Address) {
        var internet = sockaddr_in(address)
        withUnsafeMutableBytes(of: &ifr_ifru.ifru_addr) { target in
            withUnsafeBytes(of: &internet) { target.copyMemory(from: $0) }
        }
    }
}

/// A C name field, which must end with a zero.
private func fill(_ target: UnsafeMutableRawBufferPointer, _ name: String) throws {
    guard name.utf8.count < target.count else { throw Errno(ENAMETOOLONG, "interface \(name)") }
    for index in target.indices { target[index] = 0 }
    target.copyBytes(from: name.utf8)
}
