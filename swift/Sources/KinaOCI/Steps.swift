import KinaCore

/// The steps that change something outside the process, in the order of a container's life.
///
/// Each is a point where a process may be killed: the tests set KINA_CRASH_AFTER to each of these names in turn and
/// look at what is left, or KINA_STOP_AFTER, to kill others there while this program waits to be continued. Each is
/// timed as well, for whoever gives the call a place for progress.
enum Step: String, CaseIterable, Sendable {
    case createRecord, createLeases, createPorts, createVolumes, createFiles, createCommit
    case startRecord, startMount, startNamespace, startNetwork, startConfig, startSupervisor, startIdentity,
        startProcess
    case stopSignal, stopKill
    case endRecord, endRuntime, endCgroup, endProcesses, endNetwork, endNamespace, endMount, endFiles, endCommit
    case deleteRecord, deleteLeases, deleteVolumes, deleteCommit, deleteImage
    case runProcess
    case podRecord, podLeases, podPorts, podReady, podNamespaces, podNetwork, podCommit
    case podStop, podDown, podDeleteRecord, podDeleteContainers, podDeleteLeases, podDeleteCommit

    /// The signal that this program sends itself after a step.
    private static let signals: [Step: Int32] = {
        var signals: [Step: Int32] = [:]
        for (name, signal) in [("KINA_STOP_AFTER", SIGSTOP), (crashVariable, SIGKILL)] {
            if let step = getenv(name).flatMap({ Step(rawValue: String(cString: $0)) }) { signals[step] = signal }
        }
        return signals
    }()
    /// Handed on to what supervises a container, which has steps of its own to do at the end.
    static let crashVariable = "KINA_CRASH_AFTER"

    /// Does the step: never begun after the call's end, its time reported.
    @discardableResult
    func perform<T>(_ call: Call, _ body: () throws -> T) throws -> T {
        try call.check(rawValue)
        return try finish(call, body)
    }

    /// The same for what must be done whether or not the call has ended: undoing and cleaning up.
    @discardableResult
    func finish<T>(_ call: Call, _ body: () throws -> T) throws -> T {
        let begin = call.reportsProgress ? Clock.monotonic() : 0
        let result = try body()
        if call.reportsProgress {
            call.report(
                ProgressEvent(action: "step", item: rawValue, state: "done", elapsedNs: Clock.monotonic() - begin))
        }
        // To this very thread: others would let it go on for a moment after a stop.
        if let signal = Step.signals[self] { raise(signal) }
        return result
    }
}
