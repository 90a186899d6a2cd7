"""Every public method of the Python client, called once with arguments that mean something.

Three simulated nodes `alpha`, `bravo` and `charlie` with a pool `sim` each. One argument: the controller, as linstor://ADDR:PORT.
Ends with status 0 only if every call was answered as the client expects, and no method of its classes was left out.
"""

import os
import sys
import tempfile
import time

import linstor
from linstor import LinstorApiCallError, LinstorError

MIB = 1024  # in KiB

# Methods that never reach a controller, or only set up the client.
called = set()


class Recorder:
    """Stands before an object of the client and notes which of its methods are called."""

    def __init__(self, target):
        object.__setattr__(self, "target", target)

    def __getattr__(self, name):
        value = getattr(self.target, name)
        if callable(value):
            called.add((type(self.target).__name__, name))
        return value

    def __setattr__(self, name, value):
        setattr(self.target, name, value)


def good(replies):
    """A change that must work: every entry of its reply is free of errors."""
    assert replies is not None
    if isinstance(replies, list):
        bad = [str(reply) for reply in replies if hasattr(reply, "is_error") and reply.is_error()]
        assert not bad, bad
    return replies


def answered(call, *arguments, **named):
    """A call whose capability may be missing here: the client must understand the answer, whether it is a yes or a no."""
    try:
        replies = call(*arguments, **named)
    except LinstorApiCallError as error:
        assert error.main_error is not None and error.main_error.message, error
        return None
    except LinstorError as error:
        # The client's own way to say that something is not there; never a broken connection.
        assert "onnect" not in str(error), error
        return None
    for reply in replies if isinstance(replies, list) else []:
        if isinstance(reply, linstor.responses.ApiCallResponse):
            assert reply.message, "an entry without a message"
    return replies


