"""The low-level calls of the Python client, against a cluster of two nodes `alpha` and `bravo` with a pool `thin` each.

One argument: the controller, as linstor://ADDR:PORT. Ends with status 0 only if everything held.
"""

import os
import sys
import time

import linstor

MIB = 1024  # in KiB


def good(replies):
    """Every entry of a reply is free of errors."""
    assert replies, "an empty reply"
    bad = [str(reply) for reply in replies if reply.is_error()]
    assert not bad, bad
    return replies


def only(things):
    things = list(things)
    assert len(things) == 1, things
    return things[0]


def wait(what, look, seconds=30):
    """Asks until the answer is true; the client has no call that waits."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, "no %s within %d s" % (what, seconds)
        time.sleep(0.05)


def nodes_and_pools(api):
    version = api.controller_version()
    assert version.rest_api_version.startswith("1."), version.rest_api_version
    nodes = {node.name: node for node in api.node_list_raise().nodes}
    assert set(nodes) == {"alpha", "bravo"}, nodes
    assert all(node.connection_status == "ONLINE" for node in nodes.values())
    good(api.node_modify("alpha", property_dict={"Aux/site": "north"}))
    node = only(api.node_list_raise(filter_by_nodes=["alpha"]).nodes)
    assert node.props["Aux/site"] == "north", node.props
    good(api.netinterface_create("alpha", "second", "127.0.0.9"))
    names = [interface.name for interface in only(api.node_list_raise(filter_by_nodes=["alpha"]).nodes).net_interfaces]
    assert names == ["default", "second"], names
    good(api.netinterface_delete("alpha", "second"))
    pools = [pool for pool in api.storage_pool_list_raise(filter_by_stor_pools=["thin"]).storage_pools]
    assert sorted(pool.node_name for pool in pools) == ["alpha", "bravo"], pools
    assert all(pool.free_space.total_capacity >= pool.free_space.free_capacity > 0 for pool in pools)
    good(api.storage_pool_modify("alpha", "thin", {"Aux/tier": "fast"}))


def groups(api):
    good(api.resource_group_create("grp", description="for the test", place_count=1, storage_pool=["thin"]))
    good(api.volume_group_create("grp"))
    good(api.resource_group_modify("grp", property_dict={"Aux/owner": "test"}))
    group = only(api.resource_group_list_raise(filter_by_resource_groups=["grp"]).resource_groups)
    assert group.description == "for the test" and group.select_filter.place_count == 1
    good(api.resource_group_spawn("grp", "spawned", ["32MiB"]))
    placed = api.resource_list_raise(filter_by_resources=["spawned"]).resources
    assert len(placed) == 1, placed
    good(api.resource_dfn_delete("spawned"))
    wait("end of the definition", lambda: not api.resource_dfn_list_raise(filter_by_resource_definitions=["spawned"]).resource_definitions)
    good(api.resource_group_delete("grp"))


def volumes(api):
    good(api.resource_dfn_create("web", layer_list=["storage"]))
    good(api.volume_dfn_create("web", 32 * MIB))
    good(api.resource_create([linstor.ResourceData("alpha", "web", storage_pool="thin")]))
    resource = only(api.resource_list_raise(filter_by_resources=["web"]).resources)
    device = wait("device", lambda: only(only(api.resource_list_raise(filter_by_resources=["web"]).resources).volumes).device_path)
    assert resource.node_name == "alpha" and os.path.exists(device), device
    with open(device, "r+b") as file:
        file.write(b"python")
        os.fsync(file.fileno())
    good(api.volume_dfn_modify("web", 0, size=64 * MIB))
    definition = only(api.resource_dfn_list_raise(filter_by_resource_definitions=["web"]).resource_definitions)
    assert only(definition.volume_definitions).size == 64 * MIB
    good(api.resource_dfn_modify("web", {"Aux/app": "shop"}))
    good(api.snapshot_create([], "web", "s1", False))
    snapshot = only(api.snapshot_dfn_list_raise(filter_by_resources=["web"]).snapshots)
    assert snapshot.name == "s1" and snapshot.rsc_name == "web"
    with open(device, "r+b") as file:
        file.write(b"second")
        os.fsync(file.fileno())
    good(api.resource_dfn_create("copy", layer_list=["storage"]))
    good(api.snapshot_volume_definition_restore("web", "s1", "copy"))
    good(api.snapshot_resource_restore([], "web", "s1", "copy"))
    copy = wait("copy", lambda: only(only(api.resource_list_raise(filter_by_resources=["copy"]).resources).volumes).device_path)
    with open(copy, "rb") as file:
        assert file.read(6) == b"python"
    good(api.snapshot_rollback("web", "s1"))
    with open(only(only(api.resource_list_raise(filter_by_resources=["web"]).resources).volumes).device_path, "rb") as file:
        assert file.read(6) == b"python"
    api.resource_dfn_clone("web", "twin")
    assert api.resource_dfn_clone_wait_complete("web", "twin", wait_interval=0.1, timeout=30)
    good(api.snapshot_delete("web", "s1"))
    good(api.resource_delete("alpha", "copy"))
    for name in ("copy", "twin", "web"):
        good(api.resource_dfn_delete(name))
    wait("end of all definitions", lambda: not api.resource_dfn_list_raise().resource_definitions)


def key_values(uri):
    store = linstor.KV("settings", uri=uri)
    store["a/b"] = "1"
    store["c"] = "2"
    assert dict(linstor.KV("settings", uri=uri).items()) == {"a/b": "1", "c": "2"}
    del store["c"]
    assert "c" not in linstor.KV("settings", uri=uri)
    store.clear()


def refusals(api):
    assert api.resource_dfn_create("web", layer_list=["no-such-layer"])[0].is_error()
    assert api.volume_dfn_create("missing", MIB)[0].is_error()
    assert not any(reply.is_error() for reply in api.resource_dfn_delete("missing")), "deleting what is not there is a warning"


def main():
    uri = sys.argv[1]
    with linstor.MultiLinstor([uri]) as api:
        nodes_and_pools(api)
        groups(api)
        volumes(api)
        refusals(api)
    key_values(uri)


main()
