"""
What a container is told, seen from inside.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

import pytest

import kina
from support.containers import IsolationOf, prints
from support.leaks import wait_until

Run = Callable[..., kina.Container]


def output(busybox: str, command: list[str], **options: object) -> list[str]:
    done = kina.run(busybox, command, **options)  # type: ignore[call-overload]
    assert done.exit_code == 0, done.stderr
    return str(done.stdout).splitlines()


# -- What runs -------------------------------------------------------------------------------------


def test_the_image_says_what_runs(service: str, run: Run) -> None:
    box = run(image=service)
    spec = box.exec(["sh", "-c", "echo $GREETING; pwd; id -un"])
    assert spec.stdout.split() == ["hello", "/home/app", "app"]
    image = kina.Image.get(service)
    assert image.config.entrypoint == ("sh", "-c")
    assert box.inspect().image_digest == image.digest


def test_a_command_replaces_the_images_and_keeps_its_entrypoint(service: str) -> None:
    assert kina.run(service, ["echo $GREETING from $0"]).stdout == "hello from sh\n"


def test_an_entrypoint_replaces_the_images_and_its_command(service: str) -> None:
    done = kina.run(service, ["b"], entrypoint=["echo", "a"])
    assert done.stdout == "a b\n"
    assert kina.run(service, entrypoint=["echo", "alone"]).stdout == "alone\n"
    assert kina.run(service, ["echo", "plain"], entrypoint=[]).stdout == "plain\n"


def test_nothing_to_run_is_an_invalid_argument(rootfs: object, runtime: object) -> None:
    image = kina.Image.from_rootfs(rootfs, "localhost/kina/empty:test")  # type: ignore[arg-type]
    try:
        with (
            pytest.raises(kina.InvalidArgumentError, match="command") as caught,
            kina.Container.create(image),
        ):
            pass
        assert caught.value.hint
    finally:
        image.delete()


def test_the_environment_is_the_images_and_the_specs(service: str) -> None:
    done = kina.run(service, ["env"], entrypoint=[], env={"GREETING": "bye", "EMPTY": "", "N": 1})
    env = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert (env["GREETING"], env["EMPTY"], env["N"], env["PATH"]) == ("bye", "", "1", "/bin")
    assert env["HOME"] == "/home/app"


def test_the_callers_environment_does_not_leak_in(
    busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "1")
    assert not [line for line in output(busybox, ["env"]) if "SECRET" in line]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, "0:0:0"),
        ("app", "1000:1000:1000 2000"),
        ("1000", "1000:1000:1000 2000"),
        (1000, "1000:1000:1000 2000"),
        ("1234", "1234:0:0"),
        ("1234:5678", "1234:5678:5678"),
        ("app:extra", "1000:2000:2000"),
        ("nobody", "65534:65534:65534"),
    ],
)
def test_users_are_names_or_numbers(busybox: str, user: str | None, expected: str) -> None:
    (line,) = output(busybox, prints("$(id -u):$(id -g):$(id -G)"), user=user)
    uid, gid, groups = line.split(":")
    assert f"{uid}:{gid}:{' '.join(sorted(groups.split(), key=int))}" == expected


@pytest.mark.parametrize("user", ["nobody-knows", "app:no-such-group"])
def test_an_unknown_user_names_the_field(busybox: str, user: str) -> None:
    with pytest.raises(kina.KinaError, match=r"user|group") as caught:
        kina.run(busybox, ["true"], user=user)
    assert isinstance(caught.value, kina.InvalidArgumentError | kina.NotFoundError)
    assert caught.value.hint


def test_supplementary_groups_are_added(busybox: str) -> None:
    (line,) = output(busybox, ["id", "-G"], user="1234:1", groups=["extra", "77"])
    assert set(line.split()) == {"1", "2000", "77"}


def test_a_missing_workdir_is_made(busybox: str) -> None:
    assert output(busybox, ["pwd"], workdir="/made/for/this") == ["/made/for/this"]


def test_the_hostname_is_the_name_unless_given(busybox: str) -> None:
    assert output(busybox, ["hostname"], name="named") == ["named"]
    assert output(busybox, ["hostname"], name="named", hostname="host.example") == ["host.example"]
    lines = output(busybox, ["sh", "-c", "hostname -i; cat /etc/hostname"], name="Odd_Name")
    assert lines[1] == "odd-name"


def test_labels_are_kept(run: Run) -> None:
    labels = {"a.b/c": "d", "empty": "", "grüße": "文"}
    assert run(labels=labels).inspect().labels == labels


def test_a_terminal_is_process_1s(busybox: str, run: Run) -> None:
    box = run(["sh", "-c", "tty; stty size; sleep inf"], tty=True)
    assert wait_until(lambda: "/dev/" in box.logs())


def test_init_reaps_orphans_and_forwards_signals(run: Run) -> None:
    orphan = "(sleep 0.2 & exec true); trap 'exit 21' TERM; echo up; while :; do sleep 0.05; done"
    box = run(["sh", "-c", orphan], init=True)
    assert wait_until(lambda: "up" in box.logs())
    time.sleep(0.5)
    processes = box.exec(["ps", "-o", "pid,stat,args"]).stdout
    assert " Z" not in processes
    assert box.exec(["sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"]).stdout.split()[0] != "sh"
    box.stop()
    assert box.wait() == 21


def test_without_init_the_command_is_process_1(run: Run) -> None:
    box = run(["sleep", "inf"])
    assert box.exec(["cat", "/proc/1/comm"]).stdout == "sleep\n"


# -- Limits, from inside ---------------------------------------------------------------------------


def test_cpus_limit_the_time(run: Run) -> None:
    box = run(["sh", "-c", "while :; do :; done"], cpus=0.2)
    time.sleep(0.3)
    series = box.sample(0.5, count=3)
    used = (series["cpu_ns"][-1] - series["cpu_ns"][0]) / (
        series["timestamp_ns"][-1] - series["timestamp_ns"][0]
    )
    assert 0.1 < used < 0.35


def test_a_cpuset_is_seen_inside(busybox: str) -> None:
    lines = output(busybox, ["grep", "Cpus_allowed_list", "/proc/self/status"], cpuset="0")
    assert lines[0].split()[1] == "0"


def test_ulimits_are_set(busybox: str) -> None:
    script = prints("$(ulimit -n)", "$(ulimit -Hn)", "$(ulimit -c)")
    assert output(busybox, script, ulimits={"nofile": (512, 1024), "core": 0}) == [
        "512",
        "1024",
        "0",
    ]
    assert output(busybox, script, ulimits=[kina.Rlimit("nofile", 300)])[:2] == ["300", "300"]


def test_shared_memory_has_a_size(busybox: str) -> None:
    size = ["sh", "-c", "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2"]
    assert output(busybox, size) == ["65536"]
    assert output(busybox, size, shm_size="8Mi") == ["8192"]


# -- Security --------------------------------------------------------------------------------------

DEFAULT_CAPABILITIES = {
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "net_bind_service", "sys_chroot", "setfcap",
}  # fmt: skip
NUMBERS = {
    "chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7,
    "setpcap": 8, "net_bind_service": 10, "net_admin": 12, "net_raw": 13, "sys_chroot": 18,
    "sys_admin": 21, "sys_time": 25, "setfcap": 31,
}  # fmt: skip


def capabilities(busybox: str, **options: object) -> set[str]:
    (line,) = output(busybox, ["grep", "CapEff", "/proc/self/status"], **options)
    bits = int(line.split()[1], 16)
    return {name for name, number in NUMBERS.items() if bits >> number & 1}


def test_capabilities_are_few_by_default(busybox: str) -> None:
    found = capabilities(busybox)
    assert found >= DEFAULT_CAPABILITIES
    assert not found & {"sys_admin", "net_admin", "sys_time"}


def test_capabilities_are_added_and_dropped(busybox: str) -> None:
    assert "net_admin" in capabilities(busybox, cap_add=["NET_ADMIN"])
    assert "net_admin" in capabilities(busybox, cap_add=["CAP_net_admin"])
    assert "chown" not in capabilities(busybox, cap_drop=["CHOWN"])
    assert capabilities(busybox, cap_drop=["ALL"]) == set()
    assert capabilities(busybox, cap_drop=["ALL"], cap_add=["KILL"]) == {"kill"}


def test_a_user_other_than_root_has_no_capabilities(busybox: str) -> None:
    assert capabilities(busybox, user="app") == set()


def test_an_unknown_capability_names_the_field(busybox: str) -> None:
    with pytest.raises(kina.InvalidArgumentError, match=r"cap_?[aA]dd") as caught:
        kina.run(busybox, ["true"], cap_add=["NET_ADMIM"])
    assert "NET_ADMIN" in (caught.value.hint or "")


def test_no_new_privileges_by_default(busybox: str) -> None:
    flag = ["grep", "NoNewPrivs", "/proc/self/status"]
    assert output(busybox, flag)[0].split()[1] == "1"
    assert output(busybox, flag, no_new_privileges=False)[0].split()[1] == "0"


def test_seccomp_filters_by_default_and_not_when_unconfined(busybox: str) -> None:
    mode = ["grep", "Seccomp:", "/proc/self/status"]
    assert output(busybox, mode)[0].split()[1] == "2"
    assert output(busybox, mode, seccomp="unconfined")[0].split()[1] == "0"


PERSONALITY = {"x86_64": 135, "aarch64": 92}[os.uname().machine]


def test_seccomp_blocks_what_weakens_a_process(busybox: str) -> None:
    # ADDR_NO_RANDOMIZE needs no privilege, and no container needs it.
    call = ["perl", "-e", f"exit(syscall({PERSONALITY}, 0x0040000) == -1 ? $! + 0 : 0)"]
    assert kina.run(busybox, call).exit_code in (errno.EPERM, errno.ENOSYS)
    assert kina.run(busybox, call, seccomp="unconfined").exit_code == 0


def test_a_custom_seccomp_profile_is_used(busybox: str) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    done = kina.run(busybox, ["mkdir", "/tmp/x"], seccomp=profile)
    assert done.exit_code != 0
    assert "not permitted" in done.stderr.lower()


def test_kernel_files_are_masked_or_read_only(busybox: str) -> None:
    script = (
        "cat /proc/kcore | wc -c; cat /proc/keys 2>/dev/null | wc -c; ls /proc/scsi | wc -l;"
        "echo 1 > /proc/sys/kernel/panic || echo refused;"
        "echo 1 > /sys/kernel/mm/ksm/run || echo refused"
    )
    lines = output(busybox, ["sh", "-c", f"({script}) 2>/dev/null"])
    assert lines == ["0", "0", "0", "refused", "refused"]


def test_privileged_has_what_the_host_can_give(busybox: str) -> None:
    found = capabilities(busybox, privileged=True)
    assert {"sys_admin", "net_admin"} <= found
    lines = output(
        busybox,
        [
            "sh",
            "-c",
            "ls /dev | wc -l; mkdir /m && mount -t tmpfs none /m; echo $?",
        ],
        privileged=True,
    )
    assert int(lines[0]) > 20
    assert lines[-1] == "0"


def test_without_privileges_mounting_fails(busybox: str) -> None:
    assert kina.run(busybox, ["mount", "-t", "tmpfs", "none", "/tmp"]).exit_code != 0


def test_a_device_can_be_used_and_others_cannot(busybox: str) -> None:
    lines = output(
        busybox,
        ["sh", "-c", "ls -l /dev/fuse | cut -c1; (exec 3<>/dev/fuse) && echo open; ls /dev"],
        devices=["/dev/fuse"],
    )
    assert lines[:2] == ["c", "open"]
    assert "kmsg" not in lines
    named = output(busybox, ["ls", "/dev"], devices=["/dev/fuse:/dev/other:r"])
    assert "other" in named
    forged = ["sh", "-c", "mknod /tmp/k c 1 11 && head -c 1 /tmp/k"]
    assert kina.run(busybox, forged, cap_add=["MKNOD"]).exit_code != 0


def test_a_device_that_is_none_names_the_field(busybox: str) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="devices"):
        kina.run(busybox, ["true"], devices=["/etc/passwd"])
    with pytest.raises(kina.InvalidArgumentError, match="devices"):
        kina.run(busybox, ["true"], devices=["/dev/no-such-device"])


def test_a_read_only_root_cannot_be_written_but_mounts_can(busybox: str) -> None:
    script = "echo x > /root/x || echo refused; echo y > /tmp/y && cat /tmp/y"
    lines = output(
        busybox,
        ["sh", "-c", f"({script}) 2>/dev/null"],
        read_only=True,
        mounts=[kina.Mount.tmpfs("/tmp")],
    )
    assert lines == ["refused", "y"]


def test_sysctls_of_the_containers_namespaces_are_set(busybox: str) -> None:
    names = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096", "net.core.somaxconn": 77}
    paths = [f"/proc/sys/{name.replace('.', '/')}" for name in names]
    assert output(busybox, ["cat", *paths], sysctls=names) == ["1", "4096", "77"]


@pytest.mark.parametrize("name", ["kernel.panic", "vm.swappiness", "no.such.thing"])
def test_sysctls_of_the_host_are_refused(busybox: str, name: str) -> None:
    with pytest.raises(kina.InvalidArgumentError, match="sysctls") as caught:
        kina.run(busybox, ["true"], sysctls={name: 1})
    assert name in str(caught.value)


def test_namespaces_are_its_own_unless_shared(busybox: str) -> None:
    kinds = ("pid", "ipc", "uts", "net", "mnt", "cgroup")
    host = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}
    links = ["sh", "-c", "".join(f"readlink /proc/self/ns/{kind};" for kind in kinds)]
    own = dict(zip(kinds, output(busybox, links), strict=True))
    assert not set(own.values()) & set(host.values())
    shared = output(
        busybox,
        links,
        network="host",
        pid_namespace="host",
        ipc_namespace="host",
        uts_namespace="host",
    )
    assert shared[:4] == [host[kind] for kind in kinds[:4]]


def test_writable_cgroups_can_be_written(busybox: str) -> None:
    make = ["sh", "-c", "cd /sys/fs/cgroup/pids || cd /sys/fs/cgroup; mkdir inner && rmdir inner"]
    assert kina.run(busybox, make).exit_code != 0
    assert kina.run(busybox, make, writable_cgroups=True, cap_add=["SYS_ADMIN"]).exit_code == 0


def test_cgroups_cannot_be_written(busybox: str) -> None:
    # Each hierarchy, and on v1 the tmpfs that holds their mount points.
    write = (
        "cd /sys/fs/cgroup; for d in . *; do [ -d $d ] || continue;"
        " mkdir $d/made 2>/dev/null && echo made $d;"
        " (echo x > $d/file) 2>/dev/null && echo wrote $d;"
        " done; echo tried $d"
    )
    tried = kina.run(busybox, ["sh", "-c", write], cap_add=["SYS_ADMIN"]).stdout.split()
    assert tried[0] == "tried"


def test_spec_and_status_survive_the_way_through_the_record(run: Run) -> None:
    box = run(
        name="full",
        env={"A": "b"},
        labels={"l": "m"},
        memory="64Mi",
        cpus="500m",
        pids=99,
        ports=["18080:80"],
        mounts=["/etc:/host-etc:ro"],
        extra_hosts={"db": "10.1.2.3"},
        sysctls={"net.ipv4.ip_forward": 1},
        ulimits={"nofile": 1000},
        cap_add=["NET_ADMIN"],
        cap_drop=["CHOWN"],
        user="app",
        stop_signal="INT",
        stop_timeout="2s",
    )
    spec = box.inspect().spec
    assert spec is not None
    assert spec.env == {"A": "b"}
    assert spec.resources == kina.Resources(memory=64 << 20, cpus=0.5, pids=99)
    assert spec.sandbox.ports == (kina.Port(80, 18080),)
    assert spec.sandbox.extra_hosts == {"db": "10.1.2.3"}
    assert spec.rlimits == (kina.Rlimit("nofile", 1000, 1000),)
    assert spec.mounts[0].read_only
    assert (spec.stop_signal, spec.stop_timeout) == ("INT", 2.0)
    assert kina.Container.get("full").inspect().spec == spec


# -- Isolation -------------------------------------------------------------------------------------


def test_what_this_runtime_isolates_with_can_be_asked_for(
    busybox: str, isolation: IsolationOf
) -> None:
    assert kina.run(busybox, ["echo", "here"], isolation=isolation.own).stdout == "here\n"


def test_another_isolation_is_refused_and_leaves_nothing(
    busybox: str, isolation: IsolationOf
) -> None:
    with pytest.raises(kina.UnsupportedError, match=f"isolation '{isolation.other}'") as refused:
        kina.Container.create(busybox, ["true"], name="isolated", isolation=isolation.other)
    assert "KINA_BACKEND=" in str(refused.value.hint)
    assert [box.name for box in kina.Container.list() if box.name == "isolated"] == []
