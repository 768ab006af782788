"""
What a careless C program passes: NULL, dead handles, text that is none, descriptors that are
closed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from support.library import Failure, Library, prototypes

# Every function that takes a runtime and answers a code.
FUNCTIONS = {
    name: arguments.split(", ")
    for name, arguments in prototypes().items()
    if arguments.startswith("kina_runtime_t *runtime,")
}
# What a document's place is filled with so that only the thing under test is wrong.
TEXT = b"nothing-of-that-name"
DOCUMENT = b"{}"


def arguments(library: Library, runtime: Any, declared: list[str], **changed: Any) -> list[Any]:
    """
    Make up arguments by the prototype's words; `changed` by parameter name.
    """
    null = library.ffi.NULL
    made = []
    for parameter in declared[1:]:
        kind, name = parameter.rsplit(maxsplit=1)
        name = name.lstrip("*")
        if name == "error":
            break
        if name in changed:
            made.append(changed[name])
        elif kind.startswith("const char"):
            documents = ("filter", "spec", "request", "resources", "options")
            made.append(DOCUMENT if name in documents else TEXT)
        elif kind.startswith("kina_statistics_t"):
            made.append(library.ffi.new("kina_statistics_t[1]"))
        elif "*" in parameter:
            made.append(null)
        else:
            made.append(-1 if name.endswith("fd") else 1)
    return [runtime, *made]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_null_runtime_is_an_invalid_argument(library: Library, function: str) -> None:
    made = arguments(library, library.ffi.NULL, FUNCTIONS[function])
    with pytest.raises(Failure) as caught:
        library.check(function, *made)
    assert caught.value.code == library.lib.KINA_INVALID_ARGUMENT
    assert "runtime" in caught.value.message


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_released_runtime_is_a_failed_precondition(
    library: Library, home: Path, function: str
) -> None:
    handle = library.open(home=str(home))
    library.lib.kina_runtime_release(handle)
    with pytest.raises(Failure) as caught:
        library.check(function, *arguments(library, handle, FUNCTIONS[function]))
    assert caught.value.code == library.lib.KINA_FAILED_PRECONDITION
    assert caught.value.hint


@pytest.mark.parametrize("number", [1, 2, 4096, 2**47, 2**64 - 1])
def test_an_invented_runtime_is_an_error_and_no_crash(library: Library, number: int) -> None:
    invented = library.ffi.cast("kina_runtime_t *", number)
    with pytest.raises(Failure) as caught:
        library.ask("kina_runtime_info", invented)
    assert caught.value.code == library.lib.KINA_FAILED_PRECONDITION


def test_a_call_is_not_taken_for_a_runtime(library: Library) -> None:
    call = library.lib.kina_call_create(-1, -1)
    with pytest.raises(Failure) as caught:
        library.ask("kina_runtime_info", library.ffi.cast("kina_runtime_t *", call))
    assert caught.value.code == library.lib.KINA_FAILED_PRECONDITION
    library.lib.kina_call_release(call)


def test_a_runtime_is_not_taken_for_a_call(library: Library, opened: Any) -> None:
    wrong = library.ffi.cast("kina_call_t *", opened)
    with pytest.raises(Failure) as caught:
        library.ask("kina_runtime_prune", opened, wrong, b"{}")
    assert caught.value.code == library.lib.KINA_FAILED_PRECONDITION
    assert "call" in caught.value.message
    library.lib.kina_call_cancel(wrong)
    library.lib.kina_call_release(wrong)
    assert library.ask("kina_runtime_info", opened)["backend"] == "oci"


def test_a_released_call_is_a_failed_precondition(library: Library, opened: Any) -> None:
    call = library.lib.kina_call_create(-1, -1)
    library.lib.kina_call_release(call)
    library.lib.kina_call_cancel(call)
    with pytest.raises(Failure) as caught:
        library.ask("kina_runtime_prune", opened, call, b"{}")
    assert caught.value.code == library.lib.KINA_FAILED_PRECONDITION


def test_releasing_null_or_twice_is_harmless(library: Library, home: Path) -> None:
    handle = library.open(home=str(home))
    for _ in range(2):
        library.lib.kina_runtime_release(handle)
    library.lib.kina_runtime_release(library.ffi.NULL)
    library.lib.kina_call_release(library.ffi.NULL)
    library.lib.kina_call_cancel(library.ffi.NULL)
    library.lib.kina_error_release(library.ffi.NULL)
    library.lib.kina_string_free(library.ffi.NULL)


STRINGS = [
    (function, parameter.split("*")[-1])
    for function, declared in FUNCTIONS.items()
    for parameter in declared
    if parameter.startswith("const char *")
]
# NULL stands for something there.
OPTIONAL = {
    ("kina_runtime_events", "filter"),
    ("kina_runtime_prune", "request"),
    ("kina_network_list", "reference"),
    ("kina_volume_list", "reference"),
    ("kina_pod_list", "reference"),
    ("kina_container_list", "filter"),
    ("kina_process_wait", "process"),
    ("kina_process_kill", "process"),
    ("kina_process_resize", "process"),
    ("kina_container_logs", "request"),
    ("kina_image_load", "request"),
}


@pytest.mark.parametrize(("function", "parameter"), STRINGS)
def test_text_that_is_not_utf8_is_an_invalid_argument(
    library: Library, opened: Any, function: str, parameter: str
) -> None:
    with open(os.devnull, "r+b") as null:
        made = arguments(
            library,
            opened,
            FUNCTIONS[function],
            **{parameter: b'{"\xff\xfe": 1}', "fd": null.fileno()},
        )
        with pytest.raises(Failure) as caught:
            library.check(function, *made)
    assert caught.value.code == library.lib.KINA_INVALID_ARGUMENT
    assert "UTF-8" in caught.value.message
    assert parameter in caught.value.message


@pytest.mark.parametrize(
    ("function", "parameter"), [pair for pair in STRINGS if pair not in OPTIONAL]
)
def test_null_text_is_an_invalid_argument(
    library: Library, opened: Any, function: str, parameter: str
) -> None:
    with open(os.devnull, "r+b") as null:
        made = arguments(
            library,
            opened,
            FUNCTIONS[function],
            **{parameter: library.ffi.NULL, "fd": null.fileno()},
        )
        with pytest.raises(Failure) as caught:
            library.check(function, *made)
    assert caught.value.code == library.lib.KINA_INVALID_ARGUMENT
    assert parameter in caught.value.message


@pytest.mark.parametrize("function", ["kina_runtime_events", "kina_image_load", "kina_image_save"])
@pytest.mark.parametrize("fd", [-1, -2, 1 << 20])
def test_a_descriptor_that_is_not_open_is_an_invalid_argument(
    library: Library, opened: Any, function: str, fd: int
) -> None:
    document = {"kina_image_save": b'{"references":["x"]}'}.get(function, b"{}")
    name = {"kina_runtime_events": "filter"}.get(function, "request")
    made = arguments(library, opened, FUNCTIONS[function], **{"fd": fd, name: document})
    with pytest.raises(Failure) as caught:
        library.check(function, *made)
    assert caught.value.code == library.lib.KINA_INVALID_ARGUMENT
    assert "fd" in caught.value.message


def test_a_call_with_a_closed_progress_descriptor_is_null(library: Library) -> None:
    assert library.lib.kina_call_create(-1, 1 << 20) == library.ffi.NULL


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{} {}",
        b'{"names": 1}',
        b'{"names": [1]}',
        b'{"states": ["walking"]}',
        b'{"labels": {"a": null}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda document: document[:24].decode(),
)
def test_a_document_that_is_not_one_is_an_invalid_argument(
    library: Library, opened: Any, document: bytes
) -> None:
    with pytest.raises(Failure) as caught:
        library.ask("kina_container_list", opened, document)
    assert caught.value.code == library.lib.KINA_INVALID_ARGUMENT
    assert "ContainerFilter" in caught.value.message or caught.value.details["field"]


@pytest.mark.parametrize(
    ("function", "document", "field"),
    [
        ("kina_container_create", {"image": "x", "memoryy": 1}, "memoryy"),
        ("kina_container_create", {"image": "x", "resources": {"memoryy": 1}}, "memoryy"),
        ("kina_container_create", {"image": "x", "mounts": [{"type": "bind", "x": 1}]}, "x"),
        ("kina_network_create", {"name": "n", "subnets": []}, "subnets"),
        ("kina_volume_create", {"size": 1}, "size"),
        ("kina_image_pull", {"reference": "x", "platforms": []}, "platforms"),
        ("kina_runtime_prune", {"everything": True}, "everything"),
    ],
)
def test_an_unknown_field_is_named(
    library: Library, opened: Any, function: str, document: Any, field: str
) -> None:
    with pytest.raises(Failure) as caught:
        library.ask(function, opened, library.ffi.NULL, json.dumps(document).encode())
    assert caught.value.code == library.lib.KINA_INVALID_ARGUMENT
    assert field in caught.value.message


def test_a_newer_schema_is_refused(library: Library, opened: Any) -> None:
    spec = json.dumps({"image": "x", "schema": 2}).encode()
    with pytest.raises(Failure) as caught:
        library.ask("kina_container_create", opened, library.ffi.NULL, spec)
    assert caught.value.code in (
        library.lib.KINA_INVALID_ARGUMENT,
        library.lib.KINA_UNIMPLEMENTED,
    )
    assert "schema" in caught.value.message


def test_a_pod_must_be_there(library: Library, opened: Any) -> None:
    spec = json.dumps({"image": "x", "pod": "nobody"}).encode()
    with pytest.raises(Failure) as caught:
        library.ask("kina_container_create", opened, library.ffi.NULL, spec)
    assert caught.value.code == library.lib.KINA_NOT_FOUND
    assert "pod 'nobody'" in caught.value.message


def test_results_that_are_not_wanted_may_be_null(library: Library, opened: Any) -> None:
    null = library.ffi.NULL
    assert library.lib.kina_container_list(opened, null, null, null) == library.lib.KINA_OK
    assert library.lib.kina_runtime_info(opened, null, null) == library.lib.KINA_OK
    missing = library.lib.kina_container_get(opened, b"nobody", null, null)
    assert missing == library.lib.KINA_NOT_FOUND


def test_an_out_parameter_is_left_alone_on_failure(library: Library, opened: Any) -> None:
    out, error = library.ffi.new("char **"), library.ffi.new("kina_error_t **")
    marker = library.ffi.new("char[]", b"mine")
    out[0] = marker
    code = library.lib.kina_container_get(opened, b"nobody", out, error)
    assert code == library.lib.KINA_NOT_FOUND
    assert out[0] == marker
    library.lib.kina_error_release(error[0])


def test_a_deadline_ends_a_call(library: Library, opened: Any) -> None:
    reader, writer = os.pipe()
    call = library.lib.kina_call_create(100, -1)
    before = time.monotonic()
    with pytest.raises(Failure) as caught:
        library.check("kina_runtime_events", opened, call, b"{}", writer)
    assert caught.value.code == library.lib.KINA_DEADLINE_EXCEEDED
    assert 0.09 <= time.monotonic() - before < 2
    library.lib.kina_call_release(call)
    os.close(reader)
    os.close(writer)


def test_cancelling_from_another_thread_ends_a_call(library: Library, opened: Any) -> None:
    reader, writer = os.pipe()
    call = library.lib.kina_call_create(-1, -1)
    timer = threading.Timer(0.1, library.lib.kina_call_cancel, [call])
    timer.start()
    with pytest.raises(Failure) as caught:
        library.check("kina_runtime_events", opened, call, b"{}", writer)
    assert caught.value.code == library.lib.KINA_CANCELLED
    timer.join()
    with pytest.raises(Failure) as caught:
        library.check("kina_runtime_events", opened, call, b"{}", writer)
    assert caught.value.code == library.lib.KINA_CANCELLED
    library.lib.kina_call_release(call)
    os.close(reader)
    os.close(writer)


def test_releasing_a_call_that_is_in_use_is_safe(library: Library, opened: Any) -> None:
    reader, writer = os.pipe()
    call = library.lib.kina_call_create(300, -1)
    timer = threading.Timer(0.05, library.lib.kina_call_release, [call])
    timer.start()
    with pytest.raises(Failure) as caught:
        library.check("kina_runtime_events", opened, call, b"{}", writer)
    assert caught.value.code == library.lib.KINA_DEADLINE_EXCEEDED
    timer.join()
    os.close(reader)
    os.close(writer)


def test_events_end_well_when_the_reader_is_gone(library: Library, opened: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    call = library.lib.kina_call_create(5000, -1)
    volume = json.dumps({"name": "for-an-event"}).encode()

    def make_an_event() -> None:
        library.ask("kina_volume_create", opened, library.ffi.NULL, volume)

    timer = threading.Timer(0.1, make_an_event)
    timer.start()
    library.check("kina_runtime_events", opened, call, b"{}", writer)
    timer.join()
    library.check("kina_volume_delete", opened, library.ffi.NULL, b"for-an-event")
    library.lib.kina_call_release(call)
    os.close(writer)


def test_many_threads_may_call_at_once(library: Library, opened: Any) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                name = f"thread-{number}-{turn}"
                spec = json.dumps({"name": name}).encode()
                library.ask("kina_volume_create", opened, library.ffi.NULL, spec)
                assert library.ask("kina_volume_list", opened, name.encode())["volumes"]
                library.check("kina_volume_delete", opened, library.ffi.NULL, name.encode())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert library.ask("kina_volume_list", opened, library.ffi.NULL)["volumes"] == []


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"home": "relative"}, "home"),
        ({"home": "/dev/null/home"}, "/dev/null"),
        ({"home": ""}, "home"),
        ({"homes": "/x"}, "homes"),
        ({"unpackLimit": "much"}, "unpackLimit"),
    ],
)
def test_bad_options_are_named(library: Library, options: Any, word: str) -> None:
    with pytest.raises(Failure) as caught:
        library.open(**options)
    assert word in caught.value.message
    assert caught.value.code != library.lib.KINA_INTERNAL


def test_a_missing_oci_runtime_is_unavailable_with_a_fix(library: Library, home: Path) -> None:
    with pytest.raises(Failure) as caught:
        library.open(home=str(home), ociRuntime="no-such-runtime")
    assert caught.value.code == library.lib.KINA_UNAVAILABLE
    assert "no-such-runtime" in caught.value.message
    assert "apt-get install" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("function", "document", "words"),
    [
        ("kina_container_list", {"states": ["runing"]}, ["states[0]", "'runing'", "'paused'"]),
        ("kina_container_create", {"image": "x", "pullPolicy": 5}, ["pullPolicy", "string"]),
        ("kina_image_save", {"references": ["x"], "format": "tar"}, ["format", "'docker'"]),
    ],
)
def test_a_word_that_is_none_of_those_there_are_is_told_which_there_are(
    library: Library, opened: Any, function: str, document: dict[str, Any], words: list[str]
) -> None:
    made = {name: json.dumps(document).encode() for name in ("filter", "spec", "request")}
    given = arguments(library, opened, FUNCTIONS[function], **made)
    with pytest.raises(Failure) as caught:
        library.check(function, *given)
    assert caught.value.code == library.lib.KINA_INVALID_ARGUMENT
    assert [word for word in words if word not in caught.value.message] == []
