"""
Two containers on a network of their own: one serves, the other finds it by its name.

    python names.py [IMAGE]
"""

import sys

import kina

image = sys.argv[1] if len(sys.argv) > 1 else "docker.io/library/busybox:latest"

network = kina.Network.create("shop")
try:
    serve = "mkdir -p /srv && echo fresh bread > /srv/index.html && exec httpd -f -h /srv"
    with (
        kina.Container.run(image, ["sh", "-c", serve], name="baker", network=network) as baker,
        kina.Container.run(image, ["sleep", "600"], name="customer", network=network) as customer,
    ):
        ask = "until wget -q -O - http://baker/; do sleep 0.1; done"  # the shop may not be open yet
        got = customer.exec(["sh", "-c", ask], timeout=10, check=True)
        print(f"{customer.name} got {got.stdout.strip()} from {baker.name} at {baker.ip}")
finally:
    network.delete()
