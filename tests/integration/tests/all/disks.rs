//! Disks that are full, read-only or damaged, a database from the future, and clocks that are wrong: a clear word, nothing lost.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Daemon, berth, is_root, note, run, run_within, tool, within};
use serde_json::json;

/// Time for a controller to refuse, and for one verb of `berth db`.
const LIMIT: Duration = Duration::from_secs(30);

/// A controller with `count` definitions, killed: its database is as a crash leaves it.
fn killed(count: usize) -> Result<(Cluster, PathBuf)> {
    let mut cluster = Cluster::empty()?;
    let rest = cluster.rest();
    for number in 0..count {
        rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": format!("def-{number}")}}))?.ok()?;
    }
    cluster.kill_controller();
    let data = cluster.controller_data()?;
    Ok((cluster, data))
}

/// With this code systemd does not start the controller again.
const NEEDS_HANDS: i32 = 78;

/// The controller ends once, by itself, with this exit code and a message that names `words`.
fn refuses(cluster: &Cluster, data: &Path, code: i32, words: &[&str]) -> Result<String> {
    let call = ["controller".into(), "--data".into(), data.to_path_buf().into_os_string(), "--listen".into(), "127.0.0.1:0".into()];
    let (status, log) = Daemon::refuse(cluster.scratch(), "refused", LIMIT, call)?;
    ensure!(status.code() == Some(code), "ended with {status}:\n{log}");
    ensure!(!log.contains("panicked"), "{log}");
    for word in words {
        ensure!(log.contains(word), "it does not say {word:?}:\n{log}");
    }
    Ok(log)
}

fn db(verb: &str, data: &Path) -> Result<berth_integration::Finished> {
    let mut command = Command::new(berth()?);
    command.args(["db", verb, "--data"]).arg(data);
    run_within(LIMIT, &mut command)
}

fn has_all(cluster: &Cluster, count: usize) -> Result<()> {
    for number in 0..count {
        cluster.rest().get(&format!("/v1/resource-definitions/def-{number}"))?.ok()?;
    }
    Ok(())
}

#[test]
fn flipped_bytes_in_the_log_are_named_and_repaired_without_loss() -> Result<()> {
    let (mut cluster, data) = killed(12)?;
    let file = fs::OpenOptions::new().read(true).write(true).open(data.join("berth.db-wal"))?;
    let at = file.metadata()?.len() / 3;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 0x10], at)?;
    for _ in 0..2 {
        refuses(&cluster, &data, NEEDS_HANDS, &["berth.db-wal", "damaged", "berth db repair"])?;
    }
    ensure!(db("check", &data)?.code() == 1);
    db("repair", &data)?.ok()?;
    db("check", &data)?.ok()?;
    cluster.start_controller()?;
    has_all(&cluster, 12)?;
    ensure!(cluster.rest().get("/health")?.text.is_empty());
    Ok(())
}

#[test]
fn a_log_that_lost_its_end_is_named_and_given_up_only_on_demand() -> Result<()> {
    let (mut cluster, data) = killed(12)?;
    let file = fs::OpenOptions::new().write(true).open(data.join("berth.db-wal"))?;
    file.set_len(file.metadata()?.len() * 2 / 3)?;
    refuses(&cluster, &data, NEEDS_HANDS, &["acknowledged", "its newest part is gone", "berth db repair"])?;
    let repaired = db("repair", &data)?.ok()?;
    ensure!(repaired.contains("it goes on without"), "{repaired}");
    cluster.start_controller()?;
    has_all(&cluster, 3)?;
    cluster.rest().post("/v1/resource-definitions", &json!({"resource_definition": {"name": "more"}}))?.ok().map(drop)
}

