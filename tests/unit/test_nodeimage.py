from __future__ import annotations

import json
import tarfile
import threading
from pathlib import Path

import pytest

import kina
from kina.calls import Call
from kina.nodeimage.cache import Cache, digest_of, digest_of_tree
from kina.nodeimage.debian import Sources
from kina.nodeimage.kubernetes import Version, check_version, find_programs, unpack_release
from kina.nodeimage.layers import Layer, LayeredImage, write_archive

DEB822 = """\
# the mirror
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
# bookworm-backports
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://vendor.example/apt
Suites: bookworm
Components: main

Types: deb
URIs: http://other.example/debian
Suites: bookworm
Components: main
Enabled: no
"""
ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg]  http://mirror.example/debian/ trixie main non-free # ours
deb-src http://mirror.example/debian trixie main
deb http://mirror.example/debian-security trixie-security main
"""


def etc(root: Path, codename: str, name: str, text: str) -> Path:
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    (root / "etc/os-release").write_text(f"ID=debian\nVERSION_CODENAME={codename}\n")
    (root / "etc/apt/sources.list.d" / name).write_text(text)
    return root


def test_sources_in_the_newer_form_are_the_hosts_mirrors(tmp_path: Path) -> None:
    found = Sources.of_host(etc(tmp_path, "bookworm", "debian.sources", DEB822))
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert found.entries == (
        f"{key} http://mirror.example/debian bookworm main",
        f"{key} http://mirror.example/debian bookworm-updates main",
        "http://mirror.example/debian-security bookworm-security main",
    )
    assert found.suites == ("bookworm", "bookworm-security", "bookworm-updates")


def test_sources_of_another_release_lead_to_ours(tmp_path: Path) -> None:
    found = Sources.of_host(etc(tmp_path, "trixie", "debian.list", ONE_LINE))
    assert found.entries == (
        "[arch=amd64 signed-by=/k.gpg] http://mirror.example/debian/ bookworm main",
        "http://mirror.example/debian-security bookworm-security main",
    )
    assert found.lines(("deb", "deb-src")).splitlines()[1].startswith("deb-src [arch=amd64")


def test_a_host_without_debians_sources_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(kina.UnavailableError, match=r"sources\.list\.d"):
        Sources.of_host(
            etc(tmp_path, "bookworm", "vendor.list", "deb http://v.example/x bookworm main\n")
        )


def test_builds_of_the_same_at_the_same_time_are_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    made: list[Path] = []
    met = threading.Barrier(4)
    found: list[Path] = []

    def make(place: Path) -> None:
        made.append(place)
        (place / "result").write_text("done")

    def build() -> None:
        met.wait()
        found.append(cache.get("thing", {"a": 1}, make, Call()))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert {path.name for path in found} == {f"thing-{digest_of({'a': 1})}"}
    assert json.loads((found[0] / "inputs.json").read_text()) == {"a": 1}


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(place: Path) -> None:
        (place / "half").write_text("")
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        cache.get("thing", {}, fail, Call())
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert cache.get("thing", {}, lambda place: None, Call()).is_dir()


def test_what_a_killed_build_has_left_is_not_taken_for_a_result(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    unfinished = cache.path("thing", {}).with_name(cache.path("thing", {}).name + ".unfinished")
    unfinished.mkdir()
    (unfinished / "half").write_text("")
    result = cache.get("thing", {}, lambda place: None, Call())
    assert [path.name for path in result.iterdir()] == ["inputs.json"]


def test_waiting_for_another_build_ends_with_the_call(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with (
        cache.locked("thing", Call()),
        pytest.raises(kina.DeadlineExceededError),
        cache.locked("thing", Call(0.1)),
    ):
        pass


def test_a_tree_is_known_by_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = digest_of_tree(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest_of_tree(tmp_path) != first


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.20.2", "v1.20.2"), ("v1.36.0-rc.1", "v1.36.0-rc.1"), ("v1.30.1+debian", "v1.30.1+debian")],
)
def test_versions_are_read(text: str, expected: str) -> None:
    assert str(Version.parse(text)) == expected


def test_another_version_than_asked_for_is_an_error() -> None:
    with pytest.raises(kina.InvalidArgumentError, match=r"kubernetes_version '1.21.0'.*v1\.20\.2"):
        check_version(Version.parse("1.20.2"), "1.21.0")


def test_missing_programs_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "kubelet").write_text("")
    with pytest.raises(
        kina.InvalidArgumentError, match=r"kubeadm, kubectl, kube-apiserver, .*kube-proxy"
    ):
        find_programs(tmp_path)


def test_no_archive_of_a_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "release.tar.gz").write_bytes(b"no tar")
    with pytest.raises(kina.InvalidArgumentError, match="can't be read as a release's archive"):
        unpack_release(tmp_path / "release.tar.gz", tmp_path)


def test_an_archive_has_links_libraries_and_each_layer_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("usr/sbin", "etc/alternatives"):
        (root / name).mkdir(parents=True)
    (root / "sbin").symlink_to("usr/sbin")
    (root / "usr/sbin/tool-nft").write_text("binary")
    (root / "usr/sbin/tool-nft").chmod(0o755)
    (root / "etc/alternatives/tool").symlink_to("/usr/sbin/tool-nft")
    (root / "usr/sbin/tool").symlink_to("/etc/alternatives/tool")
    shared = Layer(root, ("/sbin/tool",))
    own = Layer(root, files={"bin/other": root / "usr/sbin/tool-nft"})
    images = [
        LayeredImage("one:1", (shared,), ("/bin/one",)),
        LayeredImage("two:1", (shared, own)),
    ]
    write_archive(images, "amd64", tmp_path / "images.tar")
    with tarfile.open(tmp_path / "images.tar") as tar:
        manifest = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
        assert [entry["RepoTags"] for entry in manifest] == [["one:1"], ["two:1"]]
        assert manifest[0]["Layers"] == manifest[1]["Layers"][:1]
        assert sum(member.name.endswith("layer.tar") for member in tar) == 2
        config = json.loads(tar.extractfile(manifest[0]["Config"]).read())  # type: ignore[union-attr]
        assert config["config"]["Entrypoint"] == ["/bin/one"]
        with tarfile.open(fileobj=tar.extractfile(manifest[0]["Layers"][0])) as layer:
            links = {member.name: member.linkname for member in layer if member.issym()}
            assert links["usr/sbin/tool"] == "/etc/alternatives/tool"
            assert links["etc/alternatives/tool"] == "/usr/sbin/tool-nft"
            assert links["sbin"] == "usr/sbin"
            assert layer.getmember("usr/sbin/tool-nft").mode == 0o755
