"""Every public method of the Python client, called once with arguments that mean something.

Three simulated nodes `alpha`, `bravo` and `charlie` with a pool `sim` each, which let external files be written below /etc/every. One argument: the controller, as linstor://ADDR:PORT.
Ends with status 0 only if every call was answered as the client expects, and no method of its classes was left out.
"""

import base64
import os
import re
import sys
import tarfile
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


def refused(code, word, call, *arguments, **named):
    """A call that must be refused, with this return code (the number of a fault or a warning) and a word of the message."""
    try:
        replies = call(*arguments, **named)
    except LinstorApiCallError as error:
        replies = [error.main_error]
    entries = [one for one in replies if isinstance(one, linstor.responses.ApiCallResponse) and not one.is_success()]
    assert entries, "%s was not refused: %s" % (call.__name__, replies)
    told = ["%d %s" % (one.ret_code & 0xFFFF, one.message) for one in entries]
    assert any(one.ret_code & 0xFFFF == code and word in one.message for one in entries), "%s: %s" % (call.__name__, told)


def too_new(version, call, *arguments):
    """A call that the client itself does not make, because the API of today's servers has no such operation."""
    try:
        call(*arguments)
    except LinstorApiCallError as error:
        raise AssertionError("%s reached the server: %s" % (call.__name__, error)) from error
    except LinstorError as error:
        assert "needed %s" % version in str(error), error
    else:
        raise AssertionError("%s was not refused by the client" % call.__name__)


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
    assert api.stats() == ""
    assert api.controller_info().startswith("LINSTOR,Controller,%s," % api.controller_version().version)


def controller(api):
    good(api.controller_set_prop("Aux/site", "north"))
    assert api.controller_props()[0].properties["Aux/site"] == "north"
    good(api.controller_del_prop("Aux/site"))
    told = good(api.controller_set_log_level("DEBUG", glob=True))
    assert [sorted(one.object_refs.values()) for one in told] == [[], ["alpha"], ["bravo"], ["charlie"]], told
    assert all("at DEBUG" in one.message for one in told), told
    good(api.controller_set_log_level("INFO", glob=True))
    location = good(api.controller_backupdb("every-method"))[0].object_refs["backup_location"]
    with open(location, "rb") as kept:
        assert b"alpha" in kept.read()
    told = good(api.controller_exportdb("every-method"))[0].message
    with open(re.search(r"/\S+\.json", told).group(), encoding="utf-8") as kept:
        assert "alpha" in kept.read()
    assert api.error_report_list() == []
    deleted = good(api.error_report_delete(ids=["5F3A0000-00000-000000"]))
    assert deleted[0].message == "No error reports deleted.", deleted
    assert "storage-pool list" in api.space_reporting_query()[0].report
    good(api.keyvaluestore_modify("kvs", property_dict={"a": "1"}))
    assert api.keyvaluestore_list("kvs").properties == {"a": "1"}
    assert api.keyvaluestores()
    good(api.keyvaluestore_modify("kvs", delete_props=["a"]))
    assert "kvs" not in [one.name for one in api.keyvaluestores().instances()], "a store without keys is left"
    assert tarfile.is_tarfile(good(api.sos_report_create())[0].object_refs["path"])
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "sos.tar.gz")
        good(api.sos_report_download(to_file=file))
        assert tarfile.is_tarfile(file)


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
    told = good(api.node_set_log_level("alpha", "TRACE"))
    assert "at TRACE" in told[0].message and told[0].object_refs == {"Node": "alpha"}, told
    good(api.node_set_log_level("alpha", "INFO"))
    flags = lambda: api.node_list_raise(["delta"]).node("delta").flags
    good(api.node_evacuate("delta"))
    assert flags() == ["EVACUATE"], flags()
    good(api.node_restore("delta"))
    assert flags() == [], flags()
    good(api.node_lost("delta"))
    good(api.node_create("echo", "Satellite", "127.0.0.1", port=1))
    good(api.node_delete("echo"))
    assert [node.name for node in api.node_list_raise().nodes] == ["alpha", "bravo", "charlie"]
    refused(321, "no-such-remote", api.node_create_ebs, "cloud", "no-such-remote")
    good(api.node_conn_modify("alpha", "bravo", {"Aux/line": "slow"}, []))
    pairs = lambda found: [(one.node_a, one.node_b, one.properties) for one in found]
    line = [("alpha", "bravo", {"Aux/line": "slow"})]
    assert pairs(api.node_conn_list()[0].node_connections) == line
    assert pairs(api.node_conn_list_raise("alpha", "bravo").node_connections) == line
    # The client takes the list of the pair for the pair.
    assert "slow" in str(api.node_conn_list_specific_pair("alpha", "bravo")[0])
    good(api.node_conn_modify("alpha", "bravo", {}, ["Aux/line"]))
    assert not api.node_conn_list_raise().node_connections
    assert "slow" not in str(api.node_conn_list_specific_pair("alpha", "bravo")[0])


