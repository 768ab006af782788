"""
Loads the compiled module and says what is in it.
"""

from __future__ import annotations

import functools
import importlib
import json
from typing import Any, NewType, Protocol, cast

from kina.errors import InvalidArgumentError, KinaError, RuntimeUnavailableError, error_for

__all__ = [
    "FFI",
    "CData",
    "CallPointer",
    "Library",
    "RuntimePointer",
    "encode",
    "error_of",
    "load",
    "statistics_size",
]

ABI_MAJOR = 1

CData = NewType("CData", object)
"""Something that cffi owns: a pointer, or room for one."""
RuntimePointer = NewType("RuntimePointer", object)
CallPointer = NewType("CallPointer", object)


class FFI(Protocol):
    """
    The part of cffi's object that is used.
    """

    NULL: CData

    def new(self, kind: str) -> Any: ...
    def string(self, text: Any) -> bytes: ...
    def sizeof(self, kind: str) -> int: ...
    def from_buffer(self, kind: str, buffer: Any, require_writable: bool) -> CData: ...


class Function(Protocol):
    """
    A function of the library that answers a code and takes where an error goes last.
    """

    def __call__(self, *arguments: Any) -> int: ...


class Library(Protocol):
    """
    libkina, as `kina.h` declares it.
    """

    KINA_ABI_VERSION: int
    kina_runtime_open: Function
    kina_runtime_doctor: Function
    kina_runtime_info: Function
    kina_runtime_events: Function
    kina_runtime_prune: Function
    kina_image_pull: Function
    kina_image_push: Function
    kina_image_load: Function
    kina_image_save: Function
    kina_image_import: Function
    kina_image_tag: Function
    kina_image_get: Function
    kina_image_list: Function
    kina_image_delete: Function
    kina_network_create: Function
    kina_network_list: Function
    kina_network_delete: Function
    kina_volume_create: Function
    kina_volume_list: Function
    kina_volume_delete: Function
    kina_pod_create: Function
    kina_pod_start: Function
    kina_pod_stop: Function
    kina_pod_delete: Function
    kina_pod_list: Function
    kina_container_create: Function
    kina_container_start: Function
    kina_container_stop: Function
    kina_container_pause: Function
    kina_container_resume: Function
    kina_container_update: Function
    kina_container_delete: Function
    kina_container_get: Function
    kina_container_list: Function
    kina_container_run: Function
    kina_container_logs: Function
    kina_container_attach: Function
    kina_container_copy_in: Function
    kina_container_copy_out: Function
    kina_container_statistics: Function
    kina_process_create: Function
    kina_process_wait: Function
    kina_process_kill: Function
    kina_process_resize: Function
    kina_process_delete: Function

    def kina_abi_version(self) -> int: ...
    def kina_string_free(self, text: CData) -> None: ...
    def kina_error_release(self, error: CData) -> None: ...
    def kina_call_create(self, timeout_ms: int, progress_fd: int) -> CallPointer: ...
    def kina_call_cancel(self, call: CallPointer) -> None: ...
    def kina_call_release(self, call: CallPointer) -> None: ...
    def kina_runtime_release(self, runtime: RuntimePointer) -> None: ...


@functools.cache
def load() -> tuple[FFI, Library]:
    """
    Load libkina through the compiled module, once.

    Raises:
        RuntimeUnavailableError: It was not built, can't be loaded, or is of another major version.
    """
    try:
        module = importlib.import_module("kina._kina")
    except ImportError as failure:
        missing = isinstance(failure, ModuleNotFoundError) and failure.name == "kina._kina"
        raise RuntimeUnavailableError(
            "kina's native part was not built"
            if missing
            else f"libkina can't be loaded: {failure}",
            hint="install kina from a wheel, or run 'make build' in its source directory",
        ) from failure
    library = cast(Library, module.lib)
    found = library.kina_abi_version()
    if found // 1000 != ABI_MAJOR or found < library.KINA_ABI_VERSION:
        raise RuntimeUnavailableError(
            f"libkina speaks version {found} of its interface, this Python package"
            f" {library.KINA_ABI_VERSION}",
            hint="reinstall kina: its Python and native parts are from different versions",
        )
    return cast(FFI, module.ffi), library


def statistics_size() -> int:
    """
    Return the bytes of one kina_statistics_t.
    """
    return load()[0].sizeof("kina_statistics_t")


def encode(text: str | None, what: str) -> Any:
    """
    Make a C string of text; NULL of None.

    Raises:
        InvalidArgumentError: C can't carry it.
    """
    if text is None:
        return load()[0].NULL
    if not isinstance(text, str):
        raise InvalidArgumentError.at(what, text, "must be a string")
    if "\0" in text:
        raise InvalidArgumentError.at(what, text, "must not contain a NUL character")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError.at(what, text, "must be valid Unicode text") from None


def error_of(code: int, pointer: Any) -> KinaError:
    """
    Make an exception of a code and a kina_error_t, and release the latter.
    """
    ffi, library = load()
    if pointer == ffi.NULL:
        return error_for(code, f"libkina answered code {code} without a message")
    try:

        def text(field: Any) -> str | None:
            return None if field == ffi.NULL else ffi.string(field).decode(errors="replace")

        details = json.loads(text(pointer.details) or "{}")
        return error_for(
            code,
            text(pointer.message) or "",
            text(pointer.hint),
            {str(key): str(value) for key, value in details.items()},
        )
    finally:
        library.kina_error_release(pointer)
