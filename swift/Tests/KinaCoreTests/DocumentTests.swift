import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@testable import KinaCore

/// The documents that cross the ABI, in files that the Python tests read too.
struct GoldenTests {
    static let directory: String = {
        let parts = #filePath.split(separator: "/").dropLast(4)
        return "/" + parts.joined(separator: "/") + "/tests/data/documents"
    }()

    static let documents: [String: any Document.Type] = [
        "container_spec": ContainerSpec.self, "container_spec_minimal": ContainerSpec.self,
        "container_status": ContainerStatus.self, "container_list": ContainerList.self,
        "container_filter": ContainerFilter.self, "exit_status": ExitStatus.self, "process_spec": ProcessSpec.self,
        "resources_spec": ResourcesSpec.self, "log_request": LogRequest.self, "network_spec": NetworkSpec.self,
        "network_status": NetworkStatus.self, "network_list": NetworkList.self, "pod_spec": PodSpec.self,
        "pod_status": PodStatus.self, "pod_list": PodList.self, "volume_spec": VolumeSpec.self,
        "volume_status": VolumeStatus.self, "volume_list": VolumeList.self, "image_config": ImageConfig.self,
        "image_status": ImageStatus.self, "image_list": ImageList.self, "image_pull_request": ImagePullRequest.self,
        "image_push_request": ImagePushRequest.self, "image_load_request": ImageLoadRequest.self,
        "image_save_request": ImageSaveRequest.self, "image_import_request": ImageImportRequest.self,
        "runtime_options": RuntimeOptions.self, "runtime_info": RuntimeInfo.self, "report": Report.self,
        "event": Event.self, "event_filter": EventFilter.self, "prune_request": PruneRequest.self,
        "prune_result": PruneResult.self, "progress_event": ProgressEvent.self,
    ]

    /// Lists are brief, and a minimal document is just that.
    static let partial: Set<String> = ["container_spec_minimal", "container_list", "image_list"]

    @Test func `every file is a document and every document has a file`() throws {
        let files = try Files.list(Self.directory).filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }
        #expect(Set(files) == Set(Self.documents.keys))
    }

    @Test(arguments: documents.keys.sorted())
    func `nothing is lost on the way in and out`(name: String) throws {
        let bytes = try Files.read("\(Self.directory)/\(name).json")
        let type = try #require(Self.documents[name])
        let encoded = try roundTrip(type, bytes)
        let before = try JSON.decode(Value.self, from: bytes, what: name)
        let after = try JSON.decode(Value.self, from: encoded, what: name)
        if Self.partial.contains(name) {
            #expect(before.isContained(in: after))
        } else {
            #expect(before == after)
        }
    }

    @Test(arguments: Set(documents.keys).subtracting(partial).sorted())
    func `a golden file sets every field`(name: String) throws {
        let type = try #require(Self.documents[name])
        let value = try JSON.decode(type, from: try Files.read("\(Self.directory)/\(name).json"), what: name)
        var all = Set<String>(), set = Set<String>()
        survey(value, "", &all, &set)
        #expect(all.subtracting(set) == [])
    }

    private func roundTrip<D: Document>(_ type: D.Type, _ bytes: [UInt8]) throws -> [UInt8] {
        try JSON.encode(try JSON.decode(type, from: bytes, what: "golden"))
    }

    /// Every stored property's path, and those with something in it; elements of lists count together.
    private func survey(_ value: Any, _ path: String, _ all: inout Set<String>, _ set: inout Set<String>) {
        let mirror = Mirror(reflecting: value)
        all.insert(path)
        switch mirror.displayStyle {
        case .optional:
            guard let child = mirror.children.first else { return }
            survey(child.value, path, &all, &set)
        case .collection:
            if !mirror.children.isEmpty { set.insert(path) }
            for child in mirror.children { survey(child.value, path + "[]", &all, &set) }
        case .struct where value is any Document:
            set.insert(path)
            for child in mirror.children { survey(child.value, "\(path).\(child.label ?? "")", &all, &set) }
        default:
            if !("\(value)".isEmpty) { set.insert(path) }
        }
    }
}

