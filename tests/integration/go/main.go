// Every method of golinstor's client, called once with arguments that mean something.
//
// Three simulated nodes alpha, bravo and charlie with a pool sim each, which let external files be written below /etc/every. One argument: the controller, as http://ADDR:PORT.
// Ends with status 0 only if every call was answered as the client expects, and no method of its services was left out.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/LINBIT/golinstor/client"
)

const (
	mib = 1024 // in KiB
	// What the client says of the maps that it takes for lists.
	aMap = "cannot unmarshal object"
)

var (
	called = map[string]bool{}
	failed []string
)

// must: the call has to work.
func must(name string, err error) {
	called[name] = true
	if err != nil {
		failed = append(failed, fmt.Sprintf("%s: %v", name, err))
	}
}

// refused: the call must be refused, with this return code and a word of the message.
func refused(name string, code int64, word string, err error) {
	called[name] = true
	var told client.ApiCallError
	if errors.As(err, &told) {
		for _, entry := range told {
			if entry.RetCode&0x7fff == code && strings.Contains(entry.Message, word) {
				return
			}
		}
	}
	failed = append(failed, fmt.Sprintf("%s: not refused with %d and '%s', but: %v", name, code, word, err))
}

// unknown: what the call names must not be there. The client keeps no more of the answer than that.
func unknown(name string, err error) {
	called[name] = true
	if !errors.Is(err, client.NotFoundError) {
		failed = append(failed, fmt.Sprintf("%s: not told as missing, but: %v", name, err))
	}
}

// odd: the client itself asks or reads wrongly, whatever the server does: in this way.
func odd(name, word string, err error) {
	called[name] = true
	if err == nil || !strings.Contains(err.Error(), word) {
		failed = append(failed, fmt.Sprintf("%s: not odd with '%s', but: %v", name, word, err))
	}
}

// is: what a call did, as it is read back.
func is(what string, got, wanted any) {
	if !reflect.DeepEqual(got, wanted) {
		failed = append(failed, fmt.Sprintf("%s: %#v instead of %#v", what, got, wanted))
	}
}

func only[T any](_ T, err error) error { return err }

// survived makes an error of the client's own panic.
func survived(call func() error) (err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("the client panicked: %v", why)
		}
	}()
	return call()
}

func wait(what string, look func() bool) {
	for end := time.Now().Add(30 * time.Second); !look(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			failed = append(failed, "waited in vain: "+what)
			return
		}
	}
}

