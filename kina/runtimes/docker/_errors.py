"""
What an engine says, as kina's errors.
"""

from __future__ import annotations

import errno
import json
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from kina.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    InvalidStateError,
    KinaError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    RuntimeUnavailableError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kina.runtimes.docker._endpoint import Endpoint

__all__ = ["NoTLSError", "from_answer", "from_socket", "translated"]

_STATUS: Final[dict[int, type[KinaError]]] = {
    400: InvalidArgumentError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: InvalidStateError,
    501: UnsupportedError,
    503: UnavailableError,
}
# An engine answers 500 to whatever its parts say: the words are all there is to go by.
_WORDS: Final[tuple[tuple[str, type[KinaError], str | None], ...]] = (
    ("port is already allocated", AlreadyExistsError, "choose another port, or 0 for a free one"),
    ("address already in use", AlreadyExistsError, "choose another, or 0 or None for a free one"),
    ("no space left on device", ResourceExhaustedError, "make room on the engine's disk"),
    ("unauthorized", UnauthenticatedError, "pass username and password, or log in"),
    ("authentication required", UnauthenticatedError, "pass username and password, or log in"),
    ("no basic auth credentials", UnauthenticatedError, "pass username and password, or log in"),
    # Podman, of one that is removed at this moment.
    ("no such container", NotFoundError, None),
    ("manifest unknown", NotFoundError, "is the tag right?"),
    ("not found: manifest", NotFoundError, "is the tag right?"),
    ("connection refused", UnavailableError, "is the registry up?"),
    ("no such host", UnavailableError, "is the registry's name right?"),
    ("unable to find user", InvalidArgumentError, "the image's /etc/passwd has the users it knows"),
    ("unable to find group", InvalidArgumentError, "the image's /etc/group has those it knows"),
    ("no matching entries in passwd", InvalidArgumentError, "the image knows other users"),
    ("no matching entries in group", InvalidArgumentError, "the image knows other groups"),
    ("already in use by", AlreadyExistsError, "choose another name"),
    ("read-only", InvalidStateError, "it was made read-only"),
    ("no such image", NotFoundError, "pull it, or is its name right?"),
    ("image not known", NotFoundError, "pull it, or is its name right?"),
    ("is already paused", InvalidStateError, None),
    ("is not paused", InvalidStateError, None),
    ("is not running", InvalidStateError, "start it"),
    ("sent an http request to an https server", RuntimeUnavailableError,
     "DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH with ca.pem, cert.pem and key.pem"),
)  # fmt: skip


def from_answer(status: int, body: bytes | str) -> KinaError:
    """
    Make an error of an answer with an error's status.
    """
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    try:
        document = json.loads(text)
        message = str(document.get("message") or document.get("cause") or text)
    except (ValueError, AttributeError):
        message = text.strip()
    return from_message(message, _STATUS.get(status, KinaError))


def from_message(message: str, kind: type[KinaError] = KinaError) -> KinaError:
    """
    Make an error of the engine's words.

    Args:
        message: What it said.
        kind: What its status stands for.
    """
    lower = message.lower()
    for words, meant, hint in _WORDS:
        if words in lower and (kind is KinaError or kind is not NotFoundError):
            return meant(f"the engine says: {message}", hint=hint)
    return kind(f"the engine says: {message}")


class NoTLSError(OSError):
    """
    What answers speaks no TLS.
    """


def from_socket(endpoint: Endpoint, error: BaseException) -> KinaError:
    """
    Make an error of a connection that failed.
    """
    where = f"the Docker engine at {endpoint.url} ({endpoint.source})"
    if isinstance(error, NoTLSError):
        return RuntimeUnavailableError(
            f"{where} speaks no TLS", hint="unset DOCKER_TLS_VERIFY and DOCKER_TLS, or is it the "
            "right port? 2376 is usual with TLS, 2375 without",
        )  # fmt: skip
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(endpoint, where, error)
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return _refused(endpoint, where, error)
    if isinstance(error, FileNotFoundError):
        return RuntimeUnavailableError(
            f"{where}: there is no such socket",
            hint="is the engine installed and started (systemctl start docker)? "
            "else set DOCKER_HOST or pass url=",
        )
    if isinstance(error, PermissionError) or getattr(error, "errno", 0) == errno.EACCES:
        return PermissionDeniedError(
            f"{where}: this user may not use the socket",
            hint="add the user to the socket's group (sudo usermod -aG docker $USER, and log in "
            "again), or run as root",
        )
    if isinstance(error, ConnectionRefusedError):
        return RuntimeUnavailableError(
            f"{where} does not answer", hint="start the engine: systemctl start docker"
        )
    if isinstance(error, socket.gaierror):
        return RuntimeUnavailableError(
            f"{where}: {error.strerror}", hint="is the host's name right?"
        )
    return UnavailableError(
        f"{where} broke off or does not answer: {str(error) or type(error).__name__}",
        hint="is the engine still running? systemctl status docker",
    )


_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_OTHER_NAME: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def _untrusted(endpoint: Endpoint, where: str, error: ssl.SSLCertVerificationError) -> KinaError:
    authority = endpoint.tls and endpoint.tls.authority
    hint = f"{authority or 'an authority of the system'} must have signed it: is it the engine's?"
    if error.verify_code == _EXPIRED:
        hint = "renew the engine's certificate, or its authority's (or is a clock wrong?)"
    elif error.verify_code in _OTHER_NAME:
        hint = "use a name or an address that the certificate has"
    return RuntimeUnavailableError(
        f"{where}: its certificate is not trusted: {error.verify_message}", hint=hint
    )


def _refused(endpoint: Endpoint, where: str, error: ssl.SSLError) -> KinaError:
    said = (error.reason or "").partition("ALERT_")[2].replace("_", " ").lower()
    tls = endpoint.tls
    if tls is None or tls.certificate is None:
        return UnauthenticatedError(
            f"{where} wants a client's certificate ({said}), and there is none",
            hint=f"put cert.pem and key.pem in {tls and str(tls.directory)!r}",
        )
    return UnauthenticatedError(
        f"{where} refuses the certificate {str(tls.certificate)!r}: {said}",
        hint="it must be signed by the authority that the engine was started with (--tlscacert), "
        "and not have expired",
    )


@contextmanager
def translated(endpoint: Endpoint) -> Iterator[None]:
    """
    Raise kina's errors for the SDK's.
    """
    import docker
    import requests

    try:
        yield
    except docker.errors.APIError as error:
        answer: Any = error.response
        status = 500 if answer is None else answer.status_code
        raise from_answer(status, str(error.explanation or error)) from error
    except requests.exceptions.ReadTimeout as error:
        raise UnavailableError(
            f"the Docker engine at {endpoint.url} takes too long to answer",
            hint="what does its log say?",
        ) from error
    except (requests.exceptions.RequestException, docker.errors.DockerException, OSError) as error:
        raise _own(error) or from_socket(endpoint, error) from error


def _own(error: BaseException | None) -> KinaError | None:
    """
    Find kina's own error among the reasons of another: one that is an OSError too gets wrapped.
    """
    while error is not None and not isinstance(error, KinaError):
        error = error.__cause__ or error.__context__
    return error
