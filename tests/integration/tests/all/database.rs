//! The controller's database: looked after while it does not run.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Finished, Scratch, berth, is_root, note, run, run_within};
use serde_json::json;

/// Time for one verb.
const LIMIT: Duration = Duration::from_secs(30);

fn db(verb: &str, data: &Path, words: &[&Path]) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.args(["db", verb, "--data"]).arg(data).args(words);
    run_within(LIMIT, &mut command)
}

/// Makes the body of one record unreadable, as a damaged disk would.
fn break_record(data: &Path, key: &str) -> Result<()> {
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
changed = db.execute('UPDATE record SET body = ? WHERE lower(key) = ?', ('{broken', sys.argv[2])).rowcount
assert changed == 1, changed
db.commit()";
    let file = data.join("berth.db");
    run("python3", &["-c".as_ref(), script.as_ref(), file.as_os_str(), key.as_ref()])?.ok().map(drop)
}

#[test]
fn a_cluster_whose_identity_is_lost_stays_itself() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.terminate(Duration::from_secs(5))?;
    let data = cluster.controller_data()?;
    let identity = || -> Result<serde_json::Value> {
        let document: serde_json::Value = serde_json::from_str(&db("export", &data, &[])?.ok()?)?;
        Ok(document["cluster"]["id"].clone())
    };
    let before = identity()?;
    ensure!(before.is_string(), "{before}");
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('DELETE FROM meta')
db.commit()";
    run("python3", &["-c".as_ref(), script.as_ref(), data.join("berth.db").as_os_str()])?.ok()?;
    ensure!(db("check", &data, &[])?.code() == 1);
    db("repair", &data, &[])?.ok()?;
    cluster.start_controller()?;
    cluster.terminate(Duration::from_secs(5))?;
    ensure!(identity()? == before, "{before} became {}", identity()?);
    Ok(())
}

#[test]
fn a_broken_record_is_set_aside_and_the_rest_is_served() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    for name in ["first", "second", "third"] {
        cluster.rest().post("/v1/resource-definitions", &json!({"resource_definition": {"name": name}}))?.ok()?;
    }
    cluster.terminate(Duration::from_secs(5))?;
    let data = cluster.controller_data()?;
    ensure!(db("check", &data, &[])?.code() == 0);
    break_record(&data, "second")?;
    let checked = db("check", &data, &[])?;
    ensure!(checked.code() == 1 && format!("{}{}", checked.stdout, checked.stderr).to_lowercase().contains("second"), "{checked:?}");
    cluster.start_controller()?;
    let rest = cluster.rest();
    rest.get("/v1/resource-definitions/first")?.ok()?;
    rest.put("/v1/resource-definitions/third", &json!({"override_props": {"Aux/still": "writable"}}))?.ok()?;
    // Its name stays taken: whatever it stands for may still be out there.
    let again = rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "second"}}))?;
    ensure!(!again.errors().is_empty(), "{} {}", again.status, again.text);
    let health = rest.get("/health")?;
    ensure!(health.text.to_lowercase().contains("second"), "/health does not name it: {} {:?}", health.status, health.text);
    let reports = rest.get("/v1/error-reports")?.ok()?;
    ensure!(reports.json.as_array().is_some_and(|reports| !reports.is_empty()), "{}", reports.text);
    cluster.terminate(Duration::from_secs(5))?;
    ensure!(db("repair", &data, &[])?.code() == 0);
    ensure!(db("check", &data, &[])?.code() == 0);
    cluster.start_controller()?;
    cluster.rest().get("/v1/resource-definitions/third")?.ok().map(drop)
}

#[test]
fn an_export_becomes_the_same_cluster_again() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.linstor(&["resource-group", "create", "grp", "--place-count", "3"])?;
    cluster.linstor(&["resource-definition", "create", "web", "--resource-group", "grp"])?;
    cluster.linstor(&["volume-definition", "create", "web", "1G"])?;
    let before = cluster.rest().get("/v1/resource-definitions?with_volume_definitions=true")?.ok()?.json;
    cluster.terminate(Duration::from_secs(5))?;
    let data = cluster.controller_data()?;
    let exported = db("export", &data, &[])?.ok()?;
    ensure!(serde_json::from_str::<serde_json::Value>(&exported)?.is_object(), "{exported}");
    let scratch = Scratch::new()?;
    let file = scratch.path().join("export.json");
    std::fs::write(&file, &exported)?;
    ensure!(db("import", &data, &[&file])?.code() != 0, "an import must not overwrite a database");
    std::fs::remove_dir_all(&data)?;
    std::fs::create_dir_all(&data)?;
    db("import", &data, &[&file])?.ok()?;
    cluster.start_controller()?;
    let after = cluster.rest().get("/v1/resource-definitions?with_volume_definitions=true")?.ok()?.json;
    ensure!(before == after, "before: {before}\nafter: {after}");
    Ok(())
}

