"""
Kubeconfigs of clusters, where the processes that tests start can import them.
"""

from __future__ import annotations

from typing import Any

from kina import kubeconfig

ADMIN = """
apiVersion: v1
kind: Config
clusters:
- name: kubernetes
  cluster: {certificate-authority-data: Q0E=, server: "https://control-plane.kina:6443"}
users:
- name: kubernetes-admin
  user: {client-certificate-data: Q1JU, client-key-data: S0VZ}
contexts:
- name: kubernetes-admin@kubernetes
  context: {cluster: kubernetes, user: kubernetes-admin}
current-context: kubernetes-admin@kubernetes
"""


def config(name: str = "dev") -> dict[str, Any]:
    return kubeconfig.rewrite(ADMIN, name, "https://10.1.2.3:6443")


def merge_and_remove(path: str, number: int) -> None:
    """
    Add a cluster's entries and, again and again, another's that do not stay.
    """
    for _ in range(5):
        kubeconfig.merge(config(f"c{number}"), path)
        kubeconfig.merge(config(f"gone{number}"), path)
        kubeconfig.remove(f"gone{number}", path)
