"""
kubeadm, and beside it one that sees when what kubeadm waits for will not come: kubeadm itself waits
minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from kina._together import together
from kina.bootstrap._action import Planned, telling
from kina.calls import Call
from kina.errors import InvalidStateError, OperationCancelledError
from kina.node import journal, run

__all__ = ["journal_of", "supervised"]

SIGHT: Final = r"""
while sleep 1; do
    # Older images start it again and again until it is configured.
    [ -e /var/lib/kubelet/config.yaml ] || continue
    state=$(systemctl show --property=SubState --value kubelet)
    ended=$(systemctl show --property=NRestarts --value kubelet)
    if [ "$state" = auto-restart ] && [ "${ended:-0}" -ge 5 ]; then
        echo "the kubelet ends as soon as it is started"
        exit
    fi
    # A static pod's containers are numbered as they are started again, ever later.
    for name in etcd kube-apiserver; do
        for log in /var/log/pods/kube-system_"$name"-*/"$name"/[2-9].log; do
            [ -e "$log" ] || continue
            echo "$name ends as soon as it is started"
            exit
        done
    done
done
"""
"""Constant. It ends, saying why, when a node's part of Kubernetes will not come up."""

_PODS: Final = r"""
for name in etcd kube-apiserver; do
    for log in /var/log/pods/kube-system_"$name"-*/"$name"/*.log; do
        [ -e "$log" ] && last=$log || continue
    done
    [ -n "${last-}" ] && tail -n 50 "$last" | sed "s/^[^ ]* [^ ]* [FP] /$name: /"
    last=
done
"""


def supervised(planned: Planned, args: Sequence[str], call: Call) -> None:
    """
    Run kubeadm in a node, and end it early when it waits in vain.

    Args:
        planned: The node.
        args: kubeadm's.
        call: Bounds it.

    Raises:
        InvalidStateError: The kubelet, or what it is to run, ends again and again.
        ExecError: kubeadm has failed.
    """
    node = planned.there
    own, sight = Call(call.remaining), Call(call.remaining)
    reasons: list[str] = []

    def work() -> None:
        try:
            run(node, ["kubeadm", *args], own)
        finally:
            sight.cancel()

    def watch() -> None:
        try:
            reasons.append(run(node, ["sh", "-c", SIGHT], sight).stdout.strip())
        except OperationCancelledError:
            return  # kubeadm was first
        own.cancel()

    with call.cancelling(own.cancel):
        try:
            together([work, watch], own)
        except OperationCancelledError:
            if not reasons:
                raise
            raise InvalidStateError(
                f"kubeadm waits in vain: {reasons[0]}",
                hint="the lines say why; a patch of the configuration is the usual cause",
            ) from None


def journal_of(planned: Planned) -> Callable[[], Sequence[str]]:
    """
    Return what finds the telling lines of a node's etcd, API server, containerd and kubelet.
    """

    def find() -> Sequence[str]:
        lines = [
            f"{unit}: {line}"[:400]
            for unit, limit in (("containerd", 3), ("kubelet", 6))
            for line in telling(
                "\n".join(journal(planned.there, [unit], 300)), limit, or_last=False
            )
        ]
        pods = planned.there.exec(["sh", "-c", _PODS], timeout=10).stdout
        return [*(line[:400] for line in telling(pods, 4, or_last=False)), *lines]

    return find
