"""
The native runtime: libkina. The only importer of `kina._ffi`.
"""

from __future__ import annotations

from typing import Any

from kina import wire
from kina._ffi import RuntimeHandle
from kina._ffi import doctor as _doctor
from kina._ffi._library import encode
from kina.calls import Call
from kina.config import ContainerSpec, NetworkSpec, PodSpec, ProcessSpec, Resources, VolumeSpec
from kina.requests import (
    ContainerFilter,
    EventFilter,
    ImageImportRequest,
    ImageLoadRequest,
    ImagePullRequest,
    ImagePushRequest,
    ImageSaveRequest,
    LogRequest,
    PruneRequest,
    RuntimeOptions,
)
from kina.runtimes.base import Runtime, Streams
from kina.status import (
    ContainerList,
    ContainerStatus,
    ExitStatus,
    ImageList,
    ImageStatus,
    NetworkList,
    NetworkStatus,
    PodList,
    PodStatus,
    PruneResult,
    Report,
    RuntimeInfo,
    VolumeList,
    VolumeStatus,
)

__all__ = ["NativeRuntime", "examine"]


def examine(options: RuntimeOptions) -> Report:
    """
    Say whether the native runtime is usable here. Opens nothing.

    Raises:
        RuntimeUnavailableError: libkina can't be loaded.
    """
    return wire.from_json(Report, _doctor(wire.to_json(options)))


def _reference(text: str | None, what: str = "reference") -> Any:
    return encode(text, what)


def _document(value: Any) -> Any:
    return encode(wire.to_json(value), type(value).__name__)


def _grace(seconds: float | None) -> int:
    """
    Return milliseconds; -1: what the specs say.
    """
    return -1 if seconds is None else int(seconds * 1000)


class NativeRuntime(Runtime):
    """
    libkina: on Linux an OCI runtime without a daemon, in this process or (backend "remote") in a
    server of its own.

    Args:
        options: How to open it.

    Raises:
        RuntimeUnavailableError: libkina can't be loaded.
        UnavailableError: A tool that it needs is missing; the hint names its package.
        PermissionDeniedError: It needs root.
        InvalidArgumentError: An option can't be used.
    """

    name = "native"

    def __init__(self, options: RuntimeOptions) -> None:
        self._handle = RuntimeHandle(wire.to_json(options))
        self.images = _Images(self._handle)
        self.pods = _Pods(self._handle)
        self.containers = _Containers(self._handle)
        self.processes = _Processes(self._handle)
        self.networks = _Networks(self._handle)
        self.volumes = _Volumes(self._handle)

    def __repr__(self) -> str:
        if self.closed:
            return "<kina runtime 'native', closed>"
        return f"<kina runtime 'native', home {self.info().home!r}>"

    def info(self) -> RuntimeInfo:
        return wire.from_json(RuntimeInfo, self._handle.ask(self._handle.library.kina_runtime_info))

    def events(self, filter: EventFilter, fd: int, call: Call | None = None) -> None:
        self._handle.tell_long(
            call, self._handle.library.kina_runtime_events, _document(filter), fd
        )

    def prune(self, request: PruneRequest, call: Call | None = None) -> PruneResult:
        function = self._handle.library.kina_runtime_prune
        return wire.from_json(
            PruneResult, self._handle.ask_long(call, function, _document(request))
        )

    def close(self) -> None:
        self._handle.close()

    @property
    def closed(self) -> bool:
        return self._handle.closed


class _Part:
    def __init__(self, handle: RuntimeHandle) -> None:
        self._handle = handle
        self._lib = handle.library


