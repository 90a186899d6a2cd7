//! `berth dev`: a whole cluster on this machine.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Daemon, Rest, Scratch, is_root, linstor, note, run, within};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Time to end after SIGTERM: three satellites and a controller, one after the other.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Time for an object to settle.
const SETTLED_LIMIT: Duration = Duration::from_secs(40);

fn start(scratch: &Scratch, dir: &Path, words: &[&str]) -> Result<Daemon> {
    let mut all: Vec<OsString> = vec!["dev".into(), "--dir".into(), dir.into(), "--listen".into(), "127.0.0.1:0".into()];
    all.extend(words.iter().map(OsString::from));
    Daemon::start(scratch, "dev", all)
}

/// Runs the client; it must succeed.
fn client(dev: &Daemon, words: &[&str]) -> Result<String> {
    linstor(dev.host_port(), words)?.ok()
}

/// Node and device of the only replica of a resource, once it is there.
fn placed(dev: &Daemon, resource: &str) -> Result<(String, PathBuf)> {
    let path = format!("/v1/view/resources?resources={resource}");
    let there = |list: &Value| list[0]["volumes"][0]["device_path"].as_str().is_some_and(|path| Path::new(path).exists());
    let list = Rest::new(dev.address()).wait_for(SETTLED_LIMIT, &path, there)?;
    let node = list[0]["node_name"].as_str().context("a node")?.to_owned();
    let device = list[0]["volumes"][0]["device_path"].as_str().context("a device")?.into();
    Ok((node, device))
}

/// Mounts the device, does something in the folder, and unmounts it.
fn mounted<T>(scratch: &Scratch, device: &Path, act: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let mount = scratch.sub("mnt")?;
    run("mount", &[device, &mount])?.ok()?;
    let done = act(&mount);
    // A probe of udev's may hold the device for a moment.
    within(Duration::from_secs(10), "the file system is unmounted", || run("umount", &[&mount]).and_then(berth_integration::Finished::ok))?;
    done
}

fn make_group(dev: &Daemon) -> Result<()> {
    client(dev, &["resource-group", "create", "fast", "--place-count", "1", "--storage-pool", "DfltStorPool"])?;
    client(dev, &["volume-group", "create", "fast"])?;
    client(dev, &["resource-group", "spawn-resources", "fast", "web", "200M"])?;
    Ok(())
}

#[test]
fn files_outlive_a_kill_of_every_process() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("cluster");
    let dev = start(&scratch, &dir, &[])?;
    make_group(&dev)?;
    let (_, device) = placed(&dev, "web")?;
    run("mkfs.ext4", &[Path::new("-q"), &device])?.ok()?;
    let mount = scratch.sub("held")?;
    run("mount", &[&device, &mount])?.ok()?;
    fs::write(mount.join("before"), "written before the kill")?;
    run("sync", &["--file-system".as_ref(), mount.as_os_str()])?.ok()?;
    ensure!(scratch.kill_all()? > 3, "controller, satellites and their parent run");
    drop(dev);
    // The data path does not need us: the mounted volume goes on while every process is gone.
    fs::write(mount.join("meanwhile"), "written with nobody there")?;
    let dev = start(&scratch, &dir, &[])?;
    let (_, again) = placed(&dev, "web")?;
    ensure!(again == device, "a volume in use keeps its device: {} became {}", device.display(), again.display());
    ensure!(fs::read_to_string(mount.join("before"))? == "written before the kill");
    ensure!(fs::read_to_string(mount.join("meanwhile"))? == "written with nobody there");
    run("umount", &[&mount])?.ok()?;
    mounted(&scratch, &again, |folder| {
        ensure!(fs::read_to_string(folder.join("before"))? == "written before the kill");
        Ok(())
    })
}

