//! Who gets in: certificates between controller and satellites, HTTPS, a real directory.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Daemon, Rest, Scratch, berth, run_within, until};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

/// Makes certificates with `berth tls`.
fn tls(dir: &Path, words: &[&str]) -> Result<String> {
    let mut command = Command::new(berth()?);
    command.arg("tls").args(words).arg("--dir").arg(dir);
    run_within(LIMIT, &mut command)?.ok()
}

fn controller(scratch: &Scratch, name: &str, environment: &[(&str, &str)]) -> Result<Daemon> {
    let data = scratch.sub(name)?.into_os_string();
    let words: [OsString; 5] = ["controller".into(), "--listen".into(), "127.0.0.1:0".into(), "--data".into(), data];
    Daemon::start_with(scratch, name, &[], environment, words)
}

fn satellite(scratch: &Scratch, name: &str, certificate: Option<(&Path, &str, &Path)>) -> Result<Daemon> {
    let folder = scratch.sub(&format!("satellite-{name}"))?;
    let mut words: Vec<OsString> = ["satellite", "--listen", "127.0.0.1:0", "--name", name].map(OsString::from).to_vec();
    words.extend(["--data".into(), folder.join("data").into(), "--dev-dir".into(), folder.join("dev").into()]);
    if let Some((dir, of, ca)) = certificate {
        words.extend(["--tls-cert".into(), dir.join(format!("{of}.crt")).into()]);
        words.extend(["--tls-key".into(), dir.join(format!("{of}.key")).into(), "--tls-ca".into(), ca.into()]);
    }
    Daemon::start(scratch, &format!("satellite-{name}"), words)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a plain path")
}

#[test]
fn controller_and_satellites_know_each_other_by_certificates() -> Result<()> {
    let scratch = Scratch::new()?;
    let (own, foreign) = (scratch.path().join("tls"), scratch.path().join("other"));
    tls(&own, &["init", "--satellite", "alpha", "--satellite", "bravo"])?;
    tls(&foreign, &["init", "--satellite", "charlie", "--satellite", "alpha"])?;
    let files = [own.join("controller.crt"), own.join("controller.key"), own.join("ca.crt")];
    let environment =
        [("BERTH_SATELLITE_CERT", text(&files[0])?), ("BERTH_SATELLITE_KEY", text(&files[1])?), ("BERTH_SATELLITE_CA", text(&files[2])?)];
    let controller = controller(&scratch, "controller", &environment)?;
    let rest = Rest::new(controller.address());
    let ca = own.join("ca.crt");
    let good = satellite(&scratch, "alpha", Some((&own, "alpha", &ca)))?;
    // Its certificate says that it is another node.
    let liar = satellite(&scratch, "bravo", Some((&own, "alpha", &ca)))?;
    // Its certificate is of another authority.
    let stranger = satellite(&scratch, "charlie", Some((&foreign, "charlie", &ca)))?;
    // It takes controllers of another authority.
    let other = satellite(&scratch, "delta", Some((&own, "bravo", &foreign.join("ca.crt"))))?;
    // It speaks no TLS.
    let plain = satellite(&scratch, "echo", None)?;
    let add = |name: &str, port: u16, encryption: &str| {
        let interface = json!({"name": "default", "address": "127.0.0.1", "satellite_port": port, "satellite_encryption_type": encryption});
        rest.post("/v1/nodes", &json!({"name": name, "type": "SATELLITE", "net_interfaces": [interface]}))
    };
    for (name, daemon) in [("alpha", &good), ("bravo", &liar), ("charlie", &stranger), ("delta", &other), ("echo", &plain)] {
        add(name, daemon.port()?, "SSL")?.ok()?;
    }
    rest.wait_for(LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "ONLINE")?;
    for name in ["bravo", "charlie", "delta", "echo"] {
        // The answer to the creation came after the first attempt: whoever is not online then was refused.
        let node = rest.get(&format!("/v1/nodes/{name}"))?.ok()?.json;
        ensure!(node["connection_status"] == "OFFLINE", "{name}: {}", node["connection_status"]);
    }
    // Nobody without a certificate is heard by a satellite that has one.
    let node = json!({"name": "default", "address": "127.0.0.1", "satellite_port": good.port()?, "satellite_encryption_type": "PLAIN"});
    rest.put("/v1/nodes/alpha/net-interfaces/default", &node)?.ok()?;
    rest.wait_for(LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "OFFLINE")?;
    Ok(())
}

