import KinaCore

struct ImagePull: Request {
    static let method = Method.imagePull
    let request: ImagePullRequest

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ImageStatus {
        try backend.images.pull(request, call)
    }
}

struct ImagePush: Request {
    static let method = Method.imagePush
    let request: ImagePushRequest

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.images.push(request, call)
        return Done()
    }
}

/// Passes the archive.
struct ImageLoad: Request {
    static let method = Method.imageLoad
    let request: ImageLoadRequest

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ImageList {
        try backend.images.load(request, from: try passed.needed(), call)
    }
}

/// Passes where the archive goes.
struct ImageSave: Request {
    static let method = Method.imageSave
    let request: ImageSaveRequest

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.images.save(request, to: try passed.needed(), call)
        return Done()
    }
}

/// Passes the tar, if there is one.
struct ImageImport: Request {
    static let method = Method.imageImport
    let request: ImageImportRequest

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ImageStatus {
        try backend.images.import(request, from: passed[0], call)
    }
}

struct ImageTag: Request {
    static let method = Method.imageTag
    let source: String
    let target: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ImageStatus {
        try backend.images.tag(source, as: target)
    }
}

struct ImageGet: Request {
    static let method = Method.imageGet
    let reference: String

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ImageStatus {
        try backend.images.get(reference)
    }
}

struct ImageListing: Request {
    static let method = Method.imageList

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> ImageList {
        try backend.images.list()
    }
}

struct ImageDelete: Request {
    static let method = Method.imageDelete
    let reference: String
    let force: Bool

    func perform(on backend: any Backend, _ passed: Passed, _ call: Call) throws -> Done {
        try backend.images.delete(reference, force: force, call)
        return Done()
    }
}