def pools(api):
    good(api.storage_pool_create("alpha", "second", "LVM_THIN", "vg/second"))
    good(api.storage_pool_modify("alpha", "second", {"Aux/tier": "fast"}))
    assert len(api.storage_pool_list_raise(filter_by_stor_pools=["second"]).storage_pools) == 1
    assert api.storage_pool_list(["alpha"])
    good(api.storage_pool_delete("alpha", "second"))
    assert not api.storage_pool_list_raise(filter_by_stor_pools=["second"]).storage_pools
    sizes = api.storage_pool_dfn_max_vlm_sizes(2)[0]
    assert [(one.storage_pool, len(one.node_names)) for one in sizes.candidates] == [("sim", 2)], sizes.candidates
    assert sizes.candidates[0].max_volume_size > 1 << 30
    devices = api.physical_storage_list().physical_devices
    assert [sorted(one.nodes) for one in devices] == [["alpha", "bravo", "charlie"]], devices
    refused(989, "No LVM pool", api.physical_storage_create_device_pool, "alpha", "LVM", ["/dev/no-such-device"], pool_name="vg")


def groups(api):
    good(api.resource_group_create("grp", description="for the test", place_count=2, storage_pool=["sim"]))
    good(api.volume_group_create("grp"))
    good(api.volume_group_modify("grp", 0, {"Aux/a": "1"}))
    assert len(api.volume_group_list_raise("grp").volume_groups) == 1
    good(api.resource_group_modify("grp", property_dict={"Aux/owner": "test"}))
    assert api.resource_group_list_raise(["grp"]).resource_groups[0].name == "grp"
    candidates = api.resource_group_qmvs("grp")[0].candidates
    assert [(one.storage_pool, len(one.node_names)) for one in candidates] == [("sim", 2)], candidates
    space = api.resource_group_query_size_info("grp").space_info
    assert space.max_vlm_size_in_kib == candidates[0].max_volume_size
    assert [one.stor_pool_name for one in space.next_spawn_result] == ["sim", "sim"]
    good(api.resource_group_spawn("grp", "spawned", ["32MiB"]))
    good(api.resource_group_adjust("grp"))
    good(api.resource_dfn_delete("spawned"))
    good(api.volume_group_delete("grp", 0))
    wait("end of what was spawned", lambda: not api.resource_dfn_list_raise(filter_by_resource_definitions=["spawned"]).resource_definitions)
    good(api.resource_group_delete("grp"))


def replicas(api, name):
    return {one.node_name: one for one in api.resource_list_raise(filter_by_resources=[name]).resources}


def nodes_of(api, name):
    return sorted(replicas(api, name))


def flags_of(api, name, node):
    return replicas(api, name)[node].flags


def volume_of(api, name, node):
    return replicas(api, name)[node].volumes[0]


