"""The Python client's `Resource` object, as plugins use it, on two nodes `alpha` and `bravo` with a pool `thin` each.

One argument: the controller, as linstor://ADDR:PORT. Ends with status 0 only if everything held.
"""

import os
import sys

import linstor

MIB = 1 << 20


def first_bytes(path, length):
    with open(path, "rb") as file:
        return file.read(length)


def write(path, content):
    with open(path, "r+b") as file:
        file.write(content)
        os.fsync(file.fileno())


def size_of(path):
    with open(path, "rb") as file:
        return file.seek(0, os.SEEK_END)


def main():
    uri = sys.argv[1]

    resource = linstor.Resource("shop", uri=uri)
    resource.volumes[0] = linstor.Volume("32 MiB")
    resource.volumes[1] = linstor.Volume("16 MiB")
    resource.placement.redundancy = 1
    resource.placement.storage_pool = "thin"
    resource.autoplace()

    holders = resource.diskful_nodes()
    assert len(holders) == 1, holders
    holder = holders[0]
    assert resource.is_assigned(holder) and resource.is_diskful(holder) and not resource.is_diskless(holder)
    assert resource.is_thin()

    # What holds the data serves it: activation finds it there.
    resource.activate(holder)
    device = resource.volumes[0].device_path
    assert os.path.exists(device), device
    assert size_of(device) == 32 * MIB
    assert size_of(resource.volumes[1].device_path) == 16 * MIB
    assert resource.volumes[0].storage_pool_name == "thin"
    write(device, b"first state")

    # A size is changed by assignment.
    resource.volumes[0].size += 32 * MIB
    assert resource.volumes[0].size == 64 * MIB
    assert size_of(resource.volumes[0].device_path) == 64 * MIB
    assert first_bytes(resource.volumes[0].device_path, 11) == b"first state"

    resource.snapshot_create("before")
    write(resource.volumes[0].device_path, b"other state")
    resource.restore_from_snapshot("before", "shop-copy")
    copy = linstor.Resource("shop-copy", uri=uri)
    assert first_bytes(copy.volumes[0].device_path, 11) == b"first state"
    resource.snapshot_rollback("before")
    resource = linstor.Resource("shop", uri=uri)
    assert first_bytes(resource.volumes[0].device_path, 11) == b"first state"
    resource.clone("shop-twin", timeout=60)
    assert first_bytes(linstor.Resource("shop-twin", uri=uri).volumes[0].device_path, 11) == b"first state"

    # A replica with data stays when it is no longer needed here.
    resource.deactivate(holder)
    assert linstor.Resource("shop", uri=uri).is_diskful(holder)

    # Another object with the name finds what there is.
    again = linstor.Resource("shop", uri=uri)
    assert again.volumes[0].size == 64 * MIB
    assert again.diskful_nodes() == holders

    resource.snapshot_delete("before")
    for name in ("shop-twin", "shop-copy", "shop"):
        linstor.Resource(name, uri=uri).delete()
    with linstor.MultiLinstor([uri]) as api:
        left = api.resource_dfn_list_raise().resource_definitions
        assert not left, left

    # The same by way of a resource group.
    group = linstor.ResourceGroup("single", uri=uri)
    group.redundancy = 1
    group.storage_pool = ["thin"]
    group.nr_volumes = 1
    spawned = group.create_resource("spawned", ["20MiB"])
    assert len(spawned.diskful_nodes()) == 1
    assert os.path.exists(spawned.volumes[0].device_path)
    spawned.delete()
    group.delete()


main()
