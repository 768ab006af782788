"""
What a machine's reboot takes, without one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess

from support.leaks import Host, wait_until


def pull_the_plug(host: Host) -> None:
    """
    Take everything that a reboot takes: processes, mounts, interfaces, rules, cgroups, /run.
    """
    for _ in range(50):
        running = host.processes()
        if not running:
            break
        for pid in running:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        wait_until(lambda: not host.processes(), seconds=0.2)
    for point in sorted(host.mounts(), reverse=True):
        subprocess.run(["umount", "-l", point], check=True)
    bridges = {f"kina{identifier[:8]}" for identifier in host.networks()}
    for link in host.links() | bridges:
        subprocess.run(["ip", "link", "del", link], check=False, capture_output=True)
    rules = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    kept = [line for line in rules.splitlines() if "kina" not in line.lower() and "CNI" not in line]
    subprocess.run(["iptables-restore"], input="\n".join(kept) + "\n", check=True, text=True)
    for group in sorted(host.cgroups(), reverse=True):
        for directory, _, _ in os.walk(group, topdown=False):
            os.rmdir(directory)
    shutil.rmtree(host.run)
    # The kernel's boot id is what it is: the records come from an earlier one.
    for record in (host.home / "containers").glob("*/record.json"):
        document = json.loads(record.read_text())
        if document.get("run"):
            document["run"]["bootID"] = "00000000-0000-0000-0000-000000000000"
            record.write_text(json.dumps(document))
    for record in (host.home / "pods").glob("*/record.json"):
        document = json.loads(record.read_text())
        if document.get("bootID"):
            record.write_text(json.dumps(document | {"bootID": "an-earlier-one"}))