def files(api):
    """External files; the simulated nodes let them be written below /etc/every."""
    path = "/etc/every/method.conf"
    good(api.file_modify(path, b"text"))
    paths = lambda: [one.path for one in api.file_list()[0].files]
    assert paths() == [path]
    assert base64.b64decode(api.file_show(path).files.content) == b"text"
    deploys = lambda: api.resource_dfn_props_list("web").get("files" + path)
    good(api.file_deploy(path, "web"))
    assert deploys() == "True", api.resource_dfn_props_list("web")
    good(api.file_undeploy(path, "web"))
    assert deploys() is None
    elsewhere = "/srv/every/method.conf"
    good(api.file_modify(elsewhere, b"text"))
    refused(3001, "is not written on: alpha, bravo, charlie", api.file_deploy, elsewhere, "web")
    for one in (path, elsewhere):
        good(api.file_delete(one))
    assert paths() == []


def definitions(api):
    good(api.resource_dfn_create("web"))
    good(api.resource_dfn_modify("web", {"Aux/app": "shop"}))
    assert api.resource_dfn_list(filter_by_resource_definitions=["web"])
    assert api.resource_dfn_props_list("web") == {"Aux/app": "shop"}
    good(api.volume_dfn_create("web", 32 * MIB))
    good(api.volume_dfn_modify("web", 0, set_properties={"Aux/a": "1"}))
    good(api.resource_create([linstor.ResourceData("alpha", "web", storage_pool="sim")]))
    good(api.resource_auto_place("web", 2, storage_pool=["sim"]))
    assert len(api.resource_list_raise(filter_by_resources=["web"]).resources) >= 2
    assert api.resource_list(["alpha"])
    assert api.volume_list_raise(filter_by_resources=["web"])
    assert api.volume_list(["alpha"])
    good(api.resource_modify("alpha", "web", {"Aux/b": "1"}))
    good(api.volume_modify("alpha", "web", 0, {"Aux/c": "1"}))
    other = [one.node_name for one in api.resource_list_raise(filter_by_resources=["web"]).resources if one.node_name != "alpha"][0]
    good(api.resource_conn_modify("web", "alpha", other, {"Aux/line": "slow"}, []))
    pairs = lambda found: [(one.node_a, one.node_b, one.properties) for one in found]
    line = [("alpha", other, {"Aux/line": "slow"})]
    assert pairs(api.resource_conn_list("web")[0].resource_connections) == line
    assert pairs(api.resource_conn_list_raise("web").resource_connections) == line
    assert pairs([api.resource_conn_node_list_raise("web", "alpha", other)]) == line
    assert api.resource_dfn_sync_status("web").synced_on_all
    assert api.resource_dfn_wait_synced("web", wait_interval=0.1, timeout=30)
    # A product of its own, which nothing here drives.
    refused(988, "DRBD Proxy", api.drbd_proxy_enable, "web", "alpha", other)
    refused(213, "memlimit", api.drbd_proxy_modify, "web", property_dict={"memlimit": "100000"})
    assert "uses no DRBD Proxy" in good(api.drbd_proxy_disable("web", "alpha", other))[0].message
    good(api.snapshot_create([], "web", "s1"))
    good(api.snapshot_create_multi([], ["web"], "s2"))
    assert {one.name for one in api.snapshot_dfn_list_raise(filter_by_resources=["web"]).snapshots} == {"s1", "s2"}
    assert api.snapshot_dfn_list()
    good(api.snapshot_dfn_modify("web", "s1", {"Aux/keep": "yes"}))
    kept = [one for one in api.snapshot_dfn_list_raise(filter_by_resources=["web"]).snapshots if one.name == "s1"][0]
    assert kept.properties.get("Aux/keep") == "yes", kept.properties
    good(api.resource_dfn_create("copy"))
    good(api.snapshot_volume_definition_restore("web", "s1", "copy"))
    good(api.snapshot_resource_restore([], "web", "s1", "copy"))
    assert nodes_of(api, "copy") == nodes_of(api, "web")
    good(api.snapshot_rollback("web", "s2"))
    assert api.resource_dfn_clone("web", "twin").clone_name == "twin"
    assert api.resource_dfn_clone_status("web", "twin").status.value in ("CLONING", "COMPLETE")
    assert api.resource_dfn_clone_wait_complete("web", "twin", wait_interval=0.1, timeout=30)
    assert api.resource_dfn_clone_status("web", "twin").status.value == "COMPLETE"
    good(api.snapshot_delete("web", "s1"))
    good(api.snapshot_delete("web", "s2"))
    assert not api.snapshot_dfn_list_raise(filter_by_resources=["web"]).snapshots
    third = ({"alpha", "bravo", "charlie"} - {"alpha", other}).pop()
    diskless = ["DISKLESS", "DRBD_DISKLESS"]
    assert flags_of(api, "web", third) == diskless + ["TIE_BREAKER"]
    good(api.resource_make_available(third, "web"))
    assert flags_of(api, "web", third) == diskless
    too_new("1.29.0", api.resource_unmake_available, third, "web")
    good(api.resource_delete_if_diskless(third, "web"))
    assert flags_of(api, "web", third) == diskless + ["TIE_BREAKER"], "two disks without a witness"
    good(api.resource_delete(third, "web"))
    wait("end of the tiebreaker", lambda: third not in nodes_of(api, "web"))
    good(api.resource_create([linstor.ResourceData(third, "web", diskless=True)]))
    good(api.resource_toggle_disk(third, "web", storage_pool="sim"))
    wait("third disk", lambda: flags_of(api, "web", third) == [])
    assert volume_of(api, "web", third).storage_pool_name == "sim"
    good(api.resource_deactivate(other, "web"))
    assert flags_of(api, "web", other) == ["INACTIVE"]
    good(api.resource_activate(other, "web"))
    assert flags_of(api, "web", other) == []
    good(api.resource_create_and_auto_place("quick", 16 * MIB, 2, "sim"))
    assert len(nodes_of(api, "quick")) == 3, "two disks and a tiebreaker"
    good(api.volume_dfn_create("web", 16 * MIB, storage_pool="sim"))
    numbers = lambda: [one.number for one in api.resource_dfn_list_raise(True, ["web"]).resource_definitions[0].volume_definitions]
    assert numbers() == [0, 1], numbers()
    good(api.volume_dfn_delete("web", 1))
    wait("end of the second volume", lambda: numbers() == [0])
    files(api)
    too_new("1.29.0", api.resource_dfn_truncate, "copy")
    for name in ("copy", "twin", "quick", "web"):
        good(api.resource_dfn_delete(name))
    wait("end of all definitions", lambda: not api.resource_dfn_list_raise().resource_definitions)