class _Images(_Part):
    def pull(self, request: ImagePullRequest, call: Call | None = None) -> ImageStatus:
        answer = self._handle.ask_long(call, self._lib.kina_image_pull, _document(request))
        return wire.from_json(ImageStatus, answer)

    def push(self, request: ImagePushRequest, call: Call | None = None) -> None:
        self._handle.tell_long(call, self._lib.kina_image_push, _document(request))

    def load(
        self, request: ImageLoadRequest, fd: int, call: Call | None = None
    ) -> tuple[ImageStatus, ...]:
        answer = self._handle.ask_long(call, self._lib.kina_image_load, _document(request), fd)
        return wire.from_json(ImageList, answer).images

    def save(self, request: ImageSaveRequest, fd: int, call: Call | None = None) -> None:
        self._handle.tell_long(call, self._lib.kina_image_save, _document(request), fd)

    def import_(
        self, request: ImageImportRequest, fd: int = -1, call: Call | None = None
    ) -> ImageStatus:
        answer = self._handle.ask_long(call, self._lib.kina_image_import, _document(request), fd)
        return wire.from_json(ImageStatus, answer)

    def tag(self, source: str, target: str) -> ImageStatus:
        answer = self._handle.ask(
            self._lib.kina_image_tag, _reference(source, "source"), _reference(target, "target")
        )
        return wire.from_json(ImageStatus, answer)

    def get(self, reference: str) -> ImageStatus:
        answer = self._handle.ask(self._lib.kina_image_get, _reference(reference))
        return wire.from_json(ImageStatus, answer)

    def list(self) -> tuple[ImageStatus, ...]:
        return wire.from_json(ImageList, self._handle.ask(self._lib.kina_image_list)).images

    def delete(self, reference: str, force: bool, call: Call | None = None) -> None:
        self._handle.tell_long(call, self._lib.kina_image_delete, _reference(reference), int(force))


class _Containers(_Part):
    def create(self, spec: ContainerSpec, call: Call | None = None) -> ContainerStatus:
        answer = self._handle.ask_long(call, self._lib.kina_container_create, _document(spec))
        return wire.from_json(ContainerStatus, answer)

    def start(self, reference: str, call: Call | None = None) -> ContainerStatus:
        return self._change(call, self._lib.kina_container_start, reference)

    def stop(
        self, reference: str, timeout: float | None = None, call: Call | None = None
    ) -> ContainerStatus:
        return self._change(call, self._lib.kina_container_stop, reference, _grace(timeout))

    def pause(self, reference: str, call: Call | None = None) -> ContainerStatus:
        return self._change(call, self._lib.kina_container_pause, reference)

    def resume(self, reference: str, call: Call | None = None) -> ContainerStatus:
        return self._change(call, self._lib.kina_container_resume, reference)

    def update(
        self, reference: str, resources: Resources, call: Call | None = None
    ) -> ContainerStatus:
        return self._change(call, self._lib.kina_container_update, reference, _document(resources))

    def _change(
        self, call: Call | None, function: Any, reference: str, *arguments: Any
    ) -> ContainerStatus:
        answer = self._handle.ask_long(call, function, _reference(reference), *arguments)
        return wire.from_json(ContainerStatus, answer)

    def delete(self, reference: str, force: bool, call: Call | None = None) -> None:
        self._handle.tell_long(
            call, self._lib.kina_container_delete, _reference(reference), int(force)
        )

    def get(self, reference: str) -> ContainerStatus:
        answer = self._handle.ask(self._lib.kina_container_get, _reference(reference))
        return wire.from_json(ContainerStatus, answer)

    def list(self, filter: ContainerFilter) -> tuple[ContainerStatus, ...]:
        answer = self._handle.ask(self._lib.kina_container_list, _document(filter))
        return wire.from_json(ContainerList, answer).containers

    def run(self, spec: ContainerSpec, streams: Streams, call: Call | None = None) -> ExitStatus:
        function = self._lib.kina_container_run
        answer = self._handle.ask_long(call, function, _document(spec), *streams)
        return wire.from_json(ExitStatus, answer)

    def logs(
        self, reference: str, request: LogRequest, streams: Streams, call: Call | None = None
    ) -> None:
        arguments = (_reference(reference), _document(request), streams.stdout, streams.stderr)
        self._handle.tell_long(call, self._lib.kina_container_logs, *arguments)

    def attach(self, reference: str, streams: Streams, call: Call | None = None) -> None:
        function = self._lib.kina_container_attach
        self._handle.tell_long(call, function, _reference(reference), *streams)

    def copy_in(self, reference: str, path: str, fd: int, call: Call | None = None) -> None:
        arguments = (_reference(reference), encode(path, "path"), fd)
        self._handle.tell_long(call, self._lib.kina_container_copy_in, *arguments)

    def copy_out(self, reference: str, path: str, fd: int, call: Call | None = None) -> None:
        arguments = (_reference(reference), encode(path, "path"), fd)
        self._handle.tell_long(call, self._lib.kina_container_copy_out, *arguments)

    def statistics(
        self,
        reference: str,
        interval_ns: int,
        buffer: Any,
        capacity: int,
        call: Call | None = None,
    ) -> int:
        return self._handle.statistics(call, reference, interval_ns, buffer, capacity)


