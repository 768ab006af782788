"""
Builds `kina._kina`, the cffi module over libkina, from the header that is the contract.
"""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

HEADER = Path(__file__).parent.parent / "swift/Sources/CKina/include/kina.h"


def read_cdef(header: Path) -> str:
    """
    Return the part of the header that cffi can read.
    """
    marked = re.search(
        r"/\* cdef: begin \*/(.*)/\* cdef: end \*/", header.read_text(encoding="utf-8"), re.DOTALL
    )
    if marked is None:
        raise ValueError(f"{header} has no region between 'cdef: begin' and 'cdef: end'")
    return marked[1]


def make_ffi(include_dir: str | None = None, library_dir: str | None = None) -> FFI:
    """
    Describe the extension: API mode, against libkina in `library_dir`, found at run time beside the
    extension.
    """
    include = Path(include_dir) if include_dir else HEADER.parent
    ffibuilder = FFI()
    ffibuilder.cdef(read_cdef(include / "kina.h"))
    ffibuilder.set_source(
        "kina._kina",
        '#include "kina.h"',
        libraries=["kina"],
        include_dirs=[str(include)],
        library_dirs=[library_dir] if library_dir else [],
        py_limited_api=True,
    )
    return ffibuilder