#[test]
fn a_database_of_a_newer_release_is_named_and_left_alone() -> Result<()> {
    let (mut cluster, data) = killed(2)?;
    cluster.start_controller()?;
    cluster.terminate(LIMIT)?;
    let change = |version: &str| -> Result<()> {
        let script =
            format!("import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.execute('PRAGMA user_version = {version}')\ndb.commit()");
        run("python3", &["-c".as_ref(), script.as_ref(), data.join("berth.db").as_os_str()])?.ok().map(drop)
    };
    let version = run(
        "python3",
        &[
            "-c".as_ref(),
            "import sqlite3, sys\nprint(sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version').fetchone()[0])".as_ref(),
            data.join("berth.db").as_os_str(),
        ],
    )?
    .ok()?;
    change("999")?;
    let before = fs::read(data.join("berth.db"))?;
    refuses(&cluster, &data, NEEDS_HANDS, &["999", "Install the release that wrote it"])?;
    for verb in ["check", "repair"] {
        let told = db(verb, &data)?;
        ensure!(told.code() == 1 && told.stderr.contains("999"), "{told:?}");
    }
    ensure!(fs::read(data.join("berth.db"))? == before, "it was changed");
    change(version.trim())?;
    cluster.start_controller()?;
    has_all(&cluster, 2)
}

#[test]
fn a_database_that_is_gone_is_not_replaced_by_an_empty_one() -> Result<()> {
    let (mut cluster, data) = killed(3)?;
    let kept = cluster.scratch().sub("kept")?;
    for name in ["berth.db", "berth.db-wal", "berth.db-shm"] {
        fs::rename(data.join(name), kept.join(name))?;
    }
    for _ in 0..2 {
        refuses(&cluster, &data, NEEDS_HANDS, &["berth.db is missing", "acknowledged", "berth db import --data"])?;
    }
    for verb in ["check", "repair", "export"] {
        let told = db(verb, &data)?;
        ensure!(told.code() == 1 && told.stderr.contains("berth.db is missing"), "{told:?}");
    }
    ensure!(!data.join("berth.db").exists(), "one was made");
    for name in ["berth.db", "berth.db-wal", "berth.db-shm"] {
        fs::rename(kept.join(name), data.join(name))?;
    }
    cluster.start_controller()?;
    has_all(&cluster, 3)
}

#[test]
fn another_programs_file_is_named_and_left_alone() -> Result<()> {
    let cluster = Cluster::empty()?;
    let data = cluster.scratch().sub("foreign")?;
    let file = data.join("berth.db");
    let theirs = |path: &Path| -> Result<()> {
        let script = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.execute('CREATE TABLE t (x)')\ndb.commit()";
        run("python3", &["-c".as_ref(), script.as_ref(), path.as_os_str()])?.ok().map(drop)
    };
    for (what, make) in [("text", (&|path: &Path| Ok(fs::write(path, "no database")?)) as &dyn Fn(&Path) -> Result<()>), ("table", &theirs)]
    {
        make(&file)?;
        let before = fs::read(&file)?;
        refuses(&cluster, &data, NEEDS_HANDS, &["is not a Berth database", "mv "])?;
        ensure!(fs::read(&file)? == before, "{what}: it was changed");
        fs::remove_file(&file)?;
    }
    Ok(())
}

#[test]
fn a_read_only_file_system_is_named_and_nothing_is_lost() -> Result<()> {
    if !is_root() {
        note("a read-only mount needs root");
        return Ok(());
    }
    let (mut cluster, data) = killed(3)?;
    let place = data.to_str().context("a plain path")?;
    run("mount", &["--bind", place, place])?.ok()?;
    run("mount", &["-o", "remount,ro,bind", place])?.ok()?;
    // Somebody has to mount it anew: another start would end the same way.
    refuses(&cluster, &data, NEEDS_HANDS, &[place, "writable", "findmnt"])?;
    run("umount", &[place])?.ok()?;
    cluster.start_controller()?;
    has_all(&cluster, 3)
}

#[test]
fn a_full_disk_at_the_start_is_named_and_nothing_is_lost() -> Result<()> {
    if !is_root() {
        note("a small file system needs root");
        return Ok(());
    }
    let (mut cluster, data) = killed(3)?;
    let small = cluster.scratch().sub("full")?;
    run("mount", &["-t", "tmpfs", "-o", "size=4m", "none", small.to_str().context("a plain path")?])?.ok()?;
    let there = small.join("data");
    run("cp", &["-r".as_ref(), data.as_os_str(), there.as_os_str()])?.ok()?;
    let mut filler = fs::File::create(small.join("filler"))?;
    while std::io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
    refuses(&cluster, &there, 1, &["space"])?;
    fs::remove_file(small.join("filler"))?;
    fs::remove_dir_all(&data)?;
    run("cp", &["-r".as_ref(), there.as_os_str(), data.as_os_str()])?.ok()?;
    cluster.start_controller()?;
    has_all(&cluster, 3)
}