#[test]
fn the_commands_of_the_readme_work() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("cluster");
    let mut dev = start(&scratch, &dir, &["--nodes", "2"])?;
    make_group(&dev)?;
    let list = client(&dev, &["resource", "list"])?;
    for column in ["ResourceName", "Node", "Layers", "Usage", "Conns", "State", "CreatedOn", "web"] {
        ensure!(list.contains(column), "no {column} in\n{list}");
    }
    let (node, device) = placed(&dev, "web")?;
    run("mkfs.ext4", &[Path::new("-q"), &device])?.ok()?;
    mounted(&scratch, &device, |folder| Ok(fs::write(folder.join("file"), "first")?))?;

    client(&dev, &["snapshot", "create", "web", "s1"])?;
    ensure!(client(&dev, &["snapshot", "list"])?.contains("Successful"));
    mounted(&scratch, &device, |folder| Ok(fs::write(folder.join("file"), "second")?))?;

    client(&dev, &["resource-definition", "create", "copy"])?;
    client(
        &dev,
        &["snapshot", "volume-definition", "restore", "--from-resource", "web", "--from-snapshot", "s1", "--to-resource", "copy"],
    )?;
    client(&dev, &["snapshot", "resource", "restore", "--from-resource", "web", "--from-snapshot", "s1", "--to-resource", "copy"])?;
    let (_, copy) = placed(&dev, "copy")?;
    ensure!(mounted(&scratch, &copy, |folder| Ok(fs::read_to_string(folder.join("file"))?))? == "first", "restored");

    client(&dev, &["resource-definition", "clone", "web", "twin"])?;
    let (_, twin) = placed(&dev, "twin")?;
    ensure!(mounted(&scratch, &twin, |folder| Ok(fs::read_to_string(folder.join("file"))?))? == "second", "cloned");

    client(&dev, &["snapshot", "rollback", "web", "s1"])?;
    let (_, device) = placed(&dev, "web")?;
    ensure!(mounted(&scratch, &device, |folder| Ok(fs::read_to_string(folder.join("file"))?))? == "first", "rolled back");

    client(&dev, &["volume-definition", "set-size", "web", "0", "300M"])?;
    let grown = 300 * 1024 * 1024;
    within(SETTLED_LIMIT, "the device has grown", || match berth_integration::size_bytes(&device) {
        Ok(size) if size == grown => Ok(()),
        other => Err(format!("{other:?}")),
    })?;

    client(&dev, &["snapshot", "delete", "web", "s1"])?;
    client(&dev, &["resource", "delete", &node, "web"])?;
    for name in ["web", "copy", "twin"] {
        client(&dev, &["resource-definition", "delete", name])?;
    }
    let empty = |list: &Value| list.as_array().is_some_and(Vec::is_empty);
    Rest::new(dev.address()).wait_for(SETTLED_LIMIT, "/v1/resource-definitions", empty)?;
    ensure!(scratch.loops().is_empty(), "left behind: {:?}", scratch.loops());
    let (_, status) = dev.terminate(STOP_LIMIT)?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[test]
fn simulated_nodes_serve_pools_without_devices() -> Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("cluster");
    let mut dev = start(&scratch, &dir, &["--nodes", "1", "--simulated", "3"])?;
    let rest = Rest::new(dev.address());
    let pools = rest.get("/v1/view/storage-pools")?.ok()?;
    let simulated = pools.json.as_array().context("a list")?.iter().filter(|pool| pool["storage_pool_name"] == "sim").count();
    ensure!(simulated == 3, "{}", pools.text);
    client(&dev, &["resource-group", "create", "big", "--place-count", "3", "--storage-pool", "sim", "--layer-list", "storage"])?;
    client(&dev, &["volume-group", "create", "big"])?;
    client(&dev, &["resource-group", "spawn-resources", "big", "huge", "500G"])?;
    let all = |list: &Value| list.as_array().is_some_and(|list| list.len() == 3);
    rest.wait_for(SETTLED_LIMIT, "/v1/view/resources?resources=huge", all)?;
    ensure!(scratch.loops().is_empty());
    dev.terminate(STOP_LIMIT)?;
    Ok(())
}