func nodes(ctx context.Context, c *client.Client) {
	n := c.Nodes
	nic := client.NetInterface{Name: "default", SatellitePort: 1, SatelliteEncryptionType: "PLAIN", IsActive: true}
	nic.Address = []byte{127, 0, 0, 1}
	must("Nodes.Create", n.Create(ctx, client.Node{Name: "delta", Type: "SATELLITE", NetInterfaces: []client.NetInterface{nic}}))
	all, err := n.GetAll(ctx)
	must("Nodes.GetAll", err)
	if len(all) != 4 {
		failed = append(failed, fmt.Sprintf("%d nodes instead of 4", len(all)))
	}
	must("Nodes.Get", only(n.Get(ctx, "alpha")))
	must("Nodes.Modify", n.Modify(ctx, "delta", client.NodeModify{GenericPropsModify: client.GenericPropsModify{OverrideProps: map[string]string{"Aux/a": "1"}}}))
	must("Nodes.Reconnect", n.Reconnect(ctx, "delta"))
	must("Nodes.GetNetInterfaces", only(n.GetNetInterfaces(ctx, "alpha")))
	must("Nodes.GetNetInterface", only(n.GetNetInterface(ctx, "alpha", "default")))
	second := client.NetInterface{Name: "second", Address: []byte{127, 0, 0, 9}}
	must("Nodes.CreateNetInterface", n.CreateNetInterface(ctx, "delta", second))
	second.Address = []byte{127, 0, 0, 10}
	must("Nodes.ModifyNetInterface", n.ModifyNetInterface(ctx, "delta", "second", second))
	changed, err := n.GetNetInterface(ctx, "delta", "second")
	must("Nodes.GetNetInterface", err)
	is("address of the second interface", changed.Address.String(), "127.0.0.10")
	must("Nodes.DeleteNetinterface", n.DeleteNetinterface(ctx, "delta", "second"))
	unknown("Nodes.GetNetInterface", only(n.GetNetInterface(ctx, "delta", "second")))
	pool := client.StoragePool{StoragePoolName: "second", ProviderKind: "LVM_THIN", Props: map[string]string{"StorDriver/StorPoolName": "vg/second"}}
	must("Nodes.CreateStoragePool", n.CreateStoragePool(ctx, "alpha", pool))
	must("Nodes.GetStoragePoolView", only(n.GetStoragePoolView(ctx)))
	must("Nodes.GetStoragePools", only(n.GetStoragePools(ctx, "alpha")))
	must("Nodes.GetStoragePool", only(n.GetStoragePool(ctx, "alpha", "second")))
	must("Nodes.ModifyStoragePool", n.ModifyStoragePool(ctx, "alpha", "second", props("Aux/a", "1")))
	made, err := n.GetStoragePool(ctx, "alpha", "second")
	must("Nodes.GetStoragePool", err)
	is("property of the pool", made.Props["Aux/a"], "1")
	must("Nodes.DeleteStoragePool", n.DeleteStoragePool(ctx, "alpha", "second"))
	unknown("Nodes.GetStoragePool", only(n.GetStoragePool(ctx, "alpha", "second")))
	unknown("Nodes.CreateEbsNode", n.CreateEbsNode(ctx, "cloud", "no-such-remote"))
	refused("Nodes.CreateDevicePool", 989, "No LVM pool", n.CreateDevicePool(ctx, "alpha", client.PhysicalStorageCreate{ProviderKind: "LVM", PoolName: "vg", DevicePaths: []string{"/dev/no-such-device"}}))
	free, err := n.GetPhysicalStorageView(ctx)
	must("Nodes.GetPhysicalStorageView", err)
	is("sizes of free devices", len(free), 1)
	own, err := n.GetPhysicalStorage(ctx, "alpha")
	must("Nodes.GetPhysicalStorage", err)
	is("free devices of alpha", len(own), 1)
	// The client wants a list where the API has a map.
	odd("Nodes.GetStoragePoolPropsInfos", aMap, only(n.GetStoragePoolPropsInfos(ctx, "alpha")))
	odd("Nodes.GetPropsInfos", aMap, only(n.GetPropsInfos(ctx)))
	flags := func() []string {
		node, err := n.Get(ctx, "delta")
		must("Nodes.Get", err)
		is("properties of delta", node.Props["Aux/a"], "1")
		return node.Flags
	}
	must("Nodes.Evict", n.Evict(ctx, "delta"))
	is("flags after evict", flags(), []string{"DELETE", "EVICTED"})
	refused("Nodes.Evacuate", 975, "cannot be evacuated", n.Evacuate(ctx, "delta"))
	must("Nodes.Restore", n.Restore(ctx, "delta", client.NodeRestore{}))
	is("flags after restore", len(flags()), 0)
	must("Nodes.Evacuate", n.Evacuate(ctx, "delta"))
	is("flags after evacuate", flags(), []string{"EVACUATE"})
	must("Nodes.Lost", n.Lost(ctx, "delta"))
	unknown("Nodes.Get", only(n.Get(ctx, "delta")))
	must("Nodes.Create", n.Create(ctx, client.Node{Name: "echo", Type: "SATELLITE", NetInterfaces: []client.NetInterface{nic}}))
	must("Nodes.Delete", n.Delete(ctx, "echo"))
	unknown("Nodes.Get", only(n.Get(ctx, "echo")))
	d := c.StoragePoolDefinitions
	must("StoragePoolDefinitions.Create", d.Create(ctx, client.StoragePoolDefinition{StoragePoolName: "spare"}))
	must("StoragePoolDefinitions.GetAll", only(d.GetAll(ctx)))
	must("StoragePoolDefinitions.Get", only(d.Get(ctx, "spare")))
	must("StoragePoolDefinitions.Modify", d.Modify(ctx, "spare", client.StoragePoolDefinitionModify{GenericPropsModify: props("Aux/a", "1")}))
	odd("StoragePoolDefinitions.GetPropsInfos", aMap, only(d.GetPropsInfos(ctx)))
	spare, err := d.Get(ctx, "spare")
	must("StoragePoolDefinitions.Get", err)
	is("property of the pool's definition", spare.Props["Aux/a"], "1")
	must("StoragePoolDefinitions.Delete", d.Delete(ctx, "spare"))
	unknown("StoragePoolDefinitions.Get", only(d.Get(ctx, "spare")))
}