class _Processes(_Part):
    def create(
        self, container: str, spec: ProcessSpec, streams: Streams, call: Call | None = None
    ) -> str:
        return self._handle.ask_long(
            call,
            self._lib.kina_process_create,
            _reference(container, "container"),
            _document(spec),
            *streams,
        )

    def wait(self, container: str, process: str | None, call: Call | None = None) -> ExitStatus:
        arguments = (_reference(container, "container"), _reference(process, "process"))
        answer = self._handle.ask_long(call, self._lib.kina_process_wait, *arguments)
        return wire.from_json(ExitStatus, answer)

    def kill(
        self, container: str, process: str | None, signal: str, call: Call | None = None
    ) -> None:
        self._handle.tell_long(
            call,
            self._lib.kina_process_kill,
            _reference(container, "container"),
            _reference(process, "process"),
            encode(signal, "signal"),
        )

    def resize(self, container: str, process: str | None, rows: int, columns: int) -> None:
        arguments = (_reference(container, "container"), _reference(process, "process"))
        self._handle.tell(self._lib.kina_process_resize, *arguments, rows, columns)

    def delete(self, container: str, process: str) -> None:
        arguments = (_reference(container, "container"), _reference(process, "process"))
        self._handle.tell(self._lib.kina_process_delete, *arguments)


class _Pods(_Part):
    def create(self, spec: PodSpec, call: Call | None = None) -> PodStatus:
        answer = self._handle.ask_long(call, self._lib.kina_pod_create, _document(spec))
        return wire.from_json(PodStatus, answer)

    def start(self, reference: str, call: Call | None = None) -> PodStatus:
        answer = self._handle.ask_long(call, self._lib.kina_pod_start, _reference(reference))
        return wire.from_json(PodStatus, answer)

    def stop(
        self, reference: str, timeout: float | None = None, call: Call | None = None
    ) -> PodStatus:
        arguments = (_reference(reference), _grace(timeout))
        answer = self._handle.ask_long(call, self._lib.kina_pod_stop, *arguments)
        return wire.from_json(PodStatus, answer)

    def delete(self, reference: str, force: bool, call: Call | None = None) -> None:
        self._handle.tell_long(call, self._lib.kina_pod_delete, _reference(reference), int(force))

    def get(self, reference: str) -> PodStatus:
        answer = self._handle.ask(self._lib.kina_pod_list, _reference(reference))
        return wire.from_json(PodList, answer).pods[0]

    def list(self) -> tuple[PodStatus, ...]:
        answer = self._handle.ask(self._lib.kina_pod_list, _reference(None))
        return wire.from_json(PodList, answer).pods


class _Networks(_Part):
    def create(self, spec: NetworkSpec, call: Call | None = None) -> NetworkStatus:
        answer = self._handle.ask_long(call, self._lib.kina_network_create, _document(spec))
        return wire.from_json(NetworkStatus, answer)

    def get(self, reference: str) -> NetworkStatus:
        answer = self._handle.ask(self._lib.kina_network_list, _reference(reference))
        return wire.from_json(NetworkList, answer).networks[0]

    def list(self) -> tuple[NetworkStatus, ...]:
        answer = self._handle.ask(self._lib.kina_network_list, _reference(None))
        return wire.from_json(NetworkList, answer).networks

    def delete(self, reference: str, call: Call | None = None) -> None:
        self._handle.tell_long(call, self._lib.kina_network_delete, _reference(reference))


class _Volumes(_Part):
    def create(self, spec: VolumeSpec, call: Call | None = None) -> VolumeStatus:
        answer = self._handle.ask_long(call, self._lib.kina_volume_create, _document(spec))
        return wire.from_json(VolumeStatus, answer)

    def get(self, reference: str) -> VolumeStatus:
        answer = self._handle.ask(self._lib.kina_volume_list, _reference(reference))
        return wire.from_json(VolumeList, answer).volumes[0]

    def list(self) -> tuple[VolumeStatus, ...]:
        answer = self._handle.ask(self._lib.kina_volume_list, _reference(None))
        return wire.from_json(VolumeList, answer).volumes

    def delete(self, reference: str, call: Call | None = None) -> None:
        self._handle.tell_long(call, self._lib.kina_volume_delete, _reference(reference))