#[test]
fn https_lets_in_whom_the_list_of_certificates_names() -> Result<()> {
    let scratch = Scratch::new()?;
    let (own, foreign) = (scratch.path().join("tls"), scratch.path().join("other"));
    tls(&own, &["init", "--address", "127.0.0.1"])?;
    for name in ["alice", "grafana", "mallory"] {
        tls(&own, &["issue", "client", name])?;
    }
    tls(&foreign, &["init"])?;
    tls(&foreign, &["issue", "client", "alice"])?;
    let files = [own.join("controller.crt"), own.join("controller.key"), own.join("ca.crt")];
    let environment = [
        ("BERTH_HTTPS_CERT", text(&files[0])?),
        ("BERTH_HTTPS_KEY", text(&files[1])?),
        ("BERTH_HTTPS_CLIENT_CA", text(&files[2])?),
        ("BERTH_HTTPS_CLIENTS", "alice,grafana:viewer"),
        ("BERTH_HTTPS_LISTEN", "127.0.0.1:0"),
    ];
    let controller = controller(&scratch, "controller", &environment)?;
    // The plain port sends to the encrypted one; the client goes there by itself.
    let client = |certificate: Option<(&Path, &str)>, words: &[&str]| {
        let mut command = Command::new(berth()?);
        command.args(["--disable-config", "--controllers", controller.host_port()]);
        if let Some((dir, name)) = certificate {
            command.arg("--certfile").arg(dir.join(format!("{name}.crt"))).arg("--keyfile").arg(dir.join(format!("{name}.key")));
        }
        command.arg("--cafile").arg(own.join("ca.crt"));
        run_within(LIMIT, command.args(words))
    };
    let make = ["resource-definition", "create", "web"];
    ensure!(client(Some((&own, "alice")), &["node", "list"])?.code() == 0);
    client(Some((&own, "alice")), &make)?.ok()?;
    ensure!(client(Some((&own, "grafana")), &["resource-definition", "list"])?.ok()?.contains("web"));
    ensure!(client(Some((&own, "grafana")), &["resource-definition", "delete", "web"])?.code() == 10, "a viewer deleted something");
    ensure!(client(Some((&own, "mallory")), &["node", "list"])?.code() == 10, "nobody lists mallory");
    for nobody in [Some((foreign.as_path(), "alice")), None] {
        ensure!(client(nobody, &["node", "list"])?.code() == 20, "{nobody:?}");
    }
    ensure!(client(Some((&own, "alice")), &["resource-definition", "list"])?.ok()?.contains("web"));
    // The client does not talk to a controller that its authority does not vouch for.
    let mut command = Command::new(berth()?);
    command.args(["--disable-config", "--controllers", controller.host_port(), "--cafile"]).arg(foreign.join("ca.crt"));
    ensure!(run_within(LIMIT, command.args(["node", "list"]))?.code() == 20);
    // Without TLS there is the way to TLS, and whether all is well.
    let rest = Rest::new(controller.address());
    ensure!(rest.get("/health")?.status == 200);
    Ok(())
}

/// A directory of Debian's slapd in a folder of its own; ended with the value.
pub(crate) struct Directory {
    child: Child,
    uri: String,
}

