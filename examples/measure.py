"""
Watch a busy container: a series of samples, as one numpy array with named fields.

    python measure.py [IMAGE]
"""

import sys

import numpy as np

import kina

image = sys.argv[1] if len(sys.argv) > 1 else "docker.io/library/busybox:latest"

with kina.Container.run(image, ["sh", "-c", "while :; do :; done"], cpus=0.5) as busy:
    series = busy.sample(0.1, count=10)
    used = np.diff(series["cpu_ns"]) / np.diff(series["timestamp_ns"])
    print(f"{len(series)} samples; {used.mean():.2f} CPUs, {series['memory_bytes'].max():,} bytes")
