"""
JSON at random into every function that reads some: an error that says what is wrong, never a crash.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.library import ROOT, Failure, Library
from support.scripts import environment

DOCUMENTS = ROOT / "tests/data/documents"


@pytest.fixture(scope="module")
def null() -> Iterator[int]:
    with open(os.devnull, "r+b") as file:
        yield file.fileno()


def golden(name: str) -> list[Any]:
    """
    Return the documents of one kind that both sides' tests read.
    """
    found = [json.loads(path.read_text()) for path in sorted(DOCUMENTS.glob(f"{name}*.json"))]
    assert found, f"no golden document {name}"
    return found


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=20),
    st.sampled_from(
        ["", "..", "/", "../..", "\0", "null", "a" * 5000, "🦊", "-1", "1e400", "{}", "\ud7ff"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """
    Return the paths of everything in a document.
    """
    found = [path]
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in items:
        found += places(value, (*path, key))
    return found


@st.composite
def mutations(draw: st.DrawFn, name: str) -> Any:
    """
    Take a good document and spoil it here and there.
    """
    document = copy.deepcopy(draw(st.sampled_from(golden(name))))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(document)))
        if not path:
            continue
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        act = draw(st.sampled_from(["replace", "remove", "rename", "swap"]))
        if act == "remove":
            del holder[path[-1]]
        elif act == "rename" and isinstance(holder, dict):
            holder[draw(st.text(max_size=12))] = holder.pop(path[-1])
        else:
            holder[path[-1]] = draw(values)
    return document


def encoded(document: Any) -> bytes:
    """
    Write what a C program could pass: NaN and lone surrogates too, and no zero byte.
    """
    return json.dumps(document).encode("utf-8", "surrogatepass").replace(b"\0", b"")


# Function: the kind of its document, its arguments, and whether it answers a document.
TARGETS: dict[str, tuple[str, str, bool]] = {
    "kina_runtime_doctor": ("runtime_options", "document", True),
    "kina_runtime_events": ("event_filter", "runtime call document fd", False),
    "kina_runtime_prune": ("prune_request", "runtime call document", True),
    "kina_image_pull": ("image_pull_request", "runtime call document", True),
    "kina_image_push": ("image_push_request", "runtime call document", False),
    "kina_image_load": ("image_load_request", "runtime call document fd", True),
    "kina_image_save": ("image_save_request", "runtime call document fd", False),
    "kina_image_import": ("image_import_request", "runtime call document fd", True),
    "kina_network_create": ("network_spec", "runtime call document", True),
    "kina_volume_create": ("volume_spec", "runtime call document", True),
    "kina_pod_create": ("pod_spec", "runtime call document", True),
    "kina_container_create": ("container_spec", "runtime call document", True),
    "kina_container_run": ("container_spec", "runtime call document fd fd fd", True),
    "kina_container_update": ("resources_spec", "runtime call name document", True),
    "kina_container_list": ("container_filter", "runtime document", True),
    "kina_container_logs": ("log_request", "runtime call name document fd fd", False),
}


def test_every_function_that_reads_a_document_is_tried() -> None:
    from support.library import prototypes

    words = ("options", "spec", "request", "filter", "resources")
    reading = {
        name
        for name, arguments in prototypes().items()
        if any(f"const char *{word}" in arguments for word in words)
    }
    # A process needs a container, serving a process of its own, and opening odd places: see below.
    elsewhere = {"kina_runtime_open", "kina_process_create", "kina_server_run"}
    assert reading - elsewhere == set(TARGETS)


def harmless(document: Any) -> Any:
    """
    Keep a mutant from doing what it should not even where it is well-formed: reaching registries,
    packing the host.
    """
    if isinstance(document, dict):
        document = dict(document)
        document.pop("directory", None)
        if "image" in document:
            document["pullPolicy"] = "never"
    return document


@pytest.mark.parametrize("function", TARGETS)
@pytest.mark.timeout(90, method="signal")
def test_no_document_is_our_fault(library: Library, opened: Any, null: int, function: str) -> None:
    kind, arguments, answers = TARGETS[function]
    fault = {library.lib.KINA_INTERNAL, library.lib.KINA_UNKNOWN}

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(mutations(kind), values))
    def fuzz(document: Any) -> None:
        call = library.lib.kina_call_create(40, -1)
        try:
            known = {"runtime": opened, "call": call, "fd": null, "name": b"none"}
            known["document"] = encoded(harmless(document))
            passed = [known[word] for word in arguments.split()]
            (library.ask if answers else library.check)(function, *passed)
        except Failure as failure:
            assert failure.code not in fault, f"{function}: {failure}"
            if failure.code == library.lib.KINA_INVALID_ARGUMENT:
                assert failure.details
        finally:
            library.lib.kina_call_release(call)

    fuzz()
    # What was well-formed after all has made something.
    for pod in library.ask("kina_pod_list", opened, library.ffi.NULL)["pods"]:
        library.check("kina_pod_delete", opened, library.ffi.NULL, pod["id"].encode(), 1)
    for volume in library.ask("kina_volume_list", opened, library.ffi.NULL)["volumes"]:
        library.check("kina_volume_delete", opened, library.ffi.NULL, volume["id"].encode())
    for network in library.ask("kina_network_list", opened, library.ffi.NULL)["networks"]:
        library.check("kina_network_delete", opened, library.ffi.NULL, network["id"].encode())


@pytest.fixture(scope="module")
def container(library: Library, opened: Any, rootfs: Path) -> Iterator[bytes]:
    """
    The id of a container that runs.
    """
    null = library.ffi.NULL
    image = {"reference": "localhost/kina/fuzz:1", "directory": str(rootfs)}
    library.ask("kina_image_import", opened, null, json.dumps(image).encode(), -1)
    spec = {
        "image": image["reference"],
        "command": ["sleep", "inf"],
        "env": {"PATH": "/bin"},
        "sandbox": {"namespaces": {"network": "none"}},
    }
    made = library.ask("kina_container_create", opened, null, json.dumps(spec).encode())
    identifier: bytes = made["id"].encode()
    try:
        library.check("kina_container_start", opened, null, identifier, null)
        yield identifier
    finally:
        library.check("kina_container_delete", opened, null, identifier, 1)
        library.check("kina_image_delete", opened, null, image["reference"].encode(), 1)


@pytest.mark.timeout(120, method="signal")
def test_no_process_is_our_fault(
    library: Library, opened: Any, container: bytes, null: int
) -> None:
    fault = {library.lib.KINA_INTERNAL, library.lib.KINA_UNKNOWN}
    started = 0

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @example({"args": ["true"]}, -1)
    @given(st.one_of(mutations("process_spec"), values), st.sampled_from([-1, 2000, 30]))
    def fuzz(document: Any, timeout: int) -> None:
        nonlocal started
        call = library.lib.kina_call_create(timeout, -1)
        process = library.ffi.new("char **")
        try:
            given = (opened, call, container, encoded(document), null, null, null, process)
            library.check("kina_process_create", *given)
            library.check("kina_process_delete", opened, container, process[0])
            started += 1
        except Failure as failure:
            assert failure.code not in fault, failure
            if failure.code == library.lib.KINA_INVALID_ARGUMENT:
                assert failure.details
        finally:
            library.lib.kina_string_free(process[0])
            library.lib.kina_call_release(call)

    fuzz()
    assert started, "none of them was well-formed after all"
    status = library.ask("kina_container_get", opened, container)
    assert status["state"] == "running"


SERVER = """
import json, os, sys
from support.library import Failure, Library, library_path
library = Library(library_path())
stop, other = os.pipe()
os.close(other)  # readable, so it serves for no time at all
for line in sys.stdin.buffer:
    reader, ready = os.pipe()
    said = {"code": 0, "message": "", "details": {}}
    try:
        library.check("kina_server_run", line.rstrip(), ready, stop)
    except Failure as failure:
        said = {"code": failure.code, "message": failure.message, "details": failure.details}
    with os.fdopen(reader, "rb") as told:
        said["told"] = told.read().decode()
    print(json.dumps(said), flush=True)
