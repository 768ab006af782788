"""
Registries that refuse, stall, lie or break off.
"""

from __future__ import annotations

import time

import pytest

import kina
from support.registry import HostileRegistry, free_port


def pull(reference: str, **options: object) -> kina.Image:
    return kina.Image.pull(reference, progress=False, **options)  # type: ignore[arg-type]


def test_the_good_one_is_good(hostile: HostileRegistry) -> None:
    image = pull(hostile.reference("good:1"))
    assert kina.run(image, ["cat", "/etc/marker"]).stdout == "from a registry\n"
    image.delete()


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("missing", (kina.NotFoundError,)),
        ("denied", (kina.UnauthenticatedError,)),
        ("forbidden", (kina.UnauthenticatedError, kina.PermissionDeniedError)),
        ("broken", (kina.UnavailableError,)),
        ("wrong-digest", (kina.DataLossError,)),
        ("truncated", (kina.DataLossError, kina.UnavailableError)),
        ("garbage", (kina.DataLossError, kina.InvalidArgumentError, kina.UnavailableError)),
    ],
)
def test_a_failing_registry_is_named_and_leaves_nothing(
    hostile: HostileRegistry, name: str, kinds: tuple[type[kina.KinaError], ...]
) -> None:
    reference = hostile.reference(f"{name}:1")
    for act in (lambda: pull(reference), lambda: kina.Container.create(reference)):
        with pytest.raises(kinds) as caught:
            act()
        assert name in str(caught.value)
        assert caught.value.hint


def test_a_registry_that_is_not_there_is_unavailable(runtime: object) -> None:
    reference = f"127.0.0.1:{free_port()}/app:1"
    with pytest.raises(kina.UnavailableError, match="refused") as caught:
        pull(reference)
    assert reference.split("/")[0] in str(caught.value)
    assert caught.value.hint


def test_a_registry_without_a_name_is_unavailable(runtime: object) -> None:
    with pytest.raises(kina.UnavailableError):
        pull("registry.invalid/app:1", timeout=40)


@pytest.mark.parametrize("name", ["stall", "stall-manifest"])
def test_a_stalling_registry_ends_at_the_deadline(hostile: HostileRegistry, name: str) -> None:
    before = time.monotonic()
    with pytest.raises(kina.DeadlineExceededError) as caught:
        pull(hostile.reference(f"{name}:1"), timeout=1)
    assert 1 <= time.monotonic() - before < 6
    assert name in str(caught.value) or "pull" in str(caught.value)
    # It can be tried again at once: no lock, no half of an image is in the way.
    pull(hostile.reference("good:1")).delete()


def test_plain_http_is_for_loopback_only_unless_asked(runtime: object) -> None:
    """
    A registry elsewhere that speaks no TLS must not be spoken to.
    """
    import http.server
    import threading

    asked: list[str] = []

    class Plain(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                return

    server = http.server.HTTPServer(("0.0.0.0", 0), Plain)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        name = f"{host_address()}:{server.server_address[1]}/app:1"
        with pytest.raises(kina.UnavailableError) as caught:
            pull(name, timeout=30)
        assert asked == []
        assert "insecure" in (caught.value.hint or "")
        with pytest.raises(kina.NotFoundError):
            pull(name, insecure=True, timeout=30)
        assert asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def host_address() -> str:
    """
    Return an address of this host that is not loopback.
    """
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
