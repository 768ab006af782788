"""
Bad values: the right class, the field's name in the message, and something that the user can do.
"""

from __future__ import annotations

from typing import Any

import pytest

import kina

Image = kina.Image


@pytest.mark.parametrize(
    "reference",
    [
        "", "lower/UPPER", "a b", "a//b", "/a", "a/", "-a", "a:", "a:b:c:", "a@sha256:1234",
        "a@md5:" + "0" * 32,
        "https://docker.io/alpine", "a" * 400, "a:" + "t" * 200, "ünïcode", "nul\0byte", "..",
        "../a", "a;rm -rf",
        "$(id)", "a\nb", "host:99999/a",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "act",
    [
        lambda r, b: Image.pull(r, progress=False),
        lambda r, b: Image.get(b).tag(r),
        lambda r, b: Image.from_rootfs(b"", r),
        lambda r, b: kina.Container.create(r),
        lambda r, b: Image.get(b).push(r, progress=False),
    ],
    ids=["pull", "tag", "from_rootfs", "create", "push"],
)
def test_malformed_references(busybox: str, act: Any, reference: str) -> None:
    with pytest.raises(kina.InvalidArgumentError) as caught:
        act(reference, busybox)
    field = caught.value.details["field"]
    assert field in ("reference", "image", "target", "destination")
    assert field in str(caught.value)


def options(**given: Any) -> Any:
    return given


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (options(name="no spaces"), "name"),
        (options(name="../../etc"), "name"),
        (options(name=""), "name"),
        (options(name="x" * 300), "name"),
        (options(name="nul\0"), "name"),
        (options(command="echo as text"), "command"),
        (options(command=[1]), "command"),
        (options(command=["nul\0"]), "command"),
        (options(entrypoint="sh"), "entrypoint"),
        (options(env="A=b"), "env"),
        (options(env=["no equals"]), "env"),
        (options(env={"": "x"}), "env"),
        (options(env={"A=B": "x"}), "env"),
        (options(env={"A": "nul\0"}), "env"),
        (options(env={"A": None}), "env"),
        (options(workdir="relative"), "workdir"),
        (options(user=""), "user"),
        (options(user=-1), "user"),
        (options(user="a:b:c"), "user"),
        (options(hostname="under_score!"), "hostname"),
        (options(hostname="x" * 70), "hostname"),
        (options(labels={"": "x"}), "labels"),
        (options(cpus=0), "cpus"),
        (options(cpus=-1), "cpus"),
        (options(cpus="many"), "cpus"),
        (options(cpus=float("nan")), "cpus"),
        (options(cpus=True), "cpus"),
        (options(cpu_weight=0), "cpu_weight"),
        (options(cpuset="a-b"), "cpuset"),
        (options(cpuset="5000"), "cpuset"),
        (options(memory="256 bananas"), "memory"),
        (options(memory="-1"), "memory"),
        (options(memory=0), "memory"),
        (options(memory=100), "memory"),
        (options(memory="1e999"), "memory"),
        (options(memory=2**70), "memory"),
        (options(memory="64Mi", memory_swap="32Mi"), "memory_swap"),
        (options(pids=0), "pids"),
        (options(pids=-5), "pids"),
        (options(pids="ten"), "pids"),
        (options(mounts=["./relative:/x"]), "mounts"),
        (options(mounts=["/etc:relative"]), "mounts"),
        (options(mounts=["/etc:/x:banana"]), "mounts"),
        (options(mounts=["/no/such/thing:/x"]), "mounts"),
        (options(mounts=["bad name:/x"]), "mounts"),
        (options(mounts=["/etc:/x", "/usr:/x"]), "mounts"),
        (options(mounts=["/etc:/proc"]), "mounts"),
        (options(mounts=[7]), "mounts"),
        (options(mounts="/etc:/x"), "mounts"),
        (options(ports=[0]), "ports"),
        (options(ports=[70000]), "ports"),
        (options(ports=["80:"]), "ports"),
        (options(ports=["a:b"]), "ports"),
        (options(ports=["80/sctp"]), "ports"),
        (options(ports=["1.2.3:80:80"]), "ports"),
        (options(ports=["203.0.113.9:18081:80"]), "ports"),
        (options(ports=["18080:80", "18080:81"]), "ports"),
        (options(ports=[80], network="host"), "ports"),
        (options(ports=[80], network="none"), "ports"),
        (options(address="300.1.1.1"), "address"),
        (options(address="::1"), "address"),
        (options(address="10.0.0.1", network="host"), "address"),
        (options(aliases=["bad alias!"]), "aliases"),
        (options(dns=["not an address"]), "dns"),
        (options(dns=kina.DNS(search=["bad domain!"])), "dns"),
        (options(extra_hosts={"db": "nowhere"}), "extra_hosts"),
        (options(extra_hosts={"bad name": "10.0.0.1"}), "extra_hosts"),
        (options(sysctls={"net ipv4": 1}), "sysctls"),
        (options(sysctls={"net.no_such_thing": 1}), "sysctls"),
        (options(sysctls={"net.ipv4.ip_forward": "banana"}), "sysctls"),
        (options(shm_size=-1), "shm_size"),
        (options(cap_add=["EVERYTHING"]), "cap_add"),
        (options(cap_drop=["1"]), "cap_drop"),
        (options(cap_add="NET_ADMIN"), "cap_add"),
        (options(seccomp="strict"), "seccomp"),
        (options(seccomp={"defaultAction": "SCMP_ACT_BANANA"}), "seccomp"),
        (options(seccomp={}), "seccomp"),
        (options(ulimits={"nofiles": 1}), "ulimits"),
        (options(ulimits={"nofile": (10, 5)}), "ulimits"),
        (options(ulimits={"nofile": -1}), "ulimits"),
        (options(devices=["/etc/passwd"]), "devices"),
        (options(devices=["/dev/null:/dev/x:q"]), "devices"),
        (options(stop_signal="BANANA"), "stop_signal"),
        (options(stop_signal=0), "stop_signal"),
        (options(stop_signal=99), "stop_signal"),
        (options(stop_timeout=-1), "stop_timeout"),
        (options(stop_timeout="soon"), "stop_timeout"),
        (options(log_limit=-1), "log_limit"),
        (options(pull="sometimes"), "pull"),
        (options(tty="yes"), "tty"),
        (options(privileged=1), "privileged"),
        (options(networks="x"), "networks"),
        (options(memmory="1Gi"), "memmory"),
        (options(uts_namespace="shared"), "uts_namespace"),
    ],
    ids=lambda value: (
        ",".join(f"{k}={v}"[:40] for k, v in value.items()) if isinstance(value, dict) else ""
    ),
)
def test_bad_container_options_name_the_field(busybox: str, given: Any, field: str) -> None:
    command = given.pop("command", ["true"])
    with (
        pytest.raises(kina.InvalidArgumentError) as caught,
        kina.Container.run(busybox, command, **given),
    ):
        pass
    # In the words of who wrote it, whoever found it.
    assert caught.value.details["field"].startswith(field)
    assert field in caught.value.message
    assert caught.value.code == kina.errors.Code.INVALID_ARGUMENT


