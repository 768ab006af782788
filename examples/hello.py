"""
Run a command in a container of its own, and get what it wrote and how it ended.

    python hello.py [IMAGE]
"""

import sys

import kina

image = sys.argv[1] if len(sys.argv) > 1 else "docker.io/library/busybox:latest"

done = kina.run(image, ["sh", "-c", "echo hello from $(hostname); exit 3"], name="hello")
print(done.stdout.strip(), "and exit code", done.exit_code)
