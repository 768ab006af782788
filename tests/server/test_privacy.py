"""
What kina keeps is its user's alone: nobody else reads a file of a home, nor talks to its sockets.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import kina
from kina.runtimes import Runtime
from support.strangers import as_nobody

LOOK = """
import json, os, sys
found = []
for top in sys.argv[1:]:
    try:
        os.listdir(top)
    except PermissionError:
        continue
    for directory, directories, files in os.walk(top):
        paths = [os.path.join(directory, name) for name in files]
        found += [path for path in paths if os.access(path, os.R_OK) or os.access(path, os.W_OK)]
print(json.dumps(found))
"""


def test_nobody_else_reads_a_home_or_reaches_a_socket(remote: Runtime, image: str) -> None:
    info = remote.info()
    volume = kina.Volume.create("private")
    secret = Path(volume.path, "token")
    secret.write_text("s3cret")
    secret.chmod(0o644)
    with kina.Container.run(image, ["sh", "-c", "echo hidden; sleep 60"], env={"TOKEN": "x"}):
        # What leads there must let others in, or the test would prove nothing of kina's own modes.
        for parent in Path(info.home).parents:
            if parent.stat().st_uid == os.getuid() and parent != Path("/"):
                parent.chmod(stat.S_IMODE(parent.stat().st_mode) | 0o711)
        assert json.loads(as_nobody(LOOK, info.home, info.run_directory)) == []
    volume.delete()


def test_every_directory_and_socket_is_private_by_its_own_mode(remote: Runtime) -> None:
    info = remote.info()
    kina.Volume.list()
    open_ones = [
        f"{path} {stat.filemode(path.lstat().st_mode)}"
        for path in (Path(info.home), Path(info.run_directory), Path(info.run_directory, "server"))
        # The name server, a user of its own, passes through what it can't list.
        if stat.S_IMODE(path.lstat().st_mode) & 0o066
    ]
    sockets = [
        str(path)
        for path in Path(info.run_directory).rglob("*")
        if stat.S_ISSOCK(path.lstat().st_mode) and stat.S_IMODE(path.lstat().st_mode) & 0o077
    ]
    assert (open_ones, sockets) == ([], [])
