from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kina.apply import documents
from kina.errors import InvalidArgumentError, NotFoundError, UnavailableError
from kina.waiting import parse_goal

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"
TWO = '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "two"}}'


def names(source: Any) -> list[str]:
    return [f"{document.origin} {document.name}" for document in documents(source)]


def test_text_files_directories_and_objects_are_read(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(f"{ONE}---\n---\n{ONE.replace('one', 'more')}")
    (tmp_path / "a.json").write_text(TWO)
    (tmp_path / "notes.txt").write_text("not read")
    assert names(tmp_path) == [
        f"{tmp_path}/a.json two",
        f"{tmp_path}/b.yaml[0] one",
        f"{tmp_path}/b.yaml[2] more",
    ]
    assert names(ONE) == ["text one"]
    assert names(TWO) == ["text two"]
    assert names({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}) == ["object p"]
    assert names([ONE, tmp_path / "a.json"]) == ["[0] one", f"{tmp_path}/a.json two"]


def test_lists_are_their_items() -> None:
    item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    assert names({"apiVersion": "v1", "kind": "List", "items": [item]}) == ["object.items[0] p"]


def test_all_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [\n")
    (tmp_path / "b.yaml").write_text("apiversion: v1\nkind: Pod\nmetadata: {}\n---\njust text\n")
    with pytest.raises(InvalidArgumentError) as caught:
        documents(tmp_path)
    assert [problem.field for problem in caught.value.problems] == [
        f"{tmp_path}/a.yaml",
        f"{tmp_path}/b.yaml[0].apiVersion",
        f"{tmp_path}/b.yaml[0].metadata.name",
        f"{tmp_path}/b.yaml[1]",
    ]
    assert caught.value.problems[1].hint == "is 'apiversion' meant to be it?"


def test_a_missing_file_and_an_empty_directory_are_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        documents(tmp_path / "missing.yaml")
    with pytest.raises(InvalidArgumentError, match="has no file that ends in"):
        documents(tmp_path)


@pytest.mark.parametrize("source", [3, None, b"bytes", [3]])
def test_what_is_no_source_is_refused(source: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="can't be applied"):
        documents(source)


def test_namespaces_and_definitions_come_first_and_webhooks_last() -> None:
    kinds = ["APIService", "Shop", "Service", "CustomResourceDefinition", "Deployment", "Namespace"]
    listed = documents(
        [{"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}} for kind in kinds]
    )
    ordered = [document.kind for document in sorted(listed, key=lambda item: item.rank)]
    assert ordered == [
        "Namespace",
        "CustomResourceDefinition",
        "Service",
        "Shop",
        "Deployment",
        "APIService",
    ]


class Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/one.yaml"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(ONE.encode() if found else b"")

    def log_message(self, *arguments: object) -> None:  # noqa: ARG002
        return


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as files:
        thread = threading.Thread(target=files.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{files.server_port}"
        files.shutdown()
        thread.join()


def test_addresses_are_fetched(server: str) -> None:
    assert names(f"{server}/one.yaml") == [f"{server}/one.yaml one"]
    with pytest.raises(NotFoundError, match="HTTP 404"):
        documents(f"{server}/two.yaml")
    with pytest.raises(UnavailableError):
        documents("http://127.0.0.1:1/one.yaml")


def deployment(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}


DONE = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}


@pytest.mark.parametrize(
    ("goal", "kind", "item", "expected"),
    [
        (None, "Deployment", deployment(**DONE), True),
        (None, "Deployment", deployment(**{**DONE, "observedGeneration": 1}), False),
        (None, "Deployment", deployment(**{**DONE, "readyReplicas": 1}), False),
        (None, "Deployment", deployment(**{**DONE, "replicas": 3}), False),
        (None, "Deployment", None, False),
        ("delete", "Pod", None, True),
        ("delete", "Pod", deployment(), False),
        ("exists", "Pod", deployment(), True),
        (None, "ConfigMap", {"metadata": {}}, True),
        (
            "available",
            "Deployment",
            deployment(conditions=[{"type": "Available", "status": "True"}], observedGeneration=2),
            True,
        ),
        (
            "condition=Progressing=False",
            "Deployment",
            deployment(conditions=[{"type": "Progressing", "status": "False"}]),
            True,
        ),
        (None, "Job", {"metadata": {}, "status": {}}, False),
        (None, "PersistentVolumeClaim", {"metadata": {}, "status": {"phase": "Bound"}}, True),
        ("jsonpath={.status.phase}=Running", "Pod", {"status": {"phase": "Running"}}, True),
        ("jsonpath={.status.phase}", "Pod", {"status": {}}, False),
        (
            None,
            "DaemonSet",
            {
                "metadata": {"generation": 1},
                "status": {
                    "observedGeneration": 1,
                    "desiredNumberScheduled": 2,
                    "updatedNumberScheduled": 2,
                    "numberReady": 1,
                },
            },
            False,
        ),
    ],
)
def test_goals(goal: str | None, kind: str, item: dict[str, Any] | None, expected: bool) -> None:
    assert parse_goal(goal, kind).reached(item) is expected


@pytest.mark.parametrize("goal", ["availabel", "condition=", "jsonpath={.items[0]}=1"])
def test_what_can_not_be_waited_for_is_refused(goal: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_goal(goal, "Pod")