"""


@pytest.mark.root
@pytest.mark.timeout(120, method="signal")
def test_no_options_of_a_server_are_our_fault(library: Library, tmp_path: Path) -> None:
    fault = {library.lib.KINA_INTERNAL, library.lib.KINA_UNKNOWN}
    served = 0
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        into, out = server.stdin, server.stdout

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.one_of(mutations("runtime_options"), values))
        def fuzz(document: Any) -> None:
            nonlocal served
            if isinstance(document, dict):
                home = document.get("home")
                if not isinstance(home, str) or home.startswith("/"):
                    document = {**document, "home": str(tmp_path / "home")}
            into.write(encoded(document) + b"\n")
            into.flush()
            said = json.loads(out.readline())
            assert said["code"] not in fault, said
            if said["code"] == library.lib.KINA_INVALID_ARGUMENT:
                assert said["details"], said
            # Whoever started it is told the same.
            told = json.loads(said["told"])
            if said["code"]:
                assert told["code"] == said["code"]
                assert told["message"] == said["message"]
            else:
                assert told == {}
                served += 1

        fuzz()
        assert served, "none of them was well-formed after all"
        into.close()


@pytest.mark.timeout(60, method="signal")
def test_no_bytes_are_our_fault(library: Library, opened: Any, tmp_path: Path) -> None:
    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.one_of(
            st.binary(max_size=200),
            st.text(max_size=100).map(lambda t: t.encode("utf-8", "surrogatepass")),
        )
    )
    def fuzz(data: bytes) -> None:
        data = data.replace(b"\0", b" ")
        for function in ("kina_container_create", "kina_network_create"):
            with pytest.raises(Failure) as caught:
                library.ask(function, opened, library.ffi.NULL, data)
            assert caught.value.code == library.lib.KINA_INVALID_ARGUMENT

    fuzz()


@pytest.mark.parametrize("place", ["home", "ociRuntime", "libexec"])
def test_odd_options_open_nothing_and_crash_nothing(
    library: Library, tmp_path: Path, place: str
) -> None:
    for odd in (
        "",
        "\0",
        "/\0/x",
        ".",
        "..",
        "\u0001",
        "x" * 5000,
        "/dev/null/x",
        "/proc/1/mem",
        f"{tmp_path}/ü \n 文",
    ):
        options = {"home": str(tmp_path / "home"), place: odd}
        try:
            library.lib.kina_runtime_release(library.open(**options))
        except Failure as failure:
            assert failure.code not in (library.lib.KINA_INTERNAL, library.lib.KINA_UNKNOWN), (
                failure
            )
