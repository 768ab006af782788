"""
Docker mode: containers on any Docker-compatible engine, over the `docker` SDK.

The engine does the work, and its labels are kina's records: what kina made carries them, and
nothing else is listed, changed or deleted. Images are the engine's, whoever made them.
"""

from __future__ import annotations

from kina.runtimes.docker._endpoint import Endpoint, find
from kina.runtimes.docker._runtime import DockerRuntime, examine

__all__ = ["DockerRuntime", "Endpoint", "examine", "find"]