def test_everything_that_is_wrong_is_said_at_once(busybox: str) -> None:
    with pytest.raises(kina.InvalidArgumentError) as caught:
        kina.Container.create(busybox, ["true"], memory="x", cpus=-1, ports=["a"], memmory=1)
    assert {problem.field for problem in caught.value.problems} >= {"memory", "cpus", "memmory"}
    for word in ("memory", "cpus", "ports", "memmory"):
        assert word in str(caught.value)
    assert "'memory'" in str(caught.value)  # did you mean


@pytest.mark.parametrize(
    "signal", ["BANANA", "", 0, -1, 65, 1.5, "SIG", "TERM KILL", None, "TERM\0"]
)
def test_bad_signals(busybox: str, signal: Any) -> None:
    with kina.Container.create(busybox, ["sleep", "inf"]) as box:
        box.start()
        with pytest.raises(kina.InvalidArgumentError, match="signal"):
            box.kill(signal)
        assert box.state == "running"


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan"), float("inf"), [], True])
def test_bad_timeouts(busybox: str, timeout: Any) -> None:
    with kina.Container.create(busybox, ["sleep", "inf"]) as box:
        for act in (
            box.stop,
            box.wait,
            lambda timeout: box.start(timeout=timeout),
            lambda timeout: box.delete(timeout=timeout),
            lambda timeout: kina.Container.run(busybox, ["true"], timeout=timeout),
            lambda timeout: kina.run(busybox, ["true"], timeout=timeout),
            lambda timeout: kina.prune(timeout=timeout),
            lambda timeout: Image.pull("localhost/a", timeout=timeout, progress=False),
        ):
            with pytest.raises(kina.InvalidArgumentError, match="timeout") as caught:
                act(timeout)
            assert caught.value.details["field"] == "timeout"
        assert box.state == "created"


