// swift-tools-version: 6.2
import PackageDescription

let swiftSettings: [SwiftSetting] = [.enableUpcomingFeature("ExistentialAny")]

// Virtual machines: on by default where they are the only way. Off, nothing of it is fetched.
#if os(macOS)
    let enabledTraits: Set<String> = ["Containerization"]
#else
    let enabledTraits: Set<String> = []
#endif

let package = Package(
    name: "kina",
    platforms: [.macOS(.v26)],
    products: [
        .library(name: "kina", type: .dynamic, targets: ["KinaABI"]),
        .executable(name: "kina-vmd", targets: ["kina-vmd"]),
        .library(name: "kina-vm", type: .dynamic, targets: ["KinaVM"]),
    ],
    traits: [
        .trait(name: "Containerization", description: "A virtual machine a container, with Apple's Containerization."),
        .default(enabledTraits: enabledTraits),
    ],
    dependencies: [
        // The guest's init image is of this very version: KinaContainerization names it.
        .package(url: "https://github.com/apple/containerization.git", exact: "0.40.2"),
        // What forwards published ports of virtual machines; Containerization stands on it too.
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.80.0"),
    ],
    targets: [
        // The contract: a header and nothing else.
        .target(name: "CKina"),
        // Calls that Swift can't make by itself: GNU extensions, and what must happen between fork and exec. Empty on
        // macOS, where it can.
        .target(name: "CKinaLinux"),
        .target(
            name: "KinaCore", dependencies: [.target(name: "CKinaLinux", condition: .when(platforms: [.linux]))],
            swiftSettings: swiftSettings),
        // Unix sockets that carry descriptors.
        .target(name: "CKinaSocket"),
        // A backend in another process, and what is said between the two.
        .target(name: "KinaRemote", dependencies: ["KinaCore", "CKinaSocket"], swiftSettings: swiftSettings),
        .target(
            name: "KinaServer", dependencies: ["CKina", "KinaBoundary", "KinaCore", "KinaRemote"],
            swiftSettings: swiftSettings),
        .target(name: "KinaBoundary", dependencies: ["CKina", "KinaCore"], swiftSettings: swiftSettings),
        // Apple's package, and nothing else, lives here; without the trait it is empty.
        .target(
            name: "KinaContainerization",
            dependencies: [
                "KinaCore",
                .product(
                    name: "Containerization", package: "containerization",
                    condition: .when(traits: ["Containerization"])),
                .product(
                    name: "ContainerizationEXT4", package: "containerization",
                    condition: .when(traits: ["Containerization"])),
                .product(
                    name: "ContainerizationOCI", package: "containerization",
                    condition: .when(traits: ["Containerization"])),
                .product(
                    name: "ContainerizationOS", package: "containerization",
                    condition: .when(traits: ["Containerization"])),
                .product(
                    name: "ContainerizationExtras", package: "containerization",
                    condition: .when(traits: ["Containerization"])),
                .product(
                    name: "ContainerizationArchive", package: "containerization",
                    condition: .when(traits: ["Containerization"])),
                .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["Containerization"])),
                .product(name: "NIOPosix", package: "swift-nio", condition: .when(traits: ["Containerization"])),
            ], swiftSettings: swiftSettings),
        // What kina-vmd loads instead of libkina, when it is to make virtual machines.
        .target(
            name: "KinaVM",
            dependencies: ["CKina", "KinaBoundary", "KinaCore", "KinaServer", "KinaContainerization"],
            swiftSettings: swiftSettings),
        .target(
            name: "KinaABI",
            dependencies: ["CKina", "KinaBoundary", "KinaCore", "KinaRemote", "KinaServer"],
            swiftSettings: swiftSettings),
        // The server's process. Loads libkina, which has all of it.
        .executableTarget(
            name: "kina-vmd", dependencies: ["CKina"],
            linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
        .testTarget(name: "KinaCoreTests", dependencies: ["KinaCore"], swiftSettings: swiftSettings),
    ],
    swiftLanguageModes: [.v6]
)

// Namespaces are Linux's. A manifest is read on the system that is built for, so elsewhere none of this is.
#if os(Linux)
    package.products += [.executable(name: "kina-exit", targets: ["kina-exit"])]
    package.targets += [
        .target(name: "KinaOCI", dependencies: ["KinaCore", "CKinaLinux"], swiftSettings: swiftSettings),
        // Started by conmon when a container has ended. Loads libkina only then.
        .executableTarget(name: "kina-exit", dependencies: ["CKina"], linkerSettings: [.linkedLibrary("dl")]),
        .testTarget(name: "KinaOCITests", dependencies: ["KinaOCI"], swiftSettings: swiftSettings),
        // They have namespaces behind the socket.
        .testTarget(
            name: "KinaRemoteTests", dependencies: ["KinaOCI", "KinaRemote", "KinaServer"],
            swiftSettings: swiftSettings),
    ]
    package.targets.first { $0.name == "KinaABI" }?.dependencies.append("KinaOCI")
#endif