/// A folder with what a case needs, and a document of a database.
fn place(scratch: &Scratch, name: &str, good: &Path) -> Result<std::path::PathBuf> {
    let dir = scratch.sub(name)?;
    std::fs::copy(good, dir.join("export.json"))?;
    Ok(dir)
}

#[test]
fn every_error_says_what_and_why_and_what_to_type() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.terminate(Duration::from_secs(5))?;
    let data = cluster.controller_data()?;
    let scratch = Scratch::new()?;
    let good = scratch.path().join("good.json");
    std::fs::write(&good, db("export", &data, &[])?.ok()?)?;
    let whole = |dir: &Path| -> Result<()> { db("import", &dir.join("data"), &[&dir.join("export.json")])?.ok().map(drop) };
    let spoiled = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |dir: &Path| -> Result<()> {
            let file = dir.join("export.json");
            let text = std::fs::read_to_string(&file)?;
            ensure!(text.contains(&from), "{text}");
            std::fs::write(&file, text.replacen(&from, &to, 1)).map_err(Into::into)
        }
    };
    let nothing = |_: &Path| -> Result<()> { Ok(()) };
    let written = |name: &'static str, text: &'static str| {
        move |dir: &Path| -> Result<()> {
            std::fs::create_dir_all(dir.join("data"))?;
            std::fs::write(dir.join("data").join(name), text).map_err(Into::into)
        }
    };
    let changed = |sql: &'static str| {
        move |dir: &Path| -> Result<()> {
            whole(dir)?;
            let script = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.executescript(sys.argv[2])\ndb.commit()";
            let file = dir.join("data/berth.db");
            run("python3", &["-c".as_ref(), script.as_ref(), file.as_os_str(), sql.as_ref()])?.ok().map(drop)
        }
    };
    type Setup<'a> = Box<dyn Fn(&Path) -> Result<()> + 'a>;
    // The verb, what is done before, the words behind it (in the folder), what and why, and what to do.
    let cases: Vec<(&str, Setup<'_>, &[&str], &str, &str)> = vec![
        ("check", Box::new(nothing), &[], "there is no database", "--data"),
        ("repair", Box::new(nothing), &[], "there is no database", "`berth db import --data"),
        ("export", Box::new(nothing), &[], "there is no database", "--data"),
        ("check", Box::new(written("berth.db", "text")), &[], "is not a Berth database", "`mv "),
        ("export", Box::new(written("berth.db", "")), &[], "is not a Berth database", "`mv "),
        ("check", Box::new(changed("PRAGMA user_version = 999")), &[], "schema version 999", "`berth --version`"),
        ("check", Box::new(changed("UPDATE record SET body = '{'")), &[], "is not in order", "`berth db repair --dry-run"),
        ("export", Box::new(changed("DROP TABLE meta")), &[], "damaged", "`berth db repair --data"),
        ("repair", Box::new(&whole), &["--drop", "node", "NONE"], "there is no broken record", "`berth db check`"),
        (
            "repair",
            Box::new(changed("DROP TABLE record; DROP TABLE history; DROP TABLE ledger")),
            &[],
            "would make an empty cluster",
            "--accept-empty",
        ),
        ("export", Box::new(&whole), &["--output", "export.json"], "cannot make", "--output"),
        ("export", Box::new(&whole), &["--output", "none/export.json"], "cannot make", "--output"),
        ("import", Box::new(&whole), &["export.json"], "exists", "`mv "),
        ("import", Box::new(&whole), &["--dry-run", "export.json"], "exists", "`mv "),
        ("import", Box::new(nothing), &["none.json"], "cannot read", "`berth db export --output"),
        ("import", Box::new(spoiled("{", "[")), &["export.json"], "the document cannot be used", "`berth db export`"),
        ("import", Box::new(spoiled("berth-export", "other")), &["export.json"], "the document cannot be used", "`berth db export`"),
        ("import", Box::new(written("berth.lock", "")), &["."], "the document cannot be used", "`berth db export`"),
    ];
    for (at, (verb, setup, words, what, correction)) in cases.iter().enumerate() {
        let dir = place(&scratch, &format!("case-{at}"), &good)?;
        setup(&dir).with_context(|| format!("case {at}"))?;
        let mut command = Command::new(berth()?);
        command.current_dir(&dir).args(["db", verb, "--data"]).arg(dir.join("data")).args(*words);
        let told = run_within(LIMIT, &mut command)?;
        ensure!(told.code() == 1, "case {at}: {told:?}");
        let text = told.stderr.trim();
        ensure!(text.starts_with("ERROR: ") && text.ends_with('.') && text.lines().count() == 1, "case {at}: {text}");
        // What and why first, what to do behind it.
        let (found, advice) = (text.find(what), text.rfind(correction));
        ensure!(found.is_some_and(|found| advice.is_some_and(|advice| found < advice)), "case {at}, {what:?}, {correction:?}: {text}");
    }
    // Somebody else holds it.
    cluster.start_controller()?;
    let told = db("repair", &data, &[])?;
    ensure!(told.code() == 1 && told.stderr.contains("is in use by process") && told.stderr.contains("`systemctl stop"), "{told:?}");
    // A backup has the secrets, so it is its owner's only.
    let file = scratch.path().join("backup.json");
    db("export", &data, &["--output".as_ref(), &file])?.ok()?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file)?.permissions());
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    // An output without room: nothing of it is left, and the reason is named.
    let told = db("export", &data, &["--output".as_ref(), "/dev/full".as_ref()])?;
    ensure!(told.code() == 1 && told.stderr.contains("--output"), "{told:?}");
    let piped =
        Command::new("sh").arg("-c").arg(format!("'{}' db export --data '{}' >/dev/full", berth()?.display(), data.display())).output()?;
    let text = String::from_utf8_lossy(&piped.stderr).into_owned();
    ensure!(piped.status.code() == Some(1) && text.contains("No space left") && text.contains("--output FILE"), "{text}");
    Ok(())
}

