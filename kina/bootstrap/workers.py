"""
Workers: their containers, booted and configured, all at once. They need nothing of the control
plane, which starts meanwhile.
"""

from __future__ import annotations

from typing import Final

from kina._together import each
from kina.bootstrap._action import Action, Context, Planned
from kina.bootstrap.configuration import configure
from kina.bootstrap.join import joining
from kina.bootstrap.nodes import make

__all__ = ["WORKERS"]


def run(context: Context) -> None:
    """
    Make each.
    """
    each(lambda planned: _prepare(context, planned), joining(context), context.call)


def _prepare(context: Context, planned: Planned) -> None:
    make(context, planned, "workers")
    configure(context, planned, "workers")


WORKERS: Final = Action(
    "workers", "Booting the workers", run, lambda context: bool(joining(context))
)
