"""
The documents: Python reads and writes what Swift does, by the same golden files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from kina import config, requests, status, wire

DOCUMENTS = Path(__file__).parents[1] / "data/documents"
# Files that are named otherwise than the class.
NAMES = {"resources_spec": config.Resources}


def class_of(name: str) -> Any:
    base = name.removesuffix("_minimal")
    camel = "".join(map(str.capitalize, base.split("_")))
    for module in (config, status, requests):
        if hasattr(module, camel):
            return getattr(module, camel)
    return NAMES[base]


FILES = sorted(DOCUMENTS.glob("*.json"))


def test_there_are_golden_files() -> None:
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_golden_files_survive_python(file: Path) -> None:
    text = file.read_text()
    value = wire.from_json(class_of(file.stem), text)
    written, golden = json.loads(wire.to_json(value)), json.loads(text)
    if file.stem.endswith("_minimal"):
        # Python writes defaults out.
        assert golden.items() <= written.items()
    else:
        assert golden == written


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_newer_library_may_say_more(file: Path) -> None:
    kind = class_of(file.stem)
    document = json.loads(file.read_text())
    assert wire.from_json(kind, json.dumps(document)) == wire.from_json(
        kind, json.dumps(document | {"fromTheFuture": {"x": 1}})
    )


def test_a_newer_state_is_passed_on() -> None:
    document = json.loads((DOCUMENTS / "container_status.json").read_text())
    assert (
        wire.from_json(
            status.ContainerStatus, json.dumps(document | {"state": "hibernating"})
        ).state
    ) == "hibernating"


def test_every_field_is_in_its_golden_file() -> None:
    stems = {file.stem for file in FILES}
    for stem in stems:
        if stem.endswith("_minimal"):
            continue
        kind = class_of(stem)
        document = json.loads((DOCUMENTS / f"{stem}.json").read_text())
        names = {a.metadata.get("wire", wire.camel(a.name)) for a in attrs.fields(kind)}
        assert names == document.keys(), stem


def test_none_is_an_absent_field() -> None:
    assert wire.to_json(config.Resources(memory="1Mi")) == '{"memory":1048576}'
    assert wire.to_json(config.Resources()) == "{}"


def test_times_are_aware_and_keep_their_nanoseconds() -> None:
    ended = wire.from_json(
        status.ExitStatus, '{"exitCode":0,"reason":"exited","finishedAt":1000000000123456789}'
    )
    assert ended.finished_at_ns == 1000000000123456789
    assert ended.finished_at.isoformat() == "2001-09-09T01:46:40.123456+00:00"
