"""
What a node image brings along: its Kubernetes, its manifests, its containerd's settings.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

import attrs

from kina.errors import InvalidArgumentError, InvalidStateError

__all__ = ["LOOK", "Shipped", "cgroup_driver", "parse", "patched"]

_MARK: Final = re.compile(r"^---kina (\S+) ?(.*)\n", re.MULTILINE)

# Constant, and without anything of the user's: one process tells all.
LOOK: Final = r"""
cat /kind/version
printf '\n---kina containerd\n'
cat /etc/containerd/config.toml
[ -e /sys/fs/cgroup/cgroup.controllers ] || printf '\n---kina cgroup-v1\n'
for file in /kind/manifests/*; do
    [ -f "$file" ] || continue
    printf '\n---kina file %s\n' "${file##*/}"
    cat "$file"
done
"""


@attrs.frozen(kw_only=True)
class Shipped:
    """
    What was found in a node.
    """

    version: str
    containerd: str = ""
    cgroup_v1: bool = False
    manifests: dict[str, str] = attrs.field(factory=dict)


def parse(text: str) -> Shipped:
    """
    Read what `LOOK` prints.

    Raises:
        InvalidStateError: The image has no /kind/version.
    """
    version, *parts = _MARK.split(text)
    if not version.strip():
        raise InvalidStateError("the image has no /kind/version: it is not a node image")
    found: dict[str, Any] = {"version": version.strip(), "manifests": {}}
    for word, argument, content in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if word == "file":
            found["manifests"][argument] = content
        elif word == "containerd":
            found["containerd"] = content
        elif word == "cgroup-v1":
            found["cgroup_v1"] = True
    return Shipped(**found)


def cgroup_driver(containerd: str) -> str:
    """
    Say which driver containerd is set to; the kubelet must use the same.
    """
    return "systemd" if _find(_settings(containerd), "SystemdCgroup") is True else "cgroupfs"


def _settings(containerd: str) -> dict[str, Any]:
    try:
        return tomllib.loads(containerd)
    except tomllib.TOMLDecodeError as error:
        raise InvalidStateError(
            f"the image's containerd configuration is broken: {error}"
        ) from None


def _find(value: object, key: str) -> object:
    if not isinstance(value, dict):
        return None
    if key in value:
        return value[key]
    return next((found for item in value.values() if (found := _find(item, key)) is not None), None)


def patched(containerd: str, patches: tuple[str, ...]) -> str:
    """
    Merge patches into containerd's configuration, as JSON merge patches are.

    Raises:
        InvalidArgumentError: A patch can't be merged.
    """
    import tomli_w

    from kina.bootstrap.patches import merged

    settings = _settings(containerd)
    for index, patch in enumerate(patches):
        try:
            settings = merged(settings, tomllib.loads(patch))
        except tomllib.TOMLDecodeError as error:
            field = f"containerd_config_patches[{index}]"
            raise InvalidArgumentError.at(field, patch, str(error)) from None
    return tomli_w.dumps(settings)