func props(key, value string) client.GenericPropsModify {
	return client.GenericPropsModify{OverrideProps: map[string]string{key: value}}
}

func groups(ctx context.Context, c *client.Client) {
	g := c.ResourceGroups
	filter := client.AutoSelectFilter{PlaceCount: 2, StoragePoolList: []string{"sim"}}
	must("ResourceGroups.Create", g.Create(ctx, client.ResourceGroup{Name: "grp", SelectFilter: filter}))
	must("ResourceGroups.GetAll", only(g.GetAll(ctx)))
	must("ResourceGroups.Get", only(g.Get(ctx, "grp")))
	must("ResourceGroups.Modify", g.Modify(ctx, "grp", client.ResourceGroupModify{Description: "for the test"}))
	group, err := g.Get(ctx, "grp")
	must("ResourceGroups.Get", err)
	is("description of the group", group.Description, "for the test")
	must("ResourceGroups.CreateVolumeGroup", g.CreateVolumeGroup(ctx, "grp", client.VolumeGroup{}))
	must("ResourceGroups.GetVolumeGroups", only(g.GetVolumeGroups(ctx, "grp")))
	must("ResourceGroups.GetVolumeGroup", only(g.GetVolumeGroup(ctx, "grp", 0)))
	must("ResourceGroups.ModifyVolumeGroup", g.ModifyVolumeGroup(ctx, "grp", 0, client.VolumeGroupModify{OverrideProps: map[string]string{"Aux/a": "1"}}))
	part, err := g.GetVolumeGroup(ctx, "grp", 0)
	must("ResourceGroups.GetVolumeGroup", err)
	is("property of the volume group", part.Props["Aux/a"], "1")
	must("ResourceGroups.Spawn", g.Spawn(ctx, "grp", client.ResourceGroupSpawn{ResourceDefinitionName: "spawned", VolumeSizes: []int64{32 * mib}}))
	must("ResourceGroups.Adjust", g.Adjust(ctx, "grp", client.ResourceGroupAdjust{}))
	must("ResourceGroups.AdjustAll", g.AdjustAll(ctx, client.ResourceGroupAdjust{}))
	sizes, err := g.QuerySizeInfo(ctx, "grp", client.QuerySizeInfoRequest{})
	must("ResourceGroups.QuerySizeInfo", err)
	if err == nil {
		is("nodes of the next spawn", len(sizes.SpaceInfo.NextSpawnResult), 2)
	}
	odd("ResourceGroups.GetPropsInfos", aMap, only(g.GetPropsInfos(ctx)))
	odd("ResourceGroups.GetVolumeGroupPropsInfos", aMap, only(g.GetVolumeGroupPropsInfos(ctx, "grp")))
	must("ResourceDefinitions.Delete", c.ResourceDefinitions.Delete(ctx, "spawned"))
	must("ResourceGroups.DeleteVolumeGroup", g.DeleteVolumeGroup(ctx, "grp", 0))
	unknown("ResourceGroups.GetVolumeGroup", only(g.GetVolumeGroup(ctx, "grp", 0)))
	wait("end of what was spawned", func() bool {
		_, err := c.ResourceDefinitions.Get(ctx, "spawned")
		return errors.Is(err, client.NotFoundError)
	})
	must("ResourceGroups.Delete", g.Delete(ctx, "grp"))
	unknown("ResourceGroups.Get", only(g.Get(ctx, "grp")))
}

