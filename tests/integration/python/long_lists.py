"""Lists that are sent compressed and in many parts, read by the Python client and by Python itself.

One argument: the controller of an empty cluster, as linstor://ADDR:PORT. Ends with status 0 only if everything held.
"""

import gzip
import json
import sys
import urllib.request

import linstor

NAMES = ["web%03d" % number for number in range(150)]


def fetched(url, encoding):
    request = urllib.request.Request(url, headers={"Accept-Encoding": encoding})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return reply.headers.get("Content-Encoding"), reply.read()


def main(address):
    base = address.replace("linstor://", "http://")
    with linstor.Linstor(address) as api:
        for name in NAMES:
            replies = api.resource_dfn_create(name)
            assert replies and not any(reply.is_error() for reply in replies), replies
        # Twice: the second answer is made of what the first one left behind.
        for _ in range(2):
            listed = api.resource_dfn_list_raise().resource_definitions
            assert [one.name for one in listed] == NAMES, listed
        assert not any(reply.is_error() for reply in api.resource_dfn_delete(NAMES[70]))
        names = NAMES[:70] + NAMES[71:]
        assert [one.name for one in api.resource_dfn_list_raise().resource_definitions] == names
    for path in ["/v1/resource-definitions", "/metrics"]:
        kind, zipped = fetched(base + path, "gzip")
        assert kind == "gzip", kind
        text = gzip.decompress(zipped)  # Fails unless checksum and length are true.
        kind, plain = fetched(base + path, "identity")
        assert kind is None, kind
        assert len(zipped) * 3 < len(plain), (len(zipped), len(plain))
        if path != "/metrics":
            assert text == plain
            assert [one["name"] for one in json.loads(text)] == names


main(sys.argv[1])
