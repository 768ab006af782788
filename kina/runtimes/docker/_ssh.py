"""
An engine on another machine, through ssh(1) and the docker command there, as the docker command
does: the user's configuration, keys and agent count.
"""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import tempfile
from typing import Final
from urllib.parse import unquote, urlsplit

from kina.errors import KinaError, RuntimeUnavailableError, UnauthenticatedError, UnavailableError
from kina.runtimes.docker._channels import Channel

__all__ = ["Tunnel", "host_of"]

CONNECT_SECONDS: Final = 15
END_SECONDS: Final = 2.0
"""How long ssh may take to say why it ends."""
FAILED: Final = 255
"""The exit code of ssh's own failures; others are the command's."""
NOT_FOUND: Final = 127


class Tunnel(Channel):
    """
    A connection that ssh holds.

    Args:
        url: ssh://user@host:port; a path after it is the socket's there.

    Raises:
        RuntimeUnavailableError: There is no ssh here.
    """

    def __init__(self, url: str) -> None:
        command = [*_ssh(url), "docker", *_socket(url), "system", "dial-stdio"]
        self._url = url
        ours, theirs = socket.socketpair()
        self._words = tempfile.TemporaryFile(prefix="kina-")  # noqa: SIM115  # closed by `_end`
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._words,
                    start_new_session=True,
                )  # fmt: skip
        except BaseException:
            ours.close()
            self._words.close()
            raise
        super().__init__(ours)

    def explain(self) -> KinaError | None:
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").splitlines()
        return failure(self._url, code, [line.strip() for line in lines if line.strip()])

    def _end(self) -> None:
        super()._end()
        self._process.kill()
        self._process.wait()
        self._words.close()


def failure(url: str, code: int, lines: list[str]) -> KinaError:
    """
    Say why an ssh has ended.

    Args:
        url: The engine's.
        code: Its exit code.
        lines: What it wrote; the docker command's there, where it came so far.
    """
    where, by_hand = f"the Docker engine at {url}", shlex.join(_words(url))
    said = lines[-1] if lines else f"exit code {code}"
    text = "\n".join(lines)
    if code == NOT_FOUND:
        return RuntimeUnavailableError(
            f"{where}: there is no docker command on that machine: {said}",
            hint="install it there; a shell that is not interactive must find it in its PATH",
        )
    if code != FAILED:
        return RuntimeUnavailableError(
            f"{where}: the docker command on that machine says: {said}",
            hint=f"is the engine started there? see: ssh {by_hand} docker version",
        )
    if "Host key verification failed" in text:
        if "IDENTIFICATION HAS CHANGED" in text:
            return UnauthenticatedError(
                f"{where}: the machine's host key is not the one that ssh knows",
                hint="ask who runs it whether the key was changed; if so, ssh-keygen -R forgets "
                "the old one",
            )
        return UnauthenticatedError(
            f"{where}: ssh does not know the machine's host key: {lines[0]}",
            hint=f"connect once by hand, and compare the key's fingerprint: ssh {by_hand} true",
        )
    if "Permission denied" in text:
        return UnauthenticatedError(
            f"{where}: ssh is refused: {said}",
            hint=f"this must work without a question: ssh {by_hand} true (ssh-copy-id, ssh-add)",
        )
    return UnavailableError(
        f"{where}: ssh failed: {said}", hint=f"does this work? ssh {by_hand} docker version"
    )


def host_of(url: str) -> str:
    """
    Return the machine's name or address, which the user's configuration may have an alias for.
    """
    done = subprocess.run(
        [*_ssh(url, "-G")], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=CONNECT_SECONDS, start_new_session=True, check=False,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        if line.startswith("hostname "):
            return line.split()[1]
    return urlsplit(url).hostname or ""


def _ssh(url: str, *options: str) -> list[str]:
    ssh = shutil.which("ssh")
    if ssh is None:
        raise RuntimeUnavailableError("ssh is not installed", hint="apt-get install openssh-client")
    return [
        ssh, "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}", *options,
        *_words(url),
    ]  # fmt: skip


def _words(url: str) -> list[str]:
    """
    Return how ssh is told where to go.
    """
    where = urlsplit(url)
    user = [] if where.username is None else ["-l", unquote(where.username)]
    port = [] if where.port is None else ["-p", str(where.port)]
    return [*user, *port, "--", where.hostname or ""]


def _socket(url: str) -> list[str]:
    """
    Return how docker is told which socket; a shell reads it there.
    """
    path = unquote(urlsplit(url).path)
    return [] if path in ("", "/") else ["--host", shlex.quote(f"unix://{path}")]