@pytest.mark.parametrize(
    ("act", "field"),
    [
        (lambda box: kina.Container.list(states="runing"), "states"),
        (lambda box: kina.Container.list(states=["running", "x"]), "states[1]"),
        (lambda box: kina.Container.list(states=5), "states"),
        (lambda box: kina.Container.list(names=5), "names"),
        (lambda box: kina.Container.list(names=[5]), "names[0]"),
        (lambda box: kina.Container.list(labels=5), "labels"),
        (lambda box: list(kina.events(kinds="boxes")), "kinds"),
        (lambda box: list(kina.events(references={"a": 1})), "references"),
        (lambda box: list(kina.events(since="yesterday")), "since"),
        (lambda box: box.exec(["true"], encoding="utf-9"), "encoding"),
        (lambda box: kina.run(box.image, ["true"], encoding="utf-9"), "encoding"),
        (lambda box: box.exec(["true"], user=True), "user"),
        (lambda box: box.exec(["true"], stdin=1.5), "stdin"),
        (lambda box: kina.run(box.image, ["cat"], input=1.5), "input"),
        (lambda box: box.copy_from("/dev/null", "/tmp/kina-null"), "src"),
        (lambda box: box.copy_to(5, "/tmp/x"), "src"),
        (lambda box: box.copy_to(b"x", 5), "dest"),
        (lambda box: box.copy_from("/etc/passwd", 5), "dest"),
        (lambda box: box.copy_from(b"/etc/passwd", "/tmp/x"), "src"),
        (lambda box: Image.load(5), "archive"),
        (lambda box: Image.save(box.image, 5), "archive"),
        (lambda box: kina.connect(home=5), "home"),
        (lambda box: kina.connect(unpack_limit=-1), "unpack_limit"),
        (lambda box: kina.connect(unpack_limit="much"), "unpack_limit"),
    ],
)
def test_bad_arguments_name_themselves(busybox: str, act: Any, field: str) -> None:
    with kina.Container.create(busybox, ["sleep", "inf"], network="none") as box:
        box.start()
        with pytest.raises(kina.InvalidArgumentError) as caught:
            act(box)
        assert caught.value.details["field"] == field
        assert field in caught.value.message


def test_a_word_that_is_nearly_right_is_suggested(busybox: str) -> None:
    with pytest.raises(kina.InvalidArgumentError) as caught:
        kina.Container.list(states="runing")
    assert "'running'" in (caught.value.hint or "")
    assert kina.Container.list(names=kina.Container.list()) == kina.Container.list()


@pytest.mark.parametrize("reference", ["../x", "a/b", "", "nul\0", ".", "x" * 5000, 7, None])
def test_bad_references_to_containers(busybox: str, reference: Any) -> None:
    with pytest.raises((kina.InvalidArgumentError, kina.NotFoundError)) as caught:
        kina.Container.get(reference)
    assert caught.value.code in (kina.errors.Code.INVALID_ARGUMENT, kina.errors.Code.NOT_FOUND)


def test_a_taken_name_already_exists_and_nothing_else_is_touched(busybox: str) -> None:
    with kina.Container.create(busybox, ["true"], name="taken") as box:
        for act in (kina.Container.create, kina.Container.run, kina.run):
            with pytest.raises(kina.AlreadyExistsError, match="taken") as caught:
                act(busybox, ["true"], name="taken", mounts=[kina.Mount.volume(None, "/v")])
            assert caught.value.hint
        assert kina.Container.get("taken") == box


def test_a_prefix_of_several_ids_is_ambiguous(busybox: str) -> None:
    boxes: dict[str, kina.Container] = {}
    made: list[kina.Container] = []
    try:
        # Ids are random: with 600 of them two share four digits with near certainty, so look only
        # at what is.
        for _ in range(40):
            box = kina.Container.create(busybox, ["true"], network="none")
            made.append(box)
            if box.id[:4] in boxes:
                with pytest.raises(kina.InvalidArgumentError, match=box.id[:4]):
                    kina.Container.get(box.id[:4])
            else:
                assert kina.Container.get(box.id[:4]) == box
            boxes[box.id[:4]] = box
    finally:
        for box in made:
            box.delete()


@pytest.mark.parametrize(
    ("command", "kind", "code"),
    [
        (["no-such-program"], kina.NotFoundError, "127"),
        (["/no/such/path"], kina.NotFoundError, "127"),
        (["/etc/not-a-program"], kina.PermissionDeniedError, "126"),
        (["/etc"], kina.PermissionDeniedError, "126"),
    ],
)
@pytest.mark.parametrize("way", ["run", "start", "short"])
def test_commands_that_cannot_run(
    busybox: str, command: list[str], kind: type[kina.KinaError], code: str, way: str
) -> None:
    with pytest.raises(kind, match=command[0]) as caught:
        if way == "run":
            kina.Container.run(busybox, command)
        elif way == "short":
            kina.run(busybox, command)
        else:
            with kina.Container.create(busybox, command) as box:
                try:
                    box.start()
                finally:
                    assert box.state == "created"
    assert caught.value.details["exitCode"] == code
    assert caught.value.hint