/// A disk that fails one sync: that change is refused, reads go on, and the next change works, without a restart.
#[test]
fn a_failed_sync_refuses_one_change_and_needs_no_restart() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.rest().post("/v1/resource-definitions", &json!({"resource_definition": {"name": "def-0"}}))?.ok()?;
    cluster.terminate(LIMIT)?;
    let strace: Vec<OsString> = [
        tool("strace")?.into(),
        "-f".into(),
        "-qq".into(),
        "-o".into(),
        "/dev/null".into(),
        "-e".into(),
        "trace=fdatasync".into(),
        "-e".into(),
        // Past those of the start, whose number is nobody's promise.
        "inject=fdatasync:error=EIO:when=30".into(),
    ]
    .into();
    cluster.start_controller_with(&strace, &[])?;
    let rest = cluster.rest();
    let mut made = vec!["def-0".to_owned()];
    let mut refused = Vec::new();
    for number in 1..200 {
        let name = format!("def-{number}");
        let reply = rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": name}}))?;
        if reply.status == 201 {
            made.push(name);
        } else {
            ensure!(!reply.errors().is_empty(), "{} {}", reply.status, reply.text);
            refused.push(name);
        }
        if !refused.is_empty() && made.len() > refused.len() + 40 {
            break;
        }
    }
    ensure!(refused.len() == 1, "refused: {refused:?}, made: {}", made.len());
    within(LIMIT, "all is well again", || match rest.get("/health") {
        Ok(reply) if reply.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    cluster.kill_controller();
    cluster.start_controller()?;
    for name in &made {
        cluster.rest().get(&format!("/v1/resource-definitions/{name}"))?.ok()?;
    }
    ensure!(cluster.rest().get(&format!("/v1/resource-definitions/{}", refused[0]))?.status == 404, "refused, but there");
    Ok(())
}

/// Ten years forward and back, from start to start: everything works, nothing is trimmed that a right clock would keep for long.
#[test]
fn a_clock_ten_years_off_loses_nothing() -> Result<()> {
    let faketime = tool("faketime")?;
    let mut cluster = Cluster::empty()?;
    let mut made: Vec<String> = Vec::new();
    let mut epoch = 0;
    for (round, shift) in ["+0", "+3650d", "-3650d", "+0"].into_iter().enumerate() {
        cluster.terminate(LIMIT)?;
        let wrapper: Vec<OsString> = match shift {
            "+0" => Vec::new(),
            _ => vec![faketime.clone().into(), "-f".into(), shift.into()],
        };
        cluster.start_controller_with(&wrapper, &[("FAKETIME_DONT_FAKE_MONOTONIC", "1")])?;
        let rest = cluster.rest();
        let name = format!("def-{round}");
        rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": name}}))?.ok()?;
        made.push(name);
        for name in &made {
            rest.get(&format!("/v1/resource-definitions/{name}"))?.ok()?;
            let again = rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": name}}))?;
            ensure!(!again.errors().is_empty(), "{name} was given out twice");
        }
        let health = rest.get("/health")?;
        ensure!(health.status == 200 && health.text.is_empty(), "{} {}", health.status, health.text);
        let bundle = rest.get("/v1/berth/bundle")?.ok()?.json;
        let next = bundle["epoch"].as_u64().context("an epoch")?;
        ensure!(next > epoch, "epoch {next} after {epoch}");
        epoch = next;
        let taken = bundle["taken"].as_i64().context("a time")?;
        let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?;
        let years = (taken - now) / (365 * 86_400_000);
        let wanted = match shift {
            "+3650d" => 9..=10,
            "-3650d" => -10..=-9,
            _ => 0..=0,
        };
        ensure!(wanted.contains(&years), "the controller's clock is {years} years off, not {shift}");
    }
    Ok(())
}
