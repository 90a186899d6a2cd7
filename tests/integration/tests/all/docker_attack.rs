//! The volume plugin for Docker under attack: at its socket, on its devices, and killed at any moment.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{count, run, until, within};
use serde_json::{Value, json};

use crate::docker::{SETTLED, Site, ask, ready};

/// A call that must succeed.
fn call(socket: &Path, name: &str, body: &Value) -> Result<Value> {
    let said = ask(socket, &format!("VolumeDriver.{name}"), &body.to_string())?;
    let answer: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    ensure!(answer["Err"] == "", "{name} {body}: {said}");
    Ok(answer)
}

/// Bytes to the socket; answers everything that comes back.
fn raw(socket: &Path, bytes: &[u8]) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    // It may be refused before all of it was sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn whatever_comes_through_the_socket_gets_dockers_own_answer() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new("size = 8M", &[])?;
    for (request, word) in [
        ("GET /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "sent with POST"),
        ("GET /Plugin.Activate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "no such call"),
        ("POST /a/b/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "no such call"),
        ("POST /VolumeDriver.Get HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{\"Name\":1", "no JSON"),
        ("POST /VolumeDriver.Get HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]", "names no volume"),
    ] {
        let said = raw(&site.socket, request.as_bytes())?;
        ensure!(said.contains("\"Err\"") && said.contains(word), "{request}: {said}");
    }
    let huge = format!("POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", 8 << 20);
    let mut huge = huge.into_bytes();
    huge.resize(huge.len() + (8 << 20), b' ');
    let said = raw(&site.socket, &huge)?;
    ensure!(said.is_empty() || said.contains("cannot be read"), "{said}");
    ensure!(raw(&site.socket, b"\0\x01nonsense\r\n\r\n")?.contains("400"), "no HTTP at all");
    for what in ["Mount", "Unmount"] {
        let said = ask(&site.socket, &format!("VolumeDriver.{what}"), r#"{"Name":"x"}"#)?;
        ensure!(said.contains("has no ID"), "{said}");
    }

    // Many who say nothing, and half of a request.
    let mut silent: Vec<UnixStream> = (0..200).map(|_| UnixStream::connect(&site.socket)).collect::<std::io::Result<_>>()?;
    for stream in silent.iter_mut().take(100) {
        stream.write_all(b"POST /VolumeDriver.List HTTP/1.1\r\nHo")?;
    }
    call(&site.socket, "Create", &json!({"Name": "between"}))?;
    call(&site.socket, "Remove", &json!({"Name": "between"}))?;
    drop(silent);
    site.nothing_is_left()
}

#[test]
fn options_are_found_again_in_the_cluster() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new("size = 8M", &[])?;
    let pools = site.cluster.rest().get("/v1/view/storage-pools")?.json;
    let pools = pools.as_array().context("pools")?;
    let pool = pools
        .iter()
        .find(|pool| pool["provider_kind"] != "DISKLESS")
        .and_then(|pool| pool["storage_pool_name"].as_str())
        .context("a pool")?;
    site.cluster.linstor(&["resource-group", "create", "gold"])?;
    let chosen = format!("storage-pool={pool}");
    let options = [
        "size=12M",
        &chosen,
        "nodes=one",
        "resource-group=gold",
        "property.Aux/who=me",
        "io-limits=read-bps:1M,write-iops:9",
        "mountopts=ro",
    ];
    site.create("vol", &options)?;
    let all = site.cluster.rest().get("/v1/resource-definitions?with_volume_definitions=true")?.json;
    let made = &all[0];
    ensure!(made["name"] == "vol" && made["resource_group_name"] == "gold", "{made}");
    ensure!(made["volume_definitions"][0]["size_kib"] == 12288, "{made}");
    for (key, value) in [("Aux/who", "me"), ("sys/fs/blkio_throttle_read", "1048576"), ("sys/fs/blkio_throttle_write_iops", "9")] {
        ensure!(made["props"][key] == value, "{key}: {}", made["props"]);
    }
    let replicas = site.cluster.rest().get("/v1/view/resources")?.json;
    ensure!(replicas.as_array().map(Vec::len) == Some(1) && replicas[0]["node_name"] == "one", "{replicas}");
    ensure!(replicas[0]["volumes"][0]["storage_pool_name"] == pool, "{replicas}");
    // It can be read and not written, and another size or file system is not the same volume.
    ensure!(site.shell("vol:/data", "echo x > /data/f 2>/dev/null || echo refused")? == "refused");
    let said = ask(&site.socket, "VolumeDriver.Create", r#"{"Name":"vol","Opts":{"fs":"xfs"}}"#)?;
    ensure!(said.contains("another fs"), "{said}");
    site.docker.ok(&["volume", "rm", "vol"])?;
    site.cluster.linstor(&["resource-group", "delete", "gold"])?;
    site.nothing_is_left()
}

#[test]
fn what_is_on_a_device_is_kept_whoever_put_it_there() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new("size = 8M", &[])?;
    site.create("swap", &[])?;
    let replicas = site.cluster.rest().get("/v1/view/resources")?.json;
    let device = replicas[0]["volumes"][0]["device_path"].as_str().context("a device")?.to_owned();
    run("mkswap", &[Path::new(&device)])?.ok()?;
    let said = ask(&site.socket, "VolumeDriver.Mount", r#"{"Name":"swap","ID":"1"}"#)?;
    ensure!(said.contains("swap") && said.contains("did not put there"), "{said}");
    ensure!(run("blkid", &[Path::new("--probe"), Path::new(&device)])?.ok()?.contains("swap"), "it was written over");
    ensure!(site.mounts() == 0);
    site.docker.ok(&["volume", "rm", "swap"])?;

    // Deleted by somebody else while a container has it.
    site.create("vol", &[])?;
    site.run("holder", &["vol:/data"], "echo there > /data/f; sleep 10000")?;
    until(SETTLED, "it wrote", || site.docker.ok(&["exec", "holder", "cat", "/data/f"]).is_ok_and(|text| text == "there"))?;
    ensure!(site.cluster.linstor(&["resource-definition", "delete", "vol"]).is_err(), "it is in use");
    ensure!(site.docker.ok(&["exec", "holder", "cat", "/data/f"])? == "there");
    site.docker.ok(&["rm", "-f", "holder"])?;
    until(SETTLED, "nothing is mounted", || site.mounts() == 0)?;
    site.docker.ok(&["volume", "rm", "vol"])?;
    site.nothing_is_left()
}

#[test]
fn users_and_removers_of_one_volume_do_not_disturb_each_other() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new("size = 8M", &[])?;
    call(&site.socket, "Create", &json!({"Name": "vol"}))?;
    let socket = &site.socket;
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..4)
            .map(|user| {
                scope.spawn(move || -> Result<()> {
                    for round in 0..5 {
                        let body = json!({"Name": "vol", "ID": format!("{user}-{round}")});
                        let said = ask(socket, "VolumeDriver.Mount", &body.to_string())?;
                        ensure!(said.contains("\"Err\":\"\"") || said.contains("no volume"), "{said}");
                        let path = serde_json::from_str::<Value>(&said)?["Mountpoint"].as_str().map(str::to_owned);
                        if let Some(path) = path {
                            fs::write(Path::new(&path).join(format!("{user}-{round}")), "x")?;
                        }
                        call(socket, "Unmount", &body)?;
                    }
                    Ok(())
                })
            })
            .collect();
        for _ in 0..3 {
            let said = ask(socket, "VolumeDriver.Remove", r#"{"Name":"vol"}"#)?;
            ensure!(said.contains("\"Err\":\"\"") || said.contains("mounted on this host"), "{said}");
        }
        users.into_iter().try_for_each(|user| user.join().unwrap_or_else(|_| Err(anyhow::anyhow!("panicked"))))
    })?;
    ensure!(site.mounts() == 0);
    call(&site.socket, "Remove", &json!({"Name": "vol"}))?;
    site.nothing_is_left()
}

