"""
A node's logs, written to files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kina.errors import KinaError
from kina.node import Node

__all__ = ["export_node"]

COMMANDS: Final = {
    "journal.log": ["journalctl", "--no-pager"],
    "kubelet.log": ["journalctl", "--no-pager", "-u", "kubelet"],
    "containerd.log": ["journalctl", "--no-pager", "-u", "containerd"],
    "images.log": ["ctr", "-n", "k8s.io", "images", "ls"],
    "processes.log": ["ps", "aux"],
    "kubernetes-version.txt": ["cat", "/kind/version"],
}


def export_node(node: Node, directory: Path) -> None:
    """
    Write all logs of a node; what can't be had is said in a file of its own.

    Args:
        node: The node.
        directory: Made where it is missing.
    """
    directory.mkdir(exist_ok=True)
    missing: list[str] = []
    try:
        (directory / "serial.log").write_text(node.container.logs())
    except KinaError as error:
        missing.append(f"serial.log: {error}")
    for name, command in COMMANDS.items() if node.running else ():
        try:
            (directory / name).write_text(node.exec(command, timeout=60).stdout)
        except KinaError as error:
            missing.append(f"{name}: {error}")
    for name in ("pods", "containers") if node.running else ():
        try:
            node.copy_from(f"/var/log/{name}/.", directory / name)
        except KinaError as error:
            missing.append(f"{name}: {error}")
    if not node.running:
        missing.append("the node does not run: only its console could be read")
    if missing:
        (directory / "missing.txt").write_text("".join(f"{line}\n" for line in missing))
