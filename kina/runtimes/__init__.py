"""
The runtime boundary: containers, images, networks and volumes; never Kubernetes.
"""

from __future__ import annotations

from kina.runtimes._registry import connect, default_runtime, reports
from kina.runtimes.base import Runtime

__all__ = ["Runtime", "connect", "default_runtime", "reports"]
