"""
Pods, which Docker's API does not know.
"""

from __future__ import annotations

from kina.calls import Call
from kina.config import PodSpec
from kina.errors import NotFoundError, UnsupportedError
from kina.status import PodStatus

__all__ = ["Pods", "no_pods"]


def no_pods() -> UnsupportedError:
    return UnsupportedError("a Docker engine has no pods", hint="use the native runtime")


class Pods:
    """
    None.
    """

    def create(self, spec: PodSpec, call: Call | None = None) -> PodStatus:  # noqa: ARG002
        raise no_pods()

    def start(self, reference: str, call: Call | None = None) -> PodStatus:  # noqa: ARG002
        return self.get(reference)

    def stop(
        self,
        reference: str,
        timeout: float | None = None,  # noqa: ARG002
        call: Call | None = None,  # noqa: ARG002
    ) -> PodStatus:
        return self.get(reference)

    def delete(self, reference: str, force: bool, call: Call | None = None) -> None:  # noqa: ARG002
        self.get(reference)

    def get(self, reference: str) -> PodStatus:
        raise NotFoundError(f"pod {reference!r} is not here", hint=str(no_pods()))

    def list(self) -> tuple[PodStatus, ...]:
        return ()