#[test]
fn a_satellite_that_is_killed_at_any_moment_of_a_first_mount_loses_nothing() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let mut site = Site::new("size = 8M", &[])?;
    for round in 0..count(6, 60) {
        let name = format!("vol{round}");
        let body = json!({"Name": name, "ID": "container"});
        call(&site.socket, "Create", &json!({"Name": name}))?;
        let socket = site.socket.clone();
        let of_mount = body.to_string();
        let mount = std::thread::spawn(move || {
            let said: Value = serde_json::from_str(&ask(&socket, "VolumeDriver.Mount", &of_mount).ok()?).ok()?;
            // What a container writes once it has it must be there later.
            fs::write(Path::new(said["Mountpoint"].as_str()?).join("written"), "here").ok()
        });
        // Between the first request and the last step: a first mount takes some hundred milliseconds.
        std::thread::sleep(Duration::from_millis(u64::from(round * 61 % 400)));
        site.cluster.kill_satellite("one");
        let written = mount.join().ok().flatten().is_some();
        site.start_satellite()?;
        site.cluster.wait_online("one")?;
        let path = within(SETTLED, "it is mounted", || {
            let answer = call(&site.socket, "Mount", &body).map_err(|error| format!("round {round}: {error:#}"))?;
            answer["Mountpoint"].as_str().map(str::to_owned).ok_or_else(|| answer.to_string())
        })?;
        ensure!(path.ends_with("/data"), "{path}");
        ensure!(!written || fs::read_to_string(Path::new(&path).join("written"))? == "here", "round {round}: written over");
        ensure!(call(&site.socket, "Get", &json!({"Name": name}))?["Volume"]["Status"]["users"] == 1, "round {round}");
        ensure!(site.mounts() == 1, "round {round}: {} mounts", site.mounts());
        call(&site.socket, "Unmount", &body)?;
        ensure!(site.mounts() == 0, "round {round}");
        call(&site.socket, "Remove", &json!({"Name": name}))?;
    }
    site.nothing_is_left()
}