def secrets(api):
    """The master passphrase, and what is sealed with it."""
    status = lambda: api.crypt_status()[0].status
    assert status() == "unset"
    good(api.resource_dfn_create("sealed"))
    good(api.volume_dfn_create("sealed", 32 * MIB))
    refused(312, "no master passphrase", api.volume_dfn_modify_passphrase, "sealed", 0, "new passphrase")
    good(api.crypt_create_passphrase("a passphrase"))
    refused(512, "passphrase", api.crypt_create_passphrase, "a passphrase")
    assert status() == "unlocked"
    refused(600, "passphrase", api.crypt_enter_passphrase, "a wrong one")
    good(api.crypt_enter_passphrase("a passphrase"))
    good(api.crypt_modify_passphrase("a passphrase", "another"))
    refused(600, "passphrase", api.crypt_enter_passphrase, "a passphrase")
    good(api.crypt_enter_passphrase("another"))
    good(api.volume_dfn_modify_passphrase("sealed", 0, "new passphrase"))
    good(api.resource_dfn_delete("sealed"))
    tokens = lambda: {one.id: one for one in api.controller_list_auth_tokens()[0].auth_tokens}
    assert tokens() == {}
    assert len(good(api.controller_create_auth_token("for the test"))[0].object_refs["token"]) == 64
    (number,) = tokens()
    assert tokens()[number].description == "for the test" and tokens()[number].is_active
    good(api.controller_modify_auth_token(number, description="other", is_active=False))
    assert tokens()[number].description == "other" and not tokens()[number].is_active
    good(api.controller_delete_auth_token(number))
    assert tokens() == {}
    refused(300, "token %d" % (number + 1), api.controller_modify_auth_token, number + 1, description="other")
    refused(3000, "token %d" % (number + 1), api.controller_delete_auth_token, number + 1)