func resources(ctx context.Context, c *client.Client) {
	d, r := c.ResourceDefinitions, c.Resources
	must("ResourceDefinitions.Create", d.Create(ctx, client.ResourceDefinitionCreate{ResourceDefinition: client.ResourceDefinition{Name: "web"}}))
	must("ResourceDefinitions.GetAll", only(d.GetAll(ctx, client.RDGetAllRequest{WithVolumeDefinitions: true})))
	must("ResourceDefinitions.Get", only(d.Get(ctx, "web")))
	must("ResourceDefinitions.Modify", d.Modify(ctx, "web", props("Aux/a", "1")))
	must("ResourceDefinitions.CreateVolumeDefinition", d.CreateVolumeDefinition(ctx, "web", client.VolumeDefinitionCreate{VolumeDefinition: client.VolumeDefinition{SizeKib: 32 * mib}}))
	must("ResourceDefinitions.GetVolumeDefinitions", only(d.GetVolumeDefinitions(ctx, "web")))
	must("ResourceDefinitions.GetVolumeDefinition", only(d.GetVolumeDefinition(ctx, "web", 0)))
	odd("ResourceDefinitions.GetPropsInfos", aMap, only(d.GetPropsInfos(ctx)))
	odd("ResourceDefinitions.GetDRBDProxyPropsInfos", aMap, only(d.GetDRBDProxyPropsInfos(ctx, "web")))
	pool := map[string]string{"StorPoolName": "sim"}
	must("Resources.Create", r.Create(ctx, client.ResourceCreate{Resource: client.Resource{Name: "web", NodeName: "alpha", Props: pool}}))
	must("Resources.Autoplace", r.Autoplace(ctx, "web", client.AutoPlaceRequest{SelectFilter: client.AutoSelectFilter{PlaceCount: 2, StoragePoolList: []string{"sim"}}}))
	view, err := r.GetResourceView(ctx, &client.ListOpts{Resource: []string{"web"}})
	must("Resources.GetResourceView", err)
	other, third := "", ""
	for _, one := range view {
		if one.NodeName != "alpha" && len(one.Flags) == 0 {
			other = one.NodeName
		}
	}
	for _, name := range []string{"bravo", "charlie"} {
		if name != other {
			third = name
		}
	}
	must("ResourceDefinitions.ModifyVolumeDefinition", d.ModifyVolumeDefinition(ctx, "web", 0, client.VolumeDefinitionModify{SizeKib: 64 * mib}))
	must("Resources.GetAll", only(r.GetAll(ctx, "web")))
	must("Resources.Get", only(r.Get(ctx, "web", "alpha")))
	must("Resources.Modify", r.Modify(ctx, "web", "alpha", props("Aux/a", "1")))
	must("Resources.GetVolumes", only(r.GetVolumes(ctx, "web", "alpha")))
	volume, err := r.GetVolume(ctx, "web", "alpha", 0)
	must("Resources.GetVolume", err)
	if err == nil && volume.DevicePath == "" {
		failed = append(failed, "a volume without a device")
	}
	must("Resources.ModifyVolume", r.ModifyVolume(ctx, "web", "alpha", 0, props("Aux/a", "1")))
	size, err := d.GetVolumeDefinition(ctx, "web", 0)
	must("ResourceDefinitions.GetVolumeDefinition", err)
	is("size after the growth", size.SizeKib, uint64(64*mib))
	volume, err = r.GetVolume(ctx, "web", "alpha", 0)
	must("Resources.GetVolume", err)
	is("property of the volume", volume.Props["Aux/a"], "1")
	synced, err := d.SyncStatus(ctx, "web")
	must("ResourceDefinitions.SyncStatus", err)
	is("in sync", synced.SyncedOnAll, true)
	// The client misspells the path.
	odd("Resources.GetConnections", "404", only(r.GetConnections(ctx, "web", "alpha", other)))
	must("Resources.ModifyConnection", r.ModifyConnection(ctx, "web", "alpha", other, props("Aux/a", "1")))
	must("Connections.SetResourceConnection", c.Connections.SetResourceConnection(ctx, "web", "alpha", other, props("Aux/b", "2")))
	both := map[string]string{"Aux/a": "1", "Aux/b": "2"}
	lines, err := c.Connections.GetResourceConnections(ctx, "web")
	must("Connections.GetResourceConnections", err)
	is("connections of the resource", len(lines), 1)
	line, err := c.Connections.GetResourceConnection(ctx, "web", "alpha", other)
	must("Connections.GetResourceConnection", err)
	if err == nil {
		is("properties of the connection", line.Props, both)
	}
	must("Connections.SetNodeConnection", c.Connections.SetNodeConnection(ctx, "alpha", other, props("Aux/a", "1")))
	lines, err = c.Connections.GetNodeConnections(ctx, "alpha", other)
	must("Connections.GetNodeConnections", err)
	if len(lines) == 1 {
		is("properties between the nodes", lines[0].Props, map[string]string{"Aux/a": "1"})
	} else {
		is("connections of the nodes", len(lines), 1)
	}
	must("Resources.ModifyDRBDProxy", r.ModifyDRBDProxy(ctx, "web", client.DrbdProxyModify{}))
	refused("Resources.EnableDRBDProxy", 988, "DRBD Proxy", r.EnableDRBDProxy(ctx, "web", "alpha", other))
	must("Resources.DisableDRBDProxy", r.DisableDRBDProxy(ctx, "web", "alpha", other))
	room, err := r.QueryMaxVolumeSize(ctx, client.AutoSelectFilter{PlaceCount: 2})
	must("Resources.QueryMaxVolumeSize", err)
	is("candidates for two replicas", len(room.Candidates), 1)
	odd("Resources.GetPropsInfos", aMap, only(r.GetPropsInfos(ctx, "web")))
	odd("Resources.GetVolumeDefinitionPropsInfos", aMap, only(r.GetVolumeDefinitionPropsInfos(ctx, "web")))
	odd("Resources.GetVolumePropsInfos", aMap, only(r.GetVolumePropsInfos(ctx, "web", "alpha")))
	odd("Resources.GetConnectionPropsInfos", aMap, only(r.GetConnectionPropsInfos(ctx, "web")))
	must("Resources.CreateSnapshot", r.CreateSnapshot(ctx, client.Snapshot{Name: "s1", ResourceName: "web"}))
	must("Resources.GetSnapshots", only(r.GetSnapshots(ctx, "web")))
	must("Resources.GetSnapshotView", only(r.GetSnapshotView(ctx)))
	must("Resources.GetSnapshot", only(r.GetSnapshot(ctx, "web", "s1")))
	shot, err := r.GetSnapshot(ctx, "web", "s1")
	must("Resources.GetSnapshot", err)
	is("copies of the snapshot", len(shot.Snapshots), 2)
	must("Resources.RollbackSnapshot", r.RollbackSnapshot(ctx, "web", "s1"))
	must("ResourceDefinitions.Create", d.Create(ctx, client.ResourceDefinitionCreate{ResourceDefinition: client.ResourceDefinition{Name: "copy"}}))
	must("Resources.RestoreVolumeDefinitionSnapshot", r.RestoreVolumeDefinitionSnapshot(ctx, "web", "s1", client.SnapshotRestore{ToResource: "copy"}))
	must("Resources.RestoreSnapshot", r.RestoreSnapshot(ctx, "web", "s1", client.SnapshotRestore{ToResource: "copy"}))
	must("ResourceDefinitions.Clone", only(d.Clone(ctx, "web", client.ResourceDefinitionCloneRequest{Name: "twin"})))
	wait("clone", func() bool {
		status, err := d.CloneStatus(ctx, "web", "twin")
		return err == nil && status.Status == "COMPLETE"
	})
	must("ResourceDefinitions.CloneStatus", only(d.CloneStatus(ctx, "web", "twin")))
	must("Resources.DeleteSnapshot", r.DeleteSnapshot(ctx, "web", "s1"))
	unknown("Resources.GetSnapshot", only(r.GetSnapshot(ctx, "web", "s1")))
	copied, err := r.GetAll(ctx, "copy")
	must("Resources.GetAll", err)
	is("replicas of what was restored", len(copied) >= 2, true)
	must("Resources.MakeAvailable", r.MakeAvailable(ctx, "web", third, client.ResourceMakeAvailable{}))
	flags := func(node string) []string {
		one, err := r.Get(ctx, "web", node)
		must("Resources.Get", err)
		return one.Flags
	}
	diskless := []string{"DISKLESS", "DRBD_DISKLESS"}
	is("the third replica", flags(third), diskless)
	must("Resources.Diskful", r.Diskful(ctx, "web", third, "sim", nil))
	wait("third disk", func() bool { return len(flags(third)) == 0 })
	must("Resources.Diskless", r.Diskless(ctx, "web", third, ""))
	wait("end of the third disk", func() bool { return len(flags(third)) >= 2 })
	must("Resources.Migrate", r.Migrate(ctx, "web", other, third, "sim"))
	wait("move of the disk", func() bool {
		_, err := r.Get(ctx, "web", other)
		return len(flags(third)) == 0 && (errors.Is(err, client.NotFoundError) || len(flags(other)) > 0)
	})
	must("Resources.Deactivate", r.Deactivate(ctx, "web", third))
	is("flags of the inactive one", flags(third), []string{"INACTIVE"})
	must("Resources.Activate", r.Activate(ctx, "web", third))
	is("flags of the active one", len(flags(third)), 0)
	promotions(ctx, c)
	files(ctx, c)
	must("Resources.Delete", r.Delete(ctx, "web", third))
	wait("end of the replica", func() bool {
		one, err := r.Get(ctx, "web", third)
		return errors.Is(err, client.NotFoundError) || len(one.Flags) > 0
	})
	for _, name := range []string{"copy", "twin", "web"} {
		must("ResourceDefinitions.Delete", d.Delete(ctx, name))
	}
	wait("end of all definitions", func() bool {
		left, err := d.GetAll(ctx, client.RDGetAllRequest{})
		return err == nil && len(left) == 0
	})
	must("ResourceDefinitions.Create", d.Create(ctx, client.ResourceDefinitionCreate{ResourceDefinition: client.ResourceDefinition{Name: "empty"}}))
	must("ResourceDefinitions.CreateVolumeDefinition", d.CreateVolumeDefinition(ctx, "empty", client.VolumeDefinitionCreate{VolumeDefinition: client.VolumeDefinition{SizeKib: 4 * mib}}))
	must("ResourceDefinitions.DeleteVolumeDefinition", d.DeleteVolumeDefinition(ctx, "empty", 0))
	must("ResourceDefinitions.Delete", d.Delete(ctx, "empty"))
}