impl Directory {
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const ENTRIES: &str = "dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: uid=alice,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: alice
sn: alice
userPassword: wonder land
userPassword: secret
employeeType: storage

dn: uid=bob,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: bob
sn: bob
userPassword: builder
employeeType: viewer

dn: uid=eve,dc=example,dc=com
objectClass: inetOrgPerson
uid: eve
cn: eve
sn: eve
userPassword: apple
";

pub(crate) fn directory(scratch: &Scratch) -> Result<Option<Directory>> {
    let Some(slapd) = ["/usr/sbin/slapd", "/usr/lib/openldap/slapd"].map(PathBuf::from).into_iter().find(|file| file.exists()) else {
        berth_integration::note("skipped: slapd is not installed; 'cargo xtask test' installs it");
        return Ok(None);
    };
    let folder = scratch.sub("ldap")?;
    let data = scratch.sub("ldap-data")?;
    let modules = "/usr/lib/ldap";
    let settings = format!(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n\
         modulepath {modules}\nmoduleload back_mdb\npidfile {0}/pid\nargsfile {0}/args\n\
         database mdb\nmaxsize 10485760\nsuffix \"dc=example,dc=com\"\nrootdn \"cn=root,dc=example,dc=com\"\nrootpw secret\ndirectory {1}\n\
         access to attrs=userPassword by anonymous auth by * none\naccess to * by * read\n",
        folder.display(),
        data.display()
    );
    let (file, entries) = (folder.join("slapd.conf"), folder.join("entries.ldif"));
    fs::write(&file, settings)?;
    fs::write(&entries, ENTRIES)?;
    let mut fill = Command::new(&slapd);
    // One program under two names: `slapadd` fills the database.
    fill.args(["-T", "add", "-f"]).arg(&file).arg("-l").arg(&entries);
    run_within(LIMIT, &mut fill)?.ok()?;
    // slapd takes no port 0; one that was free a moment ago is.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let uri = format!("ldap://127.0.0.1:{port}");
    let log = fs::File::create(folder.join("log"))?;
    let child = Command::new(&slapd)
        .args(["-d", "0", "-h", &uri, "-f"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("slapd does not start")?;
    let directory = Directory { child, uri };
    until(LIMIT, "slapd listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok(Some(directory))
}

#[test]
fn a_directory_says_who_may_log_in_and_as_what() -> Result<()> {
    let scratch = Scratch::new()?;
    let Some(mut directory) = directory(&scratch)? else { return Ok(()) };
    let uri = directory.uri.clone();
    let environment = [
        ("BERTH_LDAP_ENABLED", "true"),
        ("BERTH_LDAP_URI", uri.as_str()),
        ("BERTH_LDAP_DN", "uid={user},dc=example,dc=com"),
        ("BERTH_LDAP_SEARCH_BASE", "dc=example,dc=com"),
        ("BERTH_LDAP_SEARCH_FILTER", "(&(uid={user})(employeeType=*))"),
        ("BERTH_LDAP_ADMIN_FILTER", "(&(uid={user})(employeeType=storage))"),
        ("BERTH_LDAP_ROLE", "viewer"),
    ];
    let controller = controller(&scratch, "controller", &environment)?;
    let client = |user: Option<(&str, &str)>, words: &[&str]| -> Result<(i32, String)> {
        let mut command = Command::new(berth()?);
        command.args(["--disable-config", "-m", "--controllers", controller.host_port()]);
        if let Some((user, password)) = user {
            command.args(["--allow-insecure-auth", "--user", user, "--password", password]);
        }
        let done = run_within(LIMIT, command.args(words))?;
        Ok((done.code(), format!("{done:?}")))
    };
    let list = ["node", "list"];
    let make = |name| ["resource-definition", "create", name];
    let code = |user, words: &[&str]| client(user, words).map(|(_, text)| text);
    // With -m the exit code is 0 also for errors: the entries tell.
    ensure!(!code(Some(("alice", "wonder land")), &make("web"))?.contains("-46116860184"), "alice may");
    ensure!(code(Some(("bob", "builder")), &["resource-definition", "list"])?.contains("web"), "bob reads");
    ensure!(code(Some(("bob", "builder")), &make("bobs"))?.contains("may not do this"), "bob does not write");
    for (user, why) in [
        (Some(("alice", "wrong")), "login is not right"),
        (Some(("eve", "apple")), "login is not right"),
        (Some(("nobody", "x")), "login is not right"),
        (Some(("*", "builder")), "login is not right"),
        (Some(("bob)(uid=*", "builder")), "login is not right"),
        (Some(("bob,dc=example", "builder")), "login is not right"),
        (None, "login is needed"),
    ] {
        let told = code(user, &list)?;
        ensure!(told.contains(why), "{user:?}: {told}");
    }
    let rest = Rest::new(controller.address());
    ensure!(rest.get("/v1/controller/version")?.status == 200, "the version is for everybody");
    let refused = rest.get("/v1/nodes")?;
    ensure!(refused.status == 401, "{}", refused.text);
    // The log says who it was.
    let audit = code(Some(("alice", "wonder land")), &["resource-definition", "delete", "web"])?;
    ensure!(!audit.contains("may not"), "{audit}");
    // A directory that is away lets nobody in who was not in a moment ago.
    directory.child.kill()?;
    directory.child.wait()?;
    let told = code(Some(("eve", "apple")), &list)?;
    ensure!(told.contains("cannot be checked"), "{told}");
    Ok(())
}