def what_is_not_here(api):
    """Remotes, backups and schedules belong to a later version: each is refused by its name, and the lists are empty."""
    good(api.resource_dfn_create("web"))
    refused(983, "'s3'", api.remote_create_s3, "s3", "s3.example.com", "region", "bucket", "access", "secret")
    refused(983, "'other'", api.remote_create_linstor, "other", "linstor://127.0.0.1")
    refused(989, "'ebs'", api.remote_create_ebs, "ebs", "zone", "access", "secret", region="region")
    found = api.remote_list()[0]
    assert not found.s3_remotes and not found.linstor_remotes and not found.ebs_remotes
    refused(321, "'s3'", api.remote_modify_s3, "s3", region="other")
    refused(321, "'other'", api.remote_modify_linstor, "other", url="linstor://127.0.0.2")
    refused(321, "'ebs'", api.remote_modify_ebs, "ebs", region="other")
    refused(3000, "'s3'", api.remote_delete, "s3")
    # The name of this remote is a word of the API, too.
    refused(321, "'s3'", api.backup_create, "s3", "web")
    refused(321, "'s3'", api.backup_list, "s3")
    refused(321, "'s3'", api.backup_info, "s3", resource_name="web")
    refused(321, "'s3'", api.backup_restore, "s3", "alpha", "web2", resource_name="web")
    refused(321, "'other'", api.backup_ship, "other", "web", "web2")
    refused(321, "'s3'", api.backup_abort, "s3", "web", create=True)
    refused(321, "'s3'", api.backup_delete, "s3", bak_id="id")
    queues = api.backup_queue_list()[0]
    assert not queues.node_queues and not queues.snap_queues
    refused(983, "'nightly'", api.schedule_create, "nightly", "0 1 * * *")
    assert not api.schedule_list().schedules
    refused(323, "'nightly'", api.schedule_modify, "nightly", keep_local=1)
    assert not api.schedule_list_by_resource()[0].schedule_resources
    assert not api.schedule_list_by_resource_details("web")[0].schedule_resources
    refused(301, "'nope'", api.schedule_list_by_resource_details, "nope")
    refused(321, "'s3'", api.backup_schedule_enable, "s3", "nightly")
    refused(321, "'s3'", api.backup_schedule_disable, "s3", "nightly")
    refused(321, "'s3'", api.backup_schedule_delete, "s3", "nightly")
    refused(3000, "'nightly'", api.schedule_delete, "nightly")
    good(api.resource_dfn_delete("web"))


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
    assert resource.is_thin()
    assert shop.linstor_name == "shop" and shop.name == "shop"
    third = ({"alpha", "bravo", "charlie"} - set(holders)).pop()
    resource.activate(third)
    assert resource.is_diskless(third)
    assert third in resource.diskless_nodes()
    resource.deactivate(third)
    assert resource.diskful(third) and resource.is_diskful(third)
    assert resource.diskless(third) and resource.is_diskless(third)
    assert sorted(resource.diskful_nodes()) == sorted(holders)
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
    assert [one.storage_pool for one in recorded.query_max_volume_size()[0].candidates] == ["sim"]
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
        for part in (the_client_itself, controller, nodes, pools, groups, definitions, secrets, what_is_not_here):
            part(api)
    resource_object(uri)
    assert not left_out(), "never called: %s" % left_out()
    print("called: %d methods" % len(called))


main()