// promotions: the present state of every DRBD resource comes first.
func promotions(ctx context.Context, c *client.Client) {
	stream, err := c.Events.DRBDPromotion(ctx, "current")
	must("Events.DRBDPromotion", err)
	if err != nil {
		return
	}
	// It ends with the context: what reads it panics when it is closed while an event is on its way.
	for end := time.After(30 * time.Second); ; {
		select {
		case told := <-stream.Events:
			if told.ResourceName == "web" && told.NodeName == "alpha" {
				is("alpha may promote", told.MayPromote, true)
				return
			}
		case <-end:
			failed = append(failed, "no event tells of the promotion of web on alpha")
			return
		}
	}
}

// files: the simulated nodes let external files be written below /etc/every.
func files(ctx context.Context, c *client.Client) {
	const path = "/etc/every/golinstor.conf"
	o, d := c.Controller, c.ResourceDefinitions
	must("Controller.ModifyExternalFile", o.ModifyExternalFile(ctx, path, client.ExternalFile{Path: path, Content: []byte("text")}))
	all, err := o.GetExternalFiles(ctx)
	must("Controller.GetExternalFiles", err)
	is("external files", len(all), 1)
	one, err := o.GetExternalFile(ctx, path)
	must("Controller.GetExternalFile", err)
	is("content of the file", string(one.Content), "text")
	deployed := func() string {
		web, err := d.Get(ctx, "web")
		must("ResourceDefinitions.Get", err)
		return web.Props["files"+path]
	}
	must("ResourceDefinitions.AttachExternalFile", d.AttachExternalFile(ctx, "web", path))
	is("deployed file", deployed(), "True")
	must("ResourceDefinitions.DetachExternalFile", d.DetachExternalFile(ctx, "web", path))
	is("file that is deployed no more", deployed(), "")
	must("Controller.DeleteExternalFile", o.DeleteExternalFile(ctx, path))
	unknown("Controller.GetExternalFile", only(o.GetExternalFile(ctx, path)))
}

