from __future__ import annotations

import fcntl
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from kina import kubeconfig
from kina.errors import DeadlineExceededError, InvalidStateError
from support.kubeconfigs import config, merge_and_remove

FOREIGN = """\
apiVersion: v1
kind: Config
preferences: {colors: true}
x-unknown: [1, 0x1F, yes, 2001-01-01, "007", ~]
clusters:
- name: prod
  cluster:
    server: https://prod.example:6443
    extensions:
    - name: minikube.sigs.k8s.io
      extension: {last-update: 2024-05-01T00:00:00Z, version: 1.10}
users:
- {name: prod, user: {exec: {command: aws, args: [a, 'no']}}}
contexts:
- {name: prod, context: {cluster: prod, user: prod, namespace: on}}
current-context: prod
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_entries_are_the_clusters_own(file: Path) -> None:
    assert kubeconfig.merge(config()) == file
    read = load(file)
    assert read == config()
    assert read["clusters"][0] == {
        "name": "kina-dev",
        "cluster": {"server": "https://10.1.2.3:6443", "certificate-authority-data": "Q0E="},
    }
    assert read["current-context"] == "kina-dev"


def test_the_file_is_private_and_nothing_lies_beside_it(file: Path) -> None:
    kubeconfig.merge(config())
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(file.parent) == ["config"]


def test_what_is_the_users_keeps_its_spelling(file: Path) -> None:
    file.write_text(FOREIGN)
    file.chmod(0o644)
    kubeconfig.merge(config())
    text = file.read_text()
    for spelling in ("0x1F", "yes", "2001-01-01", '"007"', "~", "1.10", "'no'", "namespace: on"):
        assert spelling in text
    assert load(file)["contexts"][0]["name"] == "prod"
    assert file.stat().st_mode & 0o777 == 0o600
    kubeconfig.remove("dev")
    assert load(file) == {**yaml.safe_load(FOREIGN), "current-context": ""}


def test_merging_again_replaces_and_removing_again_does_nothing(file: Path) -> None:
    file.write_text(FOREIGN)
    kubeconfig.merge(config())
    kubeconfig.merge(config(), use=False)
    assert [entry["name"] for entry in load(file)["users"]] == ["prod", "kina-dev"]
    assert kubeconfig.remove("dev") == [file]
    before = file.read_bytes()
    assert kubeconfig.remove("dev") == []
    assert file.read_bytes() == before


def test_a_removal_leaves_another_current_context_alone(file: Path) -> None:
    file.write_text(FOREIGN)
    kubeconfig.merge(config(), use=False)
    kubeconfig.remove("dev")
    assert load(file) == yaml.safe_load(FOREIGN)


def test_a_list_of_files_is_used_as_kubectl_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, (first, second, third))))
    assert kubeconfig.merge(config()) == third  # none is there: the last
    first.write_text(FOREIGN)
    assert kubeconfig.merge(config("other")) == first  # the first that is
    kubeconfig.merge(config("dev"))
    assert kubeconfig.remove("dev") == [first, third]
    assert not second.exists()


def test_the_usual_place_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kubeconfig.merge(config()) == tmp_path / ".kube/config"
    assert (tmp_path / ".kube").stat().st_mode & 0o777 == 0o700


def test_a_link_stays_a_link(file: Path) -> None:
    real = file.parent / "real"
    real.write_text(FOREIGN)
    file.symlink_to(real)
    kubeconfig.merge(config())
    assert file.is_symlink()
    assert len(load(real)["clusters"]) == 2


@pytest.mark.parametrize(
    "text", ["a: [", "- a list\n", "clusters: {a: b}\n", "users: 3\n", "\x00", "just text"]
)
def test_a_broken_file_is_left_alone(file: Path, text: str) -> None:
    file.write_text(text)
    for action in (lambda: kubeconfig.check(), lambda: kubeconfig.merge(config())):
        with pytest.raises(InvalidStateError, match="is broken, and was left as it is"):
            action()
    assert file.read_text() == text
    assert os.listdir(file.parent) == ["config"]


@pytest.mark.parametrize("text", ["", "# a comment only\n", "clusters: null\n", "clusters: []\n"])
def test_an_empty_file_is_filled(file: Path, text: str) -> None:
    file.write_text(text)
    kubeconfig.merge(config())
    assert [entry["name"] for entry in load(file)["clusters"]] == ["kina-dev"]


def test_another_programs_lock_is_respected(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig, "LOCK_SECONDS", 0.2)
    lock = Path(f"{file}.lock")
    lock.touch()  # as kubectl makes it
    with pytest.raises(DeadlineExceededError, match="has locked the kubeconfig"):
        kubeconfig.merge(config())
    assert lock.exists()
    assert not file.exists()
    assert os.listdir(file.parent) == ["config.lock"]


def test_a_lock_whose_maker_was_killed_is_taken_away(file: Path) -> None:
    Path(f"{file}.lock").write_bytes(b"kina\n")  # nobody holds it
    kubeconfig.merge(config())
    assert os.listdir(file.parent) == ["config"]


def test_a_lock_of_ours_that_is_held_is_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeconfig, "LOCK_SECONDS", 0.2)
    lock = Path(f"{file}.lock")
    lock.write_bytes(b"kina\n")
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DeadlineExceededError):
            kubeconfig.merge(config())
    assert lock.exists()


def test_threads_and_processes_lose_nothing(file: Path) -> None:
    file.write_text(FOREIGN)
    context = multiprocessing.get_context("spawn")
    workers: list[Any] = [
        context.Process(target=merge_and_remove, args=(str(file), number)) for number in (0, 1)
    ]
    workers += [
        threading.Thread(target=merge_and_remove, args=(str(file), number)) for number in (2, 3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers[:2]] == [0, 0]
    read = load(file)
    expected = {"prod", "kina-c0", "kina-c1", "kina-c2", "kina-c3"}
    for kind in ("clusters", "users", "contexts"):
        assert {entry["name"] for entry in read[kind]} == expected
    assert os.listdir(file.parent) == ["config"]