def wait(what, look, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, "no %s within %d s" % (what, seconds)
        time.sleep(0.05)


def the_client_itself(api):
    assert api.controller_version().rest_api_version
    assert not api.api_version_smaller("1.0.0")
    assert api.controller_host()
    assert api.controller_uri_list("a,b") == ["linstor://a", "linstor://b"]
    assert "drbd" in [layer.lower() for layer in api.layer_list()]
    assert "LVM" in api.provider_list()
    assert api.node_types()
    assert api.parse_volume_size_to_kib("1GiB") == 1024 * MIB
    replies = good(api.storage_pool_dfn_create("spare"))
    assert api.all_api_responses_no_error(replies)
    assert api.all_api_responses_success(replies)
    assert api.filter_api_call_response(replies)
    assert not api.filter_api_call_response_errors(replies)
    api.return_if_error(replies)
    api.return_if_failure(replies)
    assert not api.has_linstor_https("127.0.0.1", 1)
    good(api.storage_pool_dfn_modify("spare", {"Aux/a": "1"}))
    assert "spare" in [one.name for one in api.storage_pool_dfn_list()[0].storage_pool_definitions]
    good(api.storage_pool_dfn_delete("spare"))
    answered(api.stats)
    answered(api.controller_info)


def controller(api):
    good(api.controller_set_prop("Aux/site", "north"))
    assert api.controller_props()[0].properties["Aux/site"] == "north"
    good(api.controller_del_prop("Aux/site"))
    answered(api.controller_set_log_level, "INFO", glob=True)
    answered(api.controller_backupdb, "every-method")
    answered(api.controller_exportdb, "every-method")
    answered(api.error_report_list)
    answered(api.error_report_delete, ids=["5F3A0000-00000-000000"])
    answered(api.space_reporting_query)
    good(api.keyvaluestore_modify("kvs", property_dict={"a": "1"}))
    assert api.keyvaluestore_list("kvs").properties == {"a": "1"}
    assert api.keyvaluestores()
    good(api.keyvaluestore_modify("kvs", delete_props=["a"]))
    answered(api.sos_report_create)
    with tempfile.TemporaryDirectory() as folder:
        answered(api.sos_report_download, to_file=os.path.join(folder, "sos.tar.gz"))


def nodes(api):
    good(api.node_create("delta", "Satellite", "127.0.0.1", port=1))
    good(api.node_modify("delta", property_dict={"Aux/rack": "1"}))
    assert [node.name for node in api.node_list_raise(filter_by_props=["Aux/rack=1"]).nodes] == ["delta"]
    assert api.node_list(["delta"])
    good(api.netinterface_create("delta", "data", "127.0.0.9"))
    good(api.netinterface_modify("delta", "data", ip="127.0.0.10"))
    assert len(api.net_interface_list("delta")) == 2
    good(api.netinterface_delete("delta", "data"))
    good(api.node_reconnect(["delta"]))
    answered(api.node_set_log_level, "alpha", "INFO")
    answered(api.node_evacuate, "delta")
    answered(api.node_restore, "delta")
    good(api.node_lost("delta"))
    good(api.node_create("echo", "Satellite", "127.0.0.1", port=1))
    answered(api.node_delete, "echo")
    answered(api.node_create_ebs, "cloud", "no-such-remote")
    answered(api.node_conn_modify, "alpha", "bravo", {"Aux/line": "slow"}, [])
    answered(api.node_conn_list)
    answered(api.node_conn_list_raise, "alpha", "bravo")
    answered(api.node_conn_list_specific_pair, "alpha", "bravo")


def pools(api):
    good(api.storage_pool_create("alpha", "second", "LVM_THIN", "vg/second"))
    good(api.storage_pool_modify("alpha", "second", {"Aux/tier": "fast"}))
    assert len(api.storage_pool_list_raise(filter_by_stor_pools=["second"]).storage_pools) == 1
    assert api.storage_pool_list(["alpha"])
    good(api.storage_pool_delete("alpha", "second"))
    answered(api.storage_pool_dfn_max_vlm_sizes, 2)
    answered(api.physical_storage_list)
    answered(api.physical_storage_create_device_pool, "alpha", "LVM", ["/dev/no-such-device"], pool_name="vg")


def groups(api):
    good(api.resource_group_create("grp", description="for the test", place_count=2, storage_pool=["sim"]))
    good(api.volume_group_create("grp"))
    good(api.volume_group_modify("grp", 0, {"Aux/a": "1"}))
    assert len(api.volume_group_list_raise("grp").volume_groups) == 1
    good(api.resource_group_modify("grp", property_dict={"Aux/owner": "test"}))
    assert api.resource_group_list_raise(["grp"]).resource_groups[0].name == "grp"
    answered(api.resource_group_qmvs, "grp")
    answered(api.resource_group_query_size_info, "grp")
    good(api.resource_group_spawn("grp", "spawned", ["32MiB"]))
    good(api.resource_group_adjust("grp"))
    good(api.resource_dfn_delete("spawned"))
    good(api.volume_group_delete("grp", 0))
    wait("end of what was spawned", lambda: not api.resource_dfn_list_raise(filter_by_resource_definitions=["spawned"]).resource_definitions)
    good(api.resource_group_delete("grp"))


def definitions(api):
    good(api.resource_dfn_create("web"))
    good(api.resource_dfn_modify("web", {"Aux/app": "shop"}))
    assert api.resource_dfn_list(filter_by_resource_definitions=["web"])
    answered(api.resource_dfn_props_list, "web")
    good(api.volume_dfn_create("web", 32 * MIB))
    good(api.volume_dfn_modify("web", 0, set_properties={"Aux/a": "1"}))
    answered(api.volume_dfn_modify_passphrase, "web", 0, "new passphrase")
    good(api.resource_create([linstor.ResourceData("alpha", "web", storage_pool="sim")]))
    good(api.resource_auto_place("web", 2, storage_pool=["sim"]))
    assert len(api.resource_list_raise(filter_by_resources=["web"]).resources) >= 2
    assert api.resource_list(["alpha"])
    assert api.volume_list_raise(filter_by_resources=["web"])
    assert api.volume_list(["alpha"])
    good(api.resource_modify("alpha", "web", {"Aux/b": "1"}))
    good(api.volume_modify("alpha", "web", 0, {"Aux/c": "1"}))
    other = [one.node_name for one in api.resource_list_raise(filter_by_resources=["web"]).resources if one.node_name != "alpha"][0]
    answered(api.resource_conn_modify, "web", "alpha", other, {"Aux/line": "slow"}, [])
    answered(api.resource_conn_list, "web")
    answered(api.resource_conn_list_raise, "web")
    answered(api.resource_conn_node_list_raise, "web", "alpha", other)
    answered(api.resource_dfn_sync_status, "web")
    answered(api.resource_dfn_wait_synced, "web", wait_interval=0.1, timeout=1)
    answered(api.drbd_proxy_enable, "web", "alpha", other)
    answered(api.drbd_proxy_modify, "web", property_dict={"memlimit": "100000"})
    answered(api.drbd_proxy_disable, "web", "alpha", other)
    good(api.snapshot_create([], "web", "s1"))
    good(api.snapshot_create_multi([], ["web"], "s2"))
    assert {one.name for one in api.snapshot_dfn_list_raise(filter_by_resources=["web"]).snapshots} == {"s1", "s2"}
    assert api.snapshot_dfn_list()
    answered(api.snapshot_dfn_modify, "web", "s1", {"Aux/keep": "yes"})
    good(api.resource_dfn_create("copy"))
    good(api.snapshot_volume_definition_restore("web", "s1", "copy"))
    good(api.snapshot_resource_restore([], "web", "s1", "copy"))
    good(api.snapshot_rollback("web", "s2"))
    api.resource_dfn_clone("web", "twin")
    answered(api.resource_dfn_clone_status, "web", "twin")
    assert api.resource_dfn_clone_wait_complete("web", "twin", wait_interval=0.1, timeout=30)
    good(api.snapshot_delete("web", "s1"))
    good(api.snapshot_delete("web", "s2"))
    third = ({"alpha", "bravo", "charlie"} - {"alpha", other}).pop()
    answered(api.resource_make_available, third, "web")
    answered(api.resource_unmake_available, third, "web")
    answered(api.resource_delete_if_diskless, third, "web")
    good(api.resource_delete(third, "web"))
    good(api.resource_create([linstor.ResourceData(third, "web", diskless=True)]))
    answered(api.resource_toggle_disk, third, "web", storage_pool="sim")
    answered(api.resource_deactivate, other, "web")
    answered(api.resource_activate, other, "web")
    good(api.resource_create_and_auto_place("quick", 16 * MIB, 2, "sim"))
    good(api.volume_dfn_create("web", 16 * MIB, storage_pool="sim"))
    good(api.volume_dfn_delete("web", 1))
    answered(api.file_modify, "/etc/every-method.conf", b"text")
    answered(api.file_list)
    answered(api.file_show, "/etc/every-method.conf")
    answered(api.file_deploy, "/etc/every-method.conf", "web")
    answered(api.file_undeploy, "/etc/every-method.conf", "web")
    answered(api.file_delete, "/etc/every-method.conf")
    answered(api.resource_dfn_truncate, "copy")
    for name in ("copy", "twin", "quick", "web"):
        good(api.resource_dfn_delete(name))
    wait("end of all definitions", lambda: not api.resource_dfn_list_raise().resource_definitions)


def what_is_not_here(api):
    """Remotes, backups and schedules: the client must understand how they are refused."""
    answered(api.remote_create_s3, "s3", "s3.example.com", "region", "bucket", "access", "secret")
    answered(api.remote_create_linstor, "other", "linstor://127.0.0.1")
    answered(api.remote_create_ebs, "ebs", "zone", "access", "secret")
    answered(api.remote_list)
    answered(api.remote_modify_s3, "s3", region="other")
    answered(api.remote_modify_linstor, "other", url="linstor://127.0.0.2")
    answered(api.remote_modify_ebs, "ebs", region="other")
    answered(api.remote_delete, "s3")
    answered(api.backup_create, "s3", "web")
    answered(api.backup_list, "s3")
    answered(api.backup_info, "s3", resource_name="web")
    answered(api.backup_restore, "s3", "alpha", "web2", resource_name="web")
    answered(api.backup_ship, "other", "web", "web2")
    answered(api.backup_abort, "s3", "web", create=True)
    answered(api.backup_delete, "s3", bak_id="id")
    answered(api.backup_queue_list)
    answered(api.schedule_create, "nightly", "0 1 * * *")
    answered(api.schedule_list)
    answered(api.schedule_modify, "nightly", keep_local=1)
    answered(api.schedule_list_by_resource)
    answered(api.schedule_list_by_resource_details, "web")
    answered(api.backup_schedule_enable, "s3", "nightly")
    answered(api.backup_schedule_disable, "s3", "nightly")
    answered(api.backup_schedule_delete, "s3", "nightly")
    answered(api.schedule_delete, "nightly")
    answered(api.crypt_status)
    answered(api.crypt_create_passphrase, "a passphrase")
    answered(api.crypt_enter_passphrase, "a passphrase")
    answered(api.crypt_modify_passphrase, "a passphrase", "another")
    answered(api.controller_list_auth_tokens)
    answered(api.controller_create_auth_token, "for the test")
    answered(api.controller_modify_auth_token, 99, description="other")
    answered(api.controller_delete_auth_token, 99)


def resource_object(uri):
    shop = linstor.Resource("shop", uri=uri)
    shop.volumes[0] = linstor.Volume("32 MiB")
    shop.placement.redundancy = 2
    shop.placement.storage_pool = "sim"
    resource = Recorder(shop)
    resource.autoplace()
    holders = resource.diskful_nodes()
    assert len(holders) == 2, holders
    assert resource.is_assigned(holders[0]) and resource.is_diskful(holders[0])
    resource.is_thin()
    assert shop.linstor_name == "shop" and shop.name == "shop"
    third = ({"alpha", "bravo", "charlie"} - set(holders)).pop()
    resource.activate(third)
    assert resource.is_diskless(third)
    assert third in resource.diskless_nodes()
    resource.deactivate(third)
    answered(resource.diskless, third)
    answered(resource.diskful, holders[0])
    resource.snapshot_create("before")
    resource.snapshot_rollback("before")
    resource.restore_from_snapshot("before", "shop-copy")
    resource.clone("shop-twin", timeout=60)
    resource.snapshot_delete("before")
    for name in ("shop-twin", "shop-copy"):
        linstor.Resource(name, uri=uri).delete()
    resource.delete()
    group = linstor.ResourceGroup("pair", uri=uri)
    group.redundancy = 2
    group.storage_pool = ["sim"]
    group.nr_volumes = 1
    recorded = Recorder(group)
    answered(recorded.query_max_volume_size)
    recorded.create_resource("one", ["20MiB"]).delete()
    called.add(("Resource", "from_resource_group"))
    linstor.Resource.from_resource_group(uri, "pair", "two", ["20MiB"]).delete()
    recorded.delete()
    store = linstor.KV("every", uri=uri)
    store["a"] = "1"
    recorded = Recorder(store)
    assert list(recorded.keys()) == ["/a"] or list(recorded.keys()) == ["a"], list(recorded.keys())
    recorded.clear()


# Set up and end the connection; would change how this machine's client signs in for good; fail in the client itself, which forgets to connect.
ELSEWHERE = {
    ("Resource", "drbd_proxy_enable"),
    ("Resource", "drbd_proxy_disable"),
    ("MultiLinstor", "connect"),
    ("MultiLinstor", "disconnect"),
    ("MultiLinstor", "controller_init_auth_token"),
}


def left_out():
    """Public methods of the classes that were not called."""
    missing = set()
    for kind in (linstor.MultiLinstor, linstor.Resource, linstor.ResourceGroup):
        for name in dir(kind):
            if not name.startswith("_") and callable(getattr(kind, name)):
                missing.add((kind.__name__, name))
    return sorted(missing - called - ELSEWHERE)


def main():
    uri = sys.argv[1]
    with linstor.MultiLinstor([uri]) as client:
        api = Recorder(client)
        for part in (the_client_itself, controller, nodes, pools, groups, definitions, what_is_not_here):
            part(api)
    resource_object(uri)
    assert not left_out(), "never called: %s" % left_out()
    print("called: %d methods" % len(called))


main()