func controller(ctx context.Context, c *client.Client) {
	o := c.Controller
	must("Controller.GetVersion", only(o.GetVersion(ctx)))
	must("Controller.Modify", o.Modify(ctx, props("Aux/a", "1")))
	must("Controller.GetProps", only(o.GetProps(ctx)))
	set := func() string {
		props, err := o.GetProps(ctx)
		must("Controller.GetProps", err)
		return props["Aux/a"]
	}
	is("property of the controller", set(), "1")
	must("Controller.DeleteProp", o.DeleteProp(ctx, "Aux/a"))
	is("property that was deleted", set(), "")
	config, err := o.GetConfig(ctx)
	must("Controller.GetConfig", err)
	is("whether plain HTTP is served", config.Http.Enabled, true)
	reports, err := o.GetErrorReports(ctx)
	must("Controller.GetErrorReports", err)
	is("error reports", len(reports), 0)
	must("Controller.GetErrorReportsSince", only(o.GetErrorReportsSince(ctx, time.Now())))
	// Without such a report the list is empty, and the client takes its first element all the same.
	odd("Controller.GetErrorReport", "panicked", survived(func() error { return only(o.GetErrorReport(ctx, "5F3A0000-00000-000000")) }))
	must("Controller.DeleteErrorReports", o.DeleteErrorReports(ctx, client.ErrorReportDelete{Ids: []string{"5F3A0000-00000-000000"}}))
	must("Controller.CreateSOSReport", o.CreateSOSReport(ctx))
	var report kept
	must("Controller.DownloadSOSReport", o.DownloadSOSReport(ctx, &report))
	is("a gzip file", bytes.HasPrefix(report.Bytes(), []byte{0x1f, 0x8b}), true)
	level := func() client.LogLevel {
		config, err := o.GetSatelliteConfig(ctx, "alpha")
		must("Controller.GetSatelliteConfig", err)
		return config.Log.Level
	}
	for _, wanted := range []client.LogLevel{"DEBUG", "INFO"} {
		change := client.SatelliteConfig{Log: client.SatelliteConfigLog{Level: wanted}}
		must("Controller.ModifySatelliteConfig", o.ModifySatelliteConfig(ctx, "alpha", change))
		is("log level of alpha", level(), wanted)
	}
	odd("Controller.GetPropsInfos", aMap, only(o.GetPropsInfos(ctx)))
	odd("Controller.GetPropsInfosAll", aMap, only(o.GetPropsInfosAll(ctx)))
	k := c.KeyValueStore
	must("KeyValueStore.CreateOrModify", k.CreateOrModify(ctx, "go", props("a", "1")))
	must("KeyValueStore.List", only(k.List(ctx)))
	store, err := k.Get(ctx, "go")
	must("KeyValueStore.Get", err)
	if err == nil && store.Props["a"] != "1" {
		failed = append(failed, "the key-value store does not hold what was put in")
	}
	must("KeyValueStore.Delete", k.Delete(ctx, "go"))
	unknown("KeyValueStore.Get", only(k.Get(ctx, "go")))
	e := c.Encryption
	must("Encryption.Create", e.Create(ctx, client.Passphrase{NewPassphrase: "a passphrase"}))
	refused("Encryption.Create", 512, "passphrase", e.Create(ctx, client.Passphrase{NewPassphrase: "a passphrase"}))
	must("Encryption.Enter", e.Enter(ctx, "a passphrase"))
	must("Encryption.Modify", e.Modify(ctx, client.Passphrase{OldPassphrase: "a passphrase", NewPassphrase: "another"}))
	refused("Encryption.Enter", 600, "passphrase", e.Enter(ctx, "a passphrase"))
	must("Encryption.Enter", e.Enter(ctx, "another"))
}