#[test]
fn without_a_folder_nothing_stays() -> Result<()> {
    let scratch = Scratch::new()?;
    let temporary = scratch.sub("tmp")?;
    let folder = temporary.to_str().context("a plain path")?;
    let mut dev = Daemon::start_with(&scratch, "dev", &[], &[("TMPDIR", folder)], ["dev", "--listen", "127.0.0.1:0", "--nodes", "1"])?;
    make_group(&dev)?;
    placed(&dev, "web")?;
    dev.signal(Signal::INT)?;
    let status = dev.ended_within(STOP_LIMIT)?;
    ensure!(status.success(), "{status}");
    ensure!(scratch.loops().is_empty(), "left behind: {:?}", scratch.loops());
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains(folder), "still mounted:\n{mounts}");
    let left: Vec<_> = fs::read_dir(&temporary)?.flatten().map(|entry| entry.path()).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

#[test]
fn dev_suggests_three_commands() -> Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("cluster");
    let dev = start(&scratch, &dir, &["--nodes", "1"])?;
    within(Duration::from_secs(10), "three commands to try", {
        let mut seen = Vec::new();
        move || {
            seen.extend(dev.lines_so_far());
            let commands = seen.iter().filter(|line| ["linstor ", "berth "].iter().any(|program| line.contains(program))).count();
            if commands >= 3 { Ok(()) } else { Err(seen.clone()) }
        }
    })
}

#[test]
fn a_second_cluster_in_the_same_folder_is_refused() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("cluster");
    let dev = start(&scratch, &dir, &["--nodes", "1"])?;
    make_group(&dev)?;
    let (_, device) = placed(&dev, "web")?;
    let words: Vec<OsString> = vec!["dev".into(), "--dir".into(), dir.clone().into(), "--listen".into(), "127.0.0.1:0".into()];
    let (status, said) = Daemon::refuse(&scratch, "second", Duration::from_secs(20), words)?;
    ensure!(!status.success() && said.contains("another"), "{status}: {said}");
    ensure!(berth_integration::size_bytes(&device)? == 200 << 20, "the first cluster's device is still served");
    Ok(())
}

#[test]
fn a_folder_goes_on_after_tokens_were_switched_on() -> Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("cluster");
    let file = dir.join("token.json");
    let token = file.to_str().context("a plain path")?;
    let mut dev = start(&scratch, &dir, &["--nodes", "0", "--simulated", "1"])?;
    ensure!(fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600, "others may read the token");
    // Turns HTTPS on, too.
    Rest::new(dev.address()).post("/v1/controller/auth/initialize-token-auth", &json!({}))?.ok()?;
    dev.terminate(STOP_LIMIT)?;

    // A new node is registered all the same.
    let mut dev = start(&scratch, &dir, &["--nodes", "0", "--simulated", "2"])?;
    ensure!(linstor(dev.host_port(), &["node", "list"])?.code() == 10, "everybody gets in");
    let listed = client(&dev, &["--token-file", token, "node", "list"])?;
    ensure!(listed.contains("sim-2"), "{listed}");
    dev.terminate(STOP_LIMIT)?;

    // Without its token a third one cannot be, and what to do is said.
    fs::remove_file(&file)?;
    let mut words: Vec<OsString> = ["dev", "--listen", "127.0.0.1:0", "--nodes", "0", "--simulated", "3", "--dir"].map(Into::into).to_vec();
    words.push(dir.into());
    let (status, said) = Daemon::refuse(&scratch, "closed", Duration::from_secs(60), words)?;
    ensure!(!status.success() && said.contains("sim-3") && said.contains("auth create") && said.contains(token), "{status}: {said}");
    ensure!(!said.contains("ret_code"), "a document is no sentence: {said}");
    Ok(())
}
