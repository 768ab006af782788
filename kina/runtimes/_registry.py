"""
Which runtime: asked for, from the environment, or the default, opened once a process.
"""

from __future__ import annotations

import os
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import attrs

from kina._fields import nearest, path_text
from kina._spoken import spoken
from kina.errors import InvalidArgumentError, KinaError
from kina.requests import RuntimeOptions
from kina.runtimes.base import Runtime
from kina.status import Check, Report

__all__ = ["connect", "default_runtime", "reports"]

KNOWN: Final = ("native", "docker")


@attrs.define
class _Connection:
    name: str
    options: RuntimeOptions
    url: str | None
    direct: bool | None
    runtime: Runtime
    pid: int


# The last one that is open is everybody's: threads too, which is why it is no context variable.
_connections: list[_Connection] = []
_lock = threading.RLock()
os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.RLock()))


def connect(
    runtime: str | None = None,
    *,
    home: str | os.PathLike[str] | None = None,
    backend: str | None = None,
    oci_runtime: str | None = None,
    unpack_limit: int | None = None,
    url: str | None = None,
    direct: bool | None = None,
    kernel: str | os.PathLike[str] | None = None,
    init_image: str | None = None,
) -> Runtime:
    """
    Open a runtime, and have everything use it until it is closed.

    Without this, the first use opens one as the environment says. As a context manager it closes
    the runtime at the end, and what was used before is used again:

    ```python
    with kina.connect(home="/srv/kina"):
        kina.Container.list()
    ```

    Args:
        runtime: "native" or "docker"; $KINA_RUNTIME, else "docker" where there is a URL, else
            "native", or "docker" where the native runtime is not usable and an engine answers.
        home: Where its state is; $KINA_HOME, else the platform's place.
        backend: What the native runtime works with: "oci", namespaces made in this process;
            "remote", the same in a server that is started when it is needed; or "vm", a virtual
            machine a container, held by that server; $KINA_BACKEND, else "vm" on macOS and "oci"
            elsewhere.
        oci_runtime: A name to look for in PATH, or a path; $KINA_OCI_RUNTIME, else runc.
        unpack_limit: Bytes that one image may unpack to; 64 GiB when None.
        url: Docker mode's engine: unix:///path, tcp://host:port (with TLS as DOCKER_TLS_VERIFY and
            DOCKER_CERT_PATH say), ssh://user@host; $DOCKER_HOST, else the current Docker context.
        direct: Docker mode's: whether this program reaches the containers' own addresses, so that
            clusters need no published ports; $KINA_DOCKER_DIRECT (0 or 1), else found out.
        kernel: Of virtual machines: a kernel's file; $KINA_KERNEL, else one that is found, or on
            Apple silicon fetched once.
        init_image: Of virtual machines: an ext4 file or an image with the guest's init;
            $KINA_INIT_IMAGE, else the one that belongs to this version, fetched once.

    Raises:
        RuntimeUnavailableError: kina's native part was not built or can't be loaded; the Docker SDK
            is not installed; no engine answers.
        NotFoundError: There is no such Docker context.
        UnavailableError: A tool is missing; the hint names its package.
        UnsupportedError: The engine is too old.
        PermissionDeniedError: It needs root.
        InvalidArgumentError: An argument can't be used.
    """
    options = _options(home, backend, oci_runtime, unpack_limit, kernel, init_image)
    name = _name(runtime)
    if name is None:
        name = "docker" if url else _usable(options)
    if url and name != "docker":
        raise InvalidArgumentError.at("url", url, f"is no business of runtime {name!r}")
    if direct is not None and name != "docker":
        raise InvalidArgumentError.at("direct", direct, f"is no business of runtime {name!r}")
    with spoken():
        runtime_ = _open(name, options, url, direct)
        opened = _Connection(name, options, url, direct, runtime_, os.getpid())
    with _lock:
        _connections.append(opened)
    return opened.runtime


def default_runtime() -> Runtime:
    """
    Return the runtime in use; open one when there is none.

    Raises:
        KinaError: As `connect`.
    """
    with _lock:
        while _connections and _connections[-1].runtime.closed:
            _connections.pop()
        if not _connections:
            return connect()
        current = _connections[-1]
        if current.pid != os.getpid():
            # A fork: the handle is the parent's, what was asked for holds here too.
            current.runtime = _open(current.name, current.options, current.url, current.direct)
            current.pid = os.getpid()
        return current.runtime


def reports() -> list[Report]:
    """
    Examine every runtime, without opening any.
    """
    found = [_native_report(), _docker_report()]
    # On macOS the first was that already.
    return found if found[0].backend == "vm" else [*found, _native_report("vm")]


def _native_report(backend: str | None = None) -> Report:
    try:
        from kina.runtimes.native import examine

        return examine(_options(backend=backend))
    except KinaError as error:
        check = Check(name="libkina", state="failed", reason=error.message, fix=error.hint)
        return Report(backend=backend or "native", usable=False, checks=(check,))


def _docker_report() -> Report:
    from kina.runtimes.docker import examine

    return examine()


def _open(name: str, options: RuntimeOptions, url: str | None, direct: bool | None) -> Runtime:
    if name == "docker":
        from kina.runtimes.docker import DockerRuntime, find

        return DockerRuntime(find(url), options, direct)
    from kina.runtimes.native import NativeRuntime

    return NativeRuntime(options)


def _usable(options: RuntimeOptions) -> str:
    """
    Choose: the native runtime, unless only an engine is usable. Each look costs more than the last.
    """
    # What asks for a native one in particular gets its error.
    if options.backend or os.environ.get("KINA_BACKEND") or find_spec("docker") is None:
        return "native"
    try:
        from kina.runtimes.native import examine

        if examine(options).usable:
            return "native"
    except KinaError:
        pass
    return "docker" if _docker_report().usable else "native"


def _name(asked: str | None) -> str | None:
    name = asked or os.environ.get("KINA_RUNTIME")
    if not name:
        return None
    if name in KNOWN:
        return name
    where = "runtime" if asked else "KINA_RUNTIME"
    close = nearest(name, KNOWN)
    hint = f"did you mean {close!r}?" if close else f"known: {', '.join(KNOWN)}"
    raise InvalidArgumentError.at(where, name, "is not a runtime", hint)


def _options(
    home: str | os.PathLike[str] | None = None,
    backend: str | None = None,
    oci_runtime: str | None = None,
    unpack_limit: int | None = None,
    kernel: str | os.PathLike[str] | None = None,
    init_image: str | None = None,
) -> RuntimeOptions:
    chosen = home if home is not None else os.environ.get("KINA_HOME") or None
    options = RuntimeOptions(
        home=None
        if chosen is None
        else str(Path(path_text(chosen, "home")).expanduser().absolute()),
        backend=backend,
        oci_runtime=oci_runtime or os.environ.get("KINA_OCI_RUNTIME") or None,
        kernel=None if kernel is None else str(Path(kernel).expanduser().absolute()),
        init_image=init_image,
    )
    return options if unpack_limit is None else attrs.evolve(options, unpack_limit=unpack_limit)