// kept is what was downloaded.
type kept struct{ bytes.Buffer }

func (*kept) Close() error { return nil }

// remotes and backups belong to a later version: each is refused by its name, and the lists are empty.
func remotes(ctx context.Context, c *client.Client) {
	r, b := c.Remote, c.Backup
	refused("Remote.CreateS3", 983, "'s3'", r.CreateS3(ctx, client.S3Remote{RemoteName: "s3", Endpoint: "s3.example.com", Bucket: "b", Region: "r", AccessKey: "a", SecretKey: "s"}))
	refused("Remote.CreateLinstor", 983, "'other'", r.CreateLinstor(ctx, client.LinstorRemote{RemoteName: "other", Url: "http://127.0.0.1:1"}))
	ebs := client.EbsRemote{RemoteName: "ebs", AvailabilityZone: "zone", Region: "r", AccessKey: "a", SecretKey: "s"}
	refused("Remote.CreateEbs", 989, "'ebs'", r.CreateEbs(ctx, ebs))
	all, err := r.GetAll(ctx)
	must("Remote.GetAll", err)
	is("remotes", len(all.LinstorRemotes)+len(all.S3Remotes)+len(all.EbsRemotes), 0)
	linstors, err := r.GetAllLinstor(ctx)
	must("Remote.GetAllLinstor", err)
	s3s, err := r.GetAllS3(ctx)
	must("Remote.GetAllS3", err)
	ebss, err := r.GetAllEbs(ctx)
	must("Remote.GetAllEbs", err)
	is("remotes of each kind", []int{len(linstors), len(s3s), len(ebss)}, []int{0, 0, 0})
	unknown("Remote.ModifyS3", r.ModifyS3(ctx, "s3", client.S3Remote{Region: "other"}))
	unknown("Remote.ModifyLinstor", r.ModifyLinstor(ctx, "other", client.LinstorRemote{Url: "http://127.0.0.1:2"}))
	unknown("Remote.ModifyEbs", r.ModifyEbs(ctx, "ebs", client.EbsRemote{}))
	// The name of this remote is a word of the API, too.
	unknown("Backup.Create", only(b.Create(ctx, "s3", client.BackupCreate{RscName: "web"})))
	unknown("Backup.GetAll", only(b.GetAll(ctx, "s3", "", "")))
	unknown("Backup.Info", only(b.Info(ctx, "s3", client.BackupInfoRequest{SrcRscName: "web"})))
	unknown("Backup.Ship", only(b.Ship(ctx, "other", client.BackupShipRequest{SrcRscName: "web", DstRscName: "web2"})))
	unknown("Backup.Restore", b.Restore(ctx, "s3", client.BackupRestoreRequest{SrcRscName: "web", TargetRscName: "web2", NodeName: "alpha"}))
	unknown("Backup.Abort", b.Abort(ctx, "s3", client.BackupAbortRequest{RscName: "web"}))
	unknown("Backup.DeleteAll", b.DeleteAll(ctx, "s3", client.BackupDeleteOpts{ID: "id"}))
	// To delete what is not there is no fault.
	must("Remote.Delete", r.Delete(ctx, "s3"))
}

// leftOut lists the methods of the services that were not called.
func leftOut() []string {
	var missing []string
	services := reflect.TypeOf(client.Client{})
	for at := 0; at < services.NumField(); at++ {
		field := services.Field(at)
		if !field.IsExported() || field.Type.Kind() != reflect.Interface {
			continue
		}
		for method := 0; method < field.Type.NumMethod(); method++ {
			if name := field.Name + "." + field.Type.Method(method).Name; !called[name] {
				missing = append(missing, name)
			}
		}
	}
	sort.Strings(missing)
	return missing
}

func main() {
	base, err := url.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	c, err := client.NewClient(client.BaseURL(base), client.Log(log.New(io.Discard, "", 0)))
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, part := range []func(context.Context, *client.Client){nodes, groups, resources, controller, remotes} {
		part(ctx, c)
	}
	for _, name := range leftOut() {
		failed = append(failed, "never called: "+name)
	}
	if len(failed) > 0 {
		for _, text := range failed {
			fmt.Fprintln(os.Stderr, text)
		}
		os.Exit(1)
	}
	fmt.Printf("called: %d methods\n", len(called))
}
