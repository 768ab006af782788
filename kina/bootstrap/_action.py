"""
What an action is, and what actions share.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from kina._together import together
from kina.bootstrap.kubeadm import NodeFacts
from kina.calls import Call
from kina.client import Session
from kina.clusterconfig import ClusterConfig, NodeConfig
from kina.errors import BootstrapError, ExecError, KinaError
from kina.node import Node
from kina.runtimes.base import Reach, Runtime
from kina.status import ProgressEvent

__all__ = ["Action", "Context", "Planned", "run_actions", "telling"]


@attrs.define
class Planned:
    """
    A node on its way.

    Attributes:
        name: Its name in Kubernetes.
        config: What it should be.
        image: The image's reference.
        node: The node, when it is there.
        facts: What is known of it, when it runs.
        manifests: What its image brings to be applied: file name to text.
        containerd: Its containerd's configuration.
    """

    name: str
    config: NodeConfig
    image: str = ""
    node: Node | None = None
    facts: NodeFacts | None = None
    manifests: dict[str, str] = attrs.field(factory=dict)
    containerd: str = ""

    @property
    def there(self) -> Node:
        """
        The node, for actions after the one that makes it.
        """
        assert self.node is not None, f"{self.name} was not made"
        return self.node

    @property
    def known(self) -> NodeFacts:
        """
        The facts, for actions after the one that gathers them.
        """
        assert self.facts is not None, f"{self.name} was not looked at"
        return self.facts


@attrs.define(kw_only=True)
class Context:
    """
    A cluster on its way, as the actions leave it to each other.

    Attributes:
        name: The cluster's.
        config: What it should be.
        runtime: Where.
        call: Bounds everything.
        directory: Where the cluster's private files are.
        image: What was asked for; None for the default.
        kubeconfig: The user's file.
        merge: Whether the user's kubeconfig is touched.
        ready_seconds: How long the nodes may take to get ready; 0 for not waiting.
        nodes: All of them, the control plane first.
        joining: Those that are to join a cluster that runs; empty while one is created.
        token: Proves who may join.
        admin: The cluster's kubeconfig.
        session: Its API, when it answers.
        get_session: How nodes reach it.
    """

    name: str
    config: ClusterConfig
    runtime: Runtime
    call: Call
    directory: Path
    image: str | None = None
    kubeconfig: Path | None = None
    merge: bool = True
    ready_seconds: float = 300.0
    nodes: list[Planned]
    joining: list[Planned] = attrs.field(factory=list)
    token: str
    network: str = ""
    admin: dict[str, Any] = attrs.field(factory=dict)
    session: Session | None = None
    get_session: Callable[[], Session]

    @property
    def control_plane(self) -> Planned:
        """
        The node that the cluster begins with.
        """
        return next(item for item in self.nodes if item.config.role == "control-plane")

    @property
    def workers(self) -> list[Planned]:
        """
        The nodes that join.
        """
        return [item for item in self.nodes if item.config.role == "worker"]

    @property
    def reach(self) -> Reach:
        """
        How this program reaches the nodes, for actions after the one that makes the network.
        """
        return self.runtime.reach(self.network)

    @property
    def api(self) -> Session:
        """
        The API, for actions after the one that starts it.
        """
        assert self.session is not None, "the control plane was not started"
        return self.session


@attrs.frozen
class Action:
    """
    One step of bringing a cluster up. Doing it again does no harm.

    Attributes:
        name: What errors call it.
        title: What is shown while it runs.
        run: Does it.
        wanted: Whether there is anything to do.
    """

    name: str
    title: str
    run: Callable[[Context], None]
    wanted: Callable[[Context], bool] = lambda _: True


Step = Action | tuple[Action, ...]


def run_actions(
    steps: Iterable[Step], context: Context, report: Callable[[ProgressEvent], object]
) -> dict[str, float]:
    """
    Run actions in order, those of a tuple at once.

    Returns:
        The seconds that each took, by name.

    Raises:
        BootstrapError: One failed.
        KinaError: One failed before anything was made.
    """
    times: dict[str, float] = {}
    for step in steps:
        listed = [a for a in (step if isinstance(step, tuple) else (step,)) if a.wanted(context)]
        runs = [_timed(action, context, report, times) for action in listed]
        if len(runs) == 1:
            runs[0]()
        elif runs:
            together(runs, context.call)
    return times


def _timed(
    action: Action,
    context: Context,
    report: Callable[[ProgressEvent], object],
    times: dict[str, float],
) -> Callable[[], None]:
    def run() -> None:
        begun = time.monotonic_ns()

        def say(state: str, elapsed: int | None = None) -> None:
            report(
                ProgressEvent(
                    action=action.name, item=action.title, state=state, elapsed_ns=elapsed
                )
            )

        say("running")
        try:
            with failing(action.name):
                action.run(context)
        except BaseException:
            say("failed", time.monotonic_ns() - begun)
            raise
        spent = time.monotonic_ns() - begun
        times[action.name] = spent / 1e9
        say("done", spent)

    return run


@contextmanager
def failing(action: str) -> Iterator[None]:
    """
    Raise what goes wrong as the action's failure.
    """
    try:
        yield
    except BootstrapError:
        raise
    except KinaError as error:
        if action in ("preflight", "image"):
            raise  # nothing was made: the error says what to change
        raise BootstrapError(
            f"{action}: {error.message}", action=action, hint=error.hint, logs=_lines(error)
        ) from error


@contextmanager
def on(planned: Planned, action: str, logs: Callable[[], Sequence[str]] = tuple) -> Iterator[None]:
    """
    Raise what goes wrong as a failure of the action on a node.

    Args:
        planned: The node.
        action: The action's name.
        logs: Called to find out more.
    """
    try:
        yield
    except BootstrapError:
        raise
    except KinaError as error:
        told = [*_lines(error)]
        try:
            told += logs()
        except KinaError as second:
            told.append(f"(no further logs: {second.message})")
        message = error.message.splitlines()[0]
        raise BootstrapError(
            f"{action} on {planned.name}: {message}",
            action=action,
            node=planned.name,
            logs=told,
            hint=error.hint,
        ) from error


_TELLING = re.compile(
    r"error|fatal|fail|panic|unable|refused|denied|cannot|can't|couldn't|could not|invalid|"
    r"unknown|not found|no such|doesn't exist|timed out",
    re.IGNORECASE,
)
# Stack traces, advice, and what containerd and klog call information.
_NOISE = re.compile(
    r"^(Unfortunately|This error is likely|To see the stack|If you are on|Once you have found|- )|"
    r"goroutine |k8s\.io/.*(\.go|\.\.\.\))|level=(info|debug)|^I\d{4} |has been deprecated"
)


def telling(text: str, limit: int = 12, *, or_last: bool = True) -> list[str]:
    """
    Pick the lines of an output that say what is wrong: those that speak of errors, else the last.
    """
    stripped = (line.strip() for line in text.splitlines())
    lines = [line for line in stripped if line and not _NOISE.search(line)]
    found = [line for line in lines if _TELLING.search(line)]
    return list(dict.fromkeys(found or (lines if or_last else ())))[-limit:]


def _lines(error: KinaError) -> list[str]:
    if not isinstance(error, ExecError):
        return []
    texts = (
        part if isinstance(part, str) else part.decode(errors="replace")
        for part in (error.stdout, error.stderr)
    )
    return telling("\n".join(texts))
