"""
libkina through its C interface and nothing else: what a program in another language would do.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

import cffi

ROOT = Path(__file__).parent.parent.parent
HEADER = ROOT / "swift/Sources/CKina/include/kina.h"


def library_path() -> Path:
    """
    Return the libkina that `import kina` loads; $KINA_TEST_LIBRARY names another one.
    """
    chosen = os.environ.get("KINA_TEST_LIBRARY")
    if chosen:
        return Path(chosen)
    # Beside the extension, which an editable install keeps apart from the Python files.
    found = importlib.util.find_spec("kina._kina")
    if found is None or found.origin is None:
        raise RuntimeError("kina is not installed: run `make build`")
    return Path(found.origin).parent / "libkina.so"


def declarations() -> str:
    """
    Return the part of kina.h that cffi reads.
    """
    text = HEADER.read_text()
    marked = re.search(r"/\* cdef: begin \*/(.*)/\* cdef: end \*/", text, re.DOTALL)
    assert marked is not None
    return marked[1]


def prototypes() -> dict[str, str]:
    """
    Return the header's functions: name to prototype.
    """
    without_comments = re.sub(r"/\*.*?\*/", "", declarations(), flags=re.DOTALL)
    found = re.findall(
        r"^[a-z_0-9]+ \*?(kina_\w+)\((.*?)\);", without_comments, re.MULTILINE | re.DOTALL
    )
    return {name: re.sub(r"\s+", " ", arguments) for name, arguments in found}


class Failure(Exception):
    """
    A code other than KINA_OK, with what came along.
    """

    def __init__(self, code: int, message: str, hint: str | None, details: dict[str, str]) -> None:
        super().__init__(f"{code}: {message} ({hint})")
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details


class Library:
    """
    The library, and a few words less to write for each call.
    """

    def __init__(self, path: Path) -> None:
        self.ffi = cffi.FFI()
        self.ffi.cdef(declarations())
        self.lib: Any = self.ffi.dlopen(str(path))
        self.path = path

    def check(self, function: str, *arguments: Any) -> None:
        """
        Call a function whose last parameter is the error; raise `Failure` for anything but KINA_OK.
        """
        error = self.ffi.new("kina_error_t **")
        code = getattr(self.lib, function)(*arguments, error)
        if code == self.lib.KINA_OK:
            assert error[0] == self.ffi.NULL, f"{function} is OK and has an error"
            return
        raise self.failure(function, code, error[0])

    def failure(self, function: str, code: int, error: Any) -> Failure:
        """
        Read and release an error, which must be complete.
        """
        assert error != self.ffi.NULL, f"{function} answered {code} without an error"
        try:
            assert error.code == code
            assert error.message != self.ffi.NULL
            hint, details = self.text(error.hint), self.text(error.details)
            message = self.text(error.message)
            assert message
            return Failure(code, message, hint, json.loads(details) if details else {})
        finally:
            self.lib.kina_error_release(error)

    def text(self, pointer: Any) -> str | None:
        return None if pointer == self.ffi.NULL else self.ffi.string(pointer).decode()

    def ask(self, function: str, *arguments: Any) -> Any:
        """
        Call a function that answers a document.
        """
        out = self.ffi.new("char **")
        self.check(function, *arguments, out)
        text = self.text(out[0])
        self.lib.kina_string_free(out[0])
        assert text is not None
        return json.loads(text)

    def open(self, **options: Any) -> Any:
        """
        Open a runtime, in this process unless the options say otherwise, and return its handle.
        """
        options.setdefault("backend", "oci")
        handle = self.ffi.new("kina_runtime_t **")
        self.check("kina_runtime_open", json.dumps(options).encode(), handle)
        return handle[0]
