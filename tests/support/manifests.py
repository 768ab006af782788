"""
What clusters are given to run.
"""

from __future__ import annotations


def web_server(name: str, page: str) -> str:
    """
    Return a Deployment of web servers, one on each of two nodes.

    Args:
        name: Of the Deployment, and its pods' label "app".
        page: A shell command that prints what they serve.
    """
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations: [{{key: node-role.kubernetes.io/master, operator: Exists}}]
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {{matchLabels: {{app: {name}}}}}
      containers:
      - name: {name}
        image: localhost/shop:test
        command: [sh, -c, "{page} > /www/index.html; exec httpd -f -h /www"]
        readinessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 1}}
"""


def node_port(name: str) -> str:
    """
    Return a Service that every node has at port 30080.

    Args:
        name: Its own, and what its pods' label "app" says.
    """
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  type: NodePort
  selector: {{app: {name}}}
  ports: [{{port: 80, nodePort: 30080}}]
"""
