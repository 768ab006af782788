"""
Init: kubeadm makes the control plane, and the host gets to know its API.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from kina import kubeconfig
from kina.bootstrap._action import Action, Context, Planned, on
from kina.bootstrap.configuration import FILE
from kina.bootstrap.dns import manifest as dns_manifest
from kina.bootstrap.kubeadm import PORT
from kina.bootstrap.supervision import journal_of, supervised
from kina.calls import Call
from kina.client import Credentials, Session
from kina.errors import UnavailableError
from kina.node import put
from kina.node import run as in_node

__all__ = ["ADMIN", "INIT", "rotate"]

ADMIN: Final = "/etc/kubernetes/admin.conf"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # compared, not listened on


def run(context: Context) -> None:
    """
    Make it, unless it was made.
    """
    plane = context.control_plane
    node = plane.there
    with on(plane, "init", journal_of(plane)):
        made = in_node(node, ["test", "-e", ADMIN], context.call, check=False).exit_code == 0
        if not made:
            command = ["init", f"--config={FILE}", "--skip-token-print"]
            supervised(plane, [*command, f"--skip-phases={_skipped(context)}"], context.call)
        admin = in_node(node, ["cat", ADMIN], context.call).stdout
        context.admin = kubeconfig.rewrite(admin, context.name, server_of(context))
        context.session = Session(Credentials.store(context.admin, context.directory))
        _hello(context)


def _skipped(context: Context) -> str:
    # The first looks at the host, which is none of a node's business. The other restarts the
    # kubelet when all is up, for a change that can wait for its next start: see `rotate`.
    phases = ["preflight", "kubelet-finalize"]
    if context.config.networking.kube_proxy_mode == "none":
        phases.append("addon/kube-proxy")
    if dns_manifest(context) is not None:
        phases.append("addon/coredns")
    return ",".join(phases)


ROTATED: Final = "/var/lib/kubelet/pki/kubelet-client-current.pem"


def rotate(planned: Planned, call: Call) -> None:
    """
    Have the kubelet of the control plane use the certificate that it renews itself, from its next
    start on: what kubeadm's last phase does, without restarting it.
    """
    import yaml

    file = "/etc/kubernetes/kubelet.conf"
    node = planned.there
    if in_node(node, ["test", "-e", ROTATED], call, check=False).exit_code != 0:
        return  # it has not renewed it yet; the first one is good for a year
    read = yaml.safe_load(in_node(node, ["cat", file], call).stdout)
    for entry in read["users"]:
        entry["user"] = {"client-certificate": ROTATED, "client-key": ROTATED}
    put(node, file, yaml.safe_dump(read, sort_keys=False), call)


def server_of(context: Context) -> str:
    """
    Return the API server's URL for this machine: the node's own address, unless a port was asked
    for or that address is out of reach.
    """
    networking, reach, plane = context.config.networking, context.reach, context.control_plane
    asked = networking.api_server_port and networking.api_server_address != EVERYWHERE
    if reach.direct and not asked:
        return f"https://{plane.known.address}:{PORT}"
    port = next(p for p in plane.there.container.ports if p.container_port == PORT)
    host = reach.host if port.host_address in (EVERYWHERE, reach.address) else port.host_address
    return f"https://{host}:{port.host_port}"


def _hello(context: Context) -> None:
    """
    See whether the API server answers by way of the published port.
    """
    reach = context.reach
    if reach.direct:
        return
    try:
        context.api.get("/version", context.call)
    except UnavailableError as error:
        where = f"port {urlsplit(context.api.credentials.server).port} of {reach.host}"
        error.hint = (
            f"the API server is published on {where}: does a firewall keep this machine from it? "
            "networking.api_server_address and .api_server_port choose others; direct=True, or "
            "KINA_DOCKER_DIRECT=1, says that the nodes' own addresses are reached"
        )
        raise


INIT: Final = Action("init", "Starting the control plane", run)