/// Any JSON.
enum Value: Decodable, Equatable {
    case null, bool(Bool), number(Double), text(String), list([Value]), object([String: Value])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([Value].self) {
            self = .list(value)
        } else {
            self = .object(try container.decode([String: Value].self))
        }
    }

    func isContained(in other: Value) -> Bool {
        switch (self, other) {
        case (.object(let a), .object(let b)):
            a.allSatisfy { key, value in b[key].map { value.isContained(in: $0) } ?? false }
        case (.list(let a), .list(let b)): a.count == b.count && zip(a, b).allSatisfy { $0.isContained(in: $1) }
        default: self == other
        }
    }
}

struct DecodingTests {
    fileprivate func refusal(_ json: String) -> KinaError? {
        do {
            _ = try JSON.decode(ContainerSpec.self, from: json, what: "spec")
            return nil
        } catch {
            return KinaError(error)
        }
    }

    @Test func `absent fields have defaults`() throws {
        let spec = try JSON.decode(ContainerSpec.self, from: #"{"image": "a"}"#, what: "spec")
        #expect(spec == ContainerSpec(image: "a"))
        #expect(spec.schema == 1 && spec.noNewPrivileges && spec.stopTimeout == 10)
        let limit = try JSON.decode(RlimitSpec.self, from: #"{"type": "core", "soft": 7}"#, what: "limit")
        #expect(limit.hard == 7)
    }

    @Test(arguments: [
        (#"{"image": "a", "memmory": 1}"#, "memmory", "known fields"),
        (#"{"image": "a", "Env": {}}"#, "Env", "did you mean 'env'?"),
        (#"{"image": "a", "resources": {"memmory": 1}}"#, "resources.memmory", "did you mean 'memory'?"),
        (
            #"{"image": "a", "sandbox": {"ports": [{"containerPort": 1}, {"containerPort": 1, "hostport": 2}]}}"#,
            "sandbox.ports[1].hostport", "did you mean 'hostPort'?"
        ),
        (
            #"{"image": "a", "mounts": [{"type": "bind", "target": "/x", "readonly": true}]}"#, "mounts[0].readonly",
            "did you mean 'readOnly'?"
        ),
    ])
    func `an unknown field is named with its path and a suggestion`(json: String, field: String, hint: String) throws {
        let error = try #require(refusal(json))
        #expect(error.code == .invalidArgument)
        #expect(error.details["field"] == field)
        #expect(error.message.hasPrefix("\(field): unknown field"))
        #expect(error.hint?.contains(hint) == true)
    }

    @Test(arguments: [
        (#"{"image": 5}"#, "image", "must be a string"),
        (#"{"image": null}"#, "image", "must be a string"),
        (#"{}"#, "image", "is missing"),
        (#"{"image": "a", "terminal": 1}"#, "terminal", "must be true or false"),
        (#"{"image": "a", "command": "sh"}"#, "command", "must be a list"),
        (#"{"image": "a", "command": ["sh", 1]}"#, "command[1]", "must be a string"),
        (#"{"image": "a", "env": ["A=1"]}"#, "env", "must be an object"),
        (#"{"image": "a", "env": {"A": 1}}"#, "env.A", "must be a string"),
        (#"{"image": "a", "resources": {"cpus": "2"}}"#, "resources.cpus", "must be a number"),
        (#"{"image": "a", "resources": {"pids": 1.5}}"#, "resources.pids", ""),
        (#"{"image": "a", "resources": {"memory": 1e30}}"#, "resources.memory", ""),
        (#"{"image": "a", "pullPolicy": "sometimes"}"#, "pullPolicy", "sometimes"),
        (#"{"image": "a", "sandbox": {"ports": [{}]}}"#, "sandbox.ports[0].containerPort", "is missing"),
    ])
    func `a wrong type is named with its path`(json: String, field: String, why: String) throws {
        let error = try #require(refusal(json))
        #expect(error.code == .invalidArgument)
        #expect(error.details["field"] == field)
        #expect(error.message.contains(why))
    }

    @Test(arguments: ["", "{", "nope", "[]", "{\"image\": \"a\"} x", "\u{0}", "{\"image\": \"\\ud800\"}"])
    func `what is no document is refused`(json: String) throws {
        let error = try #require(refusal(json))
        #expect(error.code == .invalidArgument)
    }

    @Test func `a document of a thousand levels is refused, not fatal`() throws {
        let deep = String(repeating: "[", count: 1000) + String(repeating: "]", count: 1000)
        #expect(refusal(#"{"image": "a", "command": \#(deep)}"#)?.code == .invalidArgument)
    }
}