#[test]
fn satellites_obey_a_restored_database() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let data = cluster.controller_data()?;
    cluster.terminate(Duration::from_secs(5))?;
    let exported = db("export", &data, &[])?.ok()?;
    let scratch = Scratch::new()?;
    let file = scratch.path().join("export.json");
    std::fs::write(&file, &exported)?;
    cluster.start_controller()?;
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_online("alpha")?;
    // The satellite obeys plans that the export knows nothing of.
    for name in ["late_a", "late_b", "late_c"] {
        cluster.make_volume(name, "alpha", 16 * 1024)?;
    }
    cluster.kill_controller();
    std::fs::remove_dir_all(&data)?;
    std::fs::create_dir_all(&data)?;
    db("import", &data, &[&file])?.ok()?;
    cluster.start_controller()?;
    cluster.wait_online("alpha")?;
    cluster.make_volume("after", "alpha", 16 * 1024)?;
    cluster.delete_all_of("after")
}

#[test]
fn a_bundle_has_the_state_and_the_log_and_no_secret() -> Result<()> {
    let cluster = Cluster::empty()?;
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "web"}}))?.ok()?;
    let props = json!({"override_props": {"Aux/password": "hush-hush", "Aux/plain": "shown"}});
    rest.put("/v1/resource-definitions/web", &props)?.ok()?;
    let file = cluster.scratch().path().join("bundle.json");
    let take = |words: &[&str]| -> Result<Finished> {
        let mut command = Command::new(berth()?);
        command.args(["bundle", "--controllers", cluster.address(), "--output"]).arg(&file).args(words);
        run_within(LIMIT, &mut command)
    };
    take(&[])?.ok()?;
    let text = std::fs::read_to_string(&file)?;
    ensure!(!text.contains("hush-hush") && text.contains("shown"), "{text}");
    let bundle: serde_json::Value = serde_json::from_str(&text)?;
    ensure!(bundle["format"] == "berth-bundle" && bundle["version"] == 1 && bundle["log_begins"] == 1, "{text}");
    let serial = bundle["serial"].as_u64().unwrap_or_default();
    ensure!(serial >= 3 && bundle["log"].as_array().map(Vec::len) == usize::try_from(serial).ok(), "{text}");
    let again = take(&[])?;
    ensure!(again.code() == 1 && again.stderr.contains("bundle.json"), "a file is not overwritten: {again:?}");
    std::fs::remove_file(&file)?;
    take(&["--log", "1"])?.ok()?;
    let bundle: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    ensure!(bundle["log_begins"] == serial && bundle["log"].as_array().map(Vec::len) == Some(1), "{bundle}");
    rest.get("/v1/berth/bundle?log=many")?.refused(234).map(drop)
}
