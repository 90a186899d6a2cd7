// Every method of golinstor's client, called once with arguments that mean something.
//
// Three simulated nodes alpha, bravo and charlie with a pool sim each. One argument: the controller, as http://ADDR:PORT.
// Ends with status 0 only if every call was answered as the client expects, and no method of its services was left out.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"reflect"
	"sort"
	"time"

	"github.com/LINBIT/golinstor/client"
)

const mib = 1024 // in KiB

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

// may: the capability may be missing here, but the client has to understand the answer.
func may(name string, err error) {
	called[name] = true
	var refused client.ApiCallError
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, client.NotFoundError) {
		failed = append(failed, fmt.Sprintf("%s: not understood: %v", name, err))
	}
}

// odd: the client itself asks or reads wrongly, whatever the server does; the call must only come back.
func odd(name string, _ error) {
	called[name] = true
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
	must("Nodes.DeleteNetinterface", n.DeleteNetinterface(ctx, "delta", "second"))
	pool := client.StoragePool{StoragePoolName: "second", ProviderKind: "LVM_THIN", Props: map[string]string{"StorDriver/StorPoolName": "vg/second"}}
	must("Nodes.CreateStoragePool", n.CreateStoragePool(ctx, "alpha", pool))
	must("Nodes.GetStoragePoolView", only(n.GetStoragePoolView(ctx)))
	must("Nodes.GetStoragePools", only(n.GetStoragePools(ctx, "alpha")))
	must("Nodes.GetStoragePool", only(n.GetStoragePool(ctx, "alpha", "second")))
	must("Nodes.ModifyStoragePool", n.ModifyStoragePool(ctx, "alpha", "second", props("Aux/a", "1")))
	must("Nodes.DeleteStoragePool", n.DeleteStoragePool(ctx, "alpha", "second"))
	may("Nodes.CreateEbsNode", n.CreateEbsNode(ctx, "cloud", "no-such-remote"))
	may("Nodes.CreateDevicePool", n.CreateDevicePool(ctx, "alpha", client.PhysicalStorageCreate{ProviderKind: "LVM", PoolName: "vg", DevicePaths: []string{"/dev/no-such-device"}}))
	may("Nodes.GetPhysicalStorageView", only(n.GetPhysicalStorageView(ctx)))
	may("Nodes.GetPhysicalStorage", only(n.GetPhysicalStorage(ctx, "alpha")))
	// The client wants a list where the API has a map.
	odd("Nodes.GetStoragePoolPropsInfos", only(n.GetStoragePoolPropsInfos(ctx, "alpha")))
	odd("Nodes.GetPropsInfos", only(n.GetPropsInfos(ctx)))
	may("Nodes.Evict", n.Evict(ctx, "delta"))
	may("Nodes.Evacuate", n.Evacuate(ctx, "delta"))
	may("Nodes.Restore", n.Restore(ctx, "delta", client.NodeRestore{}))
	must("Nodes.Lost", n.Lost(ctx, "delta"))
	may("Nodes.Delete", n.Delete(ctx, "delta"))
	d := c.StoragePoolDefinitions
	must("StoragePoolDefinitions.Create", d.Create(ctx, client.StoragePoolDefinition{StoragePoolName: "spare"}))
	must("StoragePoolDefinitions.GetAll", only(d.GetAll(ctx)))
	must("StoragePoolDefinitions.Get", only(d.Get(ctx, "spare")))
	must("StoragePoolDefinitions.Modify", d.Modify(ctx, "spare", client.StoragePoolDefinitionModify{GenericPropsModify: props("Aux/a", "1")}))
	odd("StoragePoolDefinitions.GetPropsInfos", only(d.GetPropsInfos(ctx)))
	must("StoragePoolDefinitions.Delete", d.Delete(ctx, "spare"))
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
	must("ResourceGroups.CreateVolumeGroup", g.CreateVolumeGroup(ctx, "grp", client.VolumeGroup{}))
	must("ResourceGroups.GetVolumeGroups", only(g.GetVolumeGroups(ctx, "grp")))
	must("ResourceGroups.GetVolumeGroup", only(g.GetVolumeGroup(ctx, "grp", 0)))
	must("ResourceGroups.ModifyVolumeGroup", g.ModifyVolumeGroup(ctx, "grp", 0, client.VolumeGroupModify{OverrideProps: map[string]string{"Aux/a": "1"}}))
	must("ResourceGroups.Spawn", g.Spawn(ctx, "grp", client.ResourceGroupSpawn{ResourceDefinitionName: "spawned", VolumeSizes: []int64{32 * mib}}))
	must("ResourceGroups.Adjust", g.Adjust(ctx, "grp", client.ResourceGroupAdjust{}))
	must("ResourceGroups.AdjustAll", g.AdjustAll(ctx, client.ResourceGroupAdjust{}))
	must("ResourceGroups.QuerySizeInfo", only(g.QuerySizeInfo(ctx, "grp", client.QuerySizeInfoRequest{})))
	odd("ResourceGroups.GetPropsInfos", only(g.GetPropsInfos(ctx)))
	odd("ResourceGroups.GetVolumeGroupPropsInfos", only(g.GetVolumeGroupPropsInfos(ctx, "grp")))
	must("ResourceDefinitions.Delete", c.ResourceDefinitions.Delete(ctx, "spawned"))
	must("ResourceGroups.DeleteVolumeGroup", g.DeleteVolumeGroup(ctx, "grp", 0))
	wait("end of what was spawned", func() bool {
		_, err := c.ResourceDefinitions.Get(ctx, "spawned")
		return errors.Is(err, client.NotFoundError)
	})
	must("ResourceGroups.Delete", g.Delete(ctx, "grp"))
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
	odd("ResourceDefinitions.GetPropsInfos", only(d.GetPropsInfos(ctx)))
	odd("ResourceDefinitions.GetDRBDProxyPropsInfos", only(d.GetDRBDProxyPropsInfos(ctx, "web")))
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
	must("ResourceDefinitions.SyncStatus", only(d.SyncStatus(ctx, "web")))
	// The client misspells the path.
	odd("Resources.GetConnections", only(r.GetConnections(ctx, "web", "alpha", other)))
	may("Resources.ModifyConnection", r.ModifyConnection(ctx, "web", "alpha", other, props("Aux/a", "1")))
	may("Connections.GetNodeConnections", only(c.Connections.GetNodeConnections(ctx, "alpha", other)))
	may("Connections.SetNodeConnection", c.Connections.SetNodeConnection(ctx, "alpha", other, props("Aux/a", "1")))
	may("Connections.SetResourceConnection", c.Connections.SetResourceConnection(ctx, "web", "alpha", other, props("Aux/a", "1")))
	may("Connections.GetResourceConnections", only(c.Connections.GetResourceConnections(ctx, "web")))
	may("Connections.GetResourceConnection", only(c.Connections.GetResourceConnection(ctx, "web", "alpha", other)))
	may("Resources.ModifyDRBDProxy", r.ModifyDRBDProxy(ctx, "web", client.DrbdProxyModify{}))
	may("Resources.EnableDRBDProxy", r.EnableDRBDProxy(ctx, "web", "alpha", other))
	may("Resources.DisableDRBDProxy", r.DisableDRBDProxy(ctx, "web", "alpha", other))
	may("Resources.QueryMaxVolumeSize", only(r.QueryMaxVolumeSize(ctx, client.AutoSelectFilter{PlaceCount: 2})))
	odd("Resources.GetPropsInfos", only(r.GetPropsInfos(ctx, "web")))
	odd("Resources.GetVolumeDefinitionPropsInfos", only(r.GetVolumeDefinitionPropsInfos(ctx, "web")))
	odd("Resources.GetVolumePropsInfos", only(r.GetVolumePropsInfos(ctx, "web", "alpha")))
	odd("Resources.GetConnectionPropsInfos", only(r.GetConnectionPropsInfos(ctx, "web")))
	must("Resources.CreateSnapshot", r.CreateSnapshot(ctx, client.Snapshot{Name: "s1", ResourceName: "web"}))
	must("Resources.GetSnapshots", only(r.GetSnapshots(ctx, "web")))
	must("Resources.GetSnapshotView", only(r.GetSnapshotView(ctx)))
	must("Resources.GetSnapshot", only(r.GetSnapshot(ctx, "web", "s1")))
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
	must("Resources.MakeAvailable", r.MakeAvailable(ctx, "web", third, client.ResourceMakeAvailable{}))
	may("Resources.Diskful", r.Diskful(ctx, "web", third, "sim", nil))
	may("Resources.Diskless", r.Diskless(ctx, "web", third, ""))
	may("Resources.Migrate", r.Migrate(ctx, "web", other, third, "sim"))
	may("Resources.Deactivate", r.Deactivate(ctx, "web", third))
	may("Resources.Activate", r.Activate(ctx, "web", third))
	may("Resources.Delete", r.Delete(ctx, "web", third))
	may("Controller.ModifyExternalFile", c.Controller.ModifyExternalFile(ctx, "/etc/golinstor.conf", client.ExternalFile{Path: "/etc/golinstor.conf", Content: []byte("text")}))
	may("Controller.GetExternalFiles", only(c.Controller.GetExternalFiles(ctx)))
	may("Controller.GetExternalFile", only(c.Controller.GetExternalFile(ctx, "/etc/golinstor.conf")))
	may("ResourceDefinitions.AttachExternalFile", d.AttachExternalFile(ctx, "web", "/etc/golinstor.conf"))
	may("ResourceDefinitions.DetachExternalFile", d.DetachExternalFile(ctx, "web", "/etc/golinstor.conf"))
	may("Controller.DeleteExternalFile", c.Controller.DeleteExternalFile(ctx, "/etc/golinstor.conf"))
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

func controller(ctx context.Context, c *client.Client) {
	o := c.Controller
	must("Controller.GetVersion", only(o.GetVersion(ctx)))
	must("Controller.Modify", o.Modify(ctx, props("Aux/a", "1")))
	must("Controller.GetProps", only(o.GetProps(ctx)))
	must("Controller.DeleteProp", o.DeleteProp(ctx, "Aux/a"))
	may("Controller.GetConfig", only(o.GetConfig(ctx)))
	may("Controller.GetErrorReports", only(o.GetErrorReports(ctx)))
	may("Controller.GetErrorReportsSince", only(o.GetErrorReportsSince(ctx, time.Now())))
	// Without such a report the list is empty, and the client takes its first element all the same.
	odd("Controller.GetErrorReport", survived(func() error { return only(o.GetErrorReport(ctx, "5F3A0000-00000-000000")) }))
	may("Controller.DeleteErrorReports", o.DeleteErrorReports(ctx, client.ErrorReportDelete{Ids: []string{"5F3A0000-00000-000000"}}))
	may("Controller.CreateSOSReport", o.CreateSOSReport(ctx))
	odd("Controller.DownloadSOSReport", o.DownloadSOSReport(ctx, nothing{io.Discard}))
	may("Controller.GetSatelliteConfig", only(o.GetSatelliteConfig(ctx, "alpha")))
	may("Controller.ModifySatelliteConfig", o.ModifySatelliteConfig(ctx, "alpha", client.SatelliteConfig{}))
	odd("Controller.GetPropsInfos", only(o.GetPropsInfos(ctx)))
	odd("Controller.GetPropsInfosAll", only(o.GetPropsInfosAll(ctx)))
	k := c.KeyValueStore
	must("KeyValueStore.CreateOrModify", k.CreateOrModify(ctx, "go", props("a", "1")))
	must("KeyValueStore.List", only(k.List(ctx)))
	store, err := k.Get(ctx, "go")
	must("KeyValueStore.Get", err)
	if err == nil && store.Props["a"] != "1" {
		failed = append(failed, "the key-value store does not hold what was put in")
	}
	must("KeyValueStore.Delete", k.Delete(ctx, "go"))
	may("Encryption.Create", c.Encryption.Create(ctx, client.Passphrase{NewPassphrase: "a passphrase"}))
	may("Encryption.Enter", c.Encryption.Enter(ctx, "a passphrase"))
	may("Encryption.Modify", c.Encryption.Modify(ctx, client.Passphrase{OldPassphrase: "a passphrase", NewPassphrase: "another"}))
	stream, err := c.Events.DRBDPromotion(ctx, "current")
	// Without the route the stream is refused with a status that the client hands on as it is.
	odd("Events.DRBDPromotion", err)
	if err == nil {
		stream.Close()
	}
}

type nothing struct{ io.Writer }

func (nothing) Close() error { return nil }

func remotes(ctx context.Context, c *client.Client) {
	r, b := c.Remote, c.Backup
	may("Remote.CreateS3", r.CreateS3(ctx, client.S3Remote{RemoteName: "s3", Endpoint: "s3.example.com", Bucket: "b", Region: "r", AccessKey: "a", SecretKey: "s"}))
	may("Remote.CreateLinstor", r.CreateLinstor(ctx, client.LinstorRemote{RemoteName: "other", Url: "http://127.0.0.1:1"}))
	may("Remote.CreateEbs", r.CreateEbs(ctx, client.EbsRemote{RemoteName: "ebs"}))
	may("Remote.GetAll", only(r.GetAll(ctx)))
	may("Remote.GetAllLinstor", only(r.GetAllLinstor(ctx)))
	may("Remote.GetAllS3", only(r.GetAllS3(ctx)))
	may("Remote.GetAllEbs", only(r.GetAllEbs(ctx)))
	may("Remote.ModifyS3", r.ModifyS3(ctx, "s3", client.S3Remote{Region: "other"}))
	may("Remote.ModifyLinstor", r.ModifyLinstor(ctx, "other", client.LinstorRemote{Url: "http://127.0.0.1:2"}))
	may("Remote.ModifyEbs", r.ModifyEbs(ctx, "ebs", client.EbsRemote{}))
	may("Backup.Create", only(b.Create(ctx, "s3", client.BackupCreate{RscName: "web"})))
	may("Backup.GetAll", only(b.GetAll(ctx, "s3", "", "")))
	may("Backup.Info", only(b.Info(ctx, "s3", client.BackupInfoRequest{SrcRscName: "web"})))
	may("Backup.Ship", only(b.Ship(ctx, "other", client.BackupShipRequest{SrcRscName: "web", DstRscName: "web2"})))
	may("Backup.Restore", b.Restore(ctx, "s3", client.BackupRestoreRequest{SrcRscName: "web", TargetRscName: "web2", NodeName: "alpha"}))
	may("Backup.Abort", b.Abort(ctx, "s3", client.BackupAbortRequest{RscName: "web"}))
	may("Backup.DeleteAll", b.DeleteAll(ctx, "s3", client.BackupDeleteOpts{ID: "id"}))
	may("Remote.Delete", r.Delete(ctx, "s3"))
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
