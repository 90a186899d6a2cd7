//! LINSTOR's own configuration files (`linstor.toml`, `linstor_satellite.toml`): their settings under Berth's names.
//!
//! They are read where they are named by `--config`, and from LINSTOR's place where Berth's own file is not named. What Berth has no use for is
//! told and left alone, so that a guide's file works as it is; what cannot be obeyed and would leave a door open is refused.

use std::path::Path;

use anyhow::{Context, bail};
use toml::{Table, Value};

/// Tables of LINSTOR's files; Berth's own file has none.
const TABLES: [&str; 9] = ["db", "http", "https", "ldap", "encrypt", "logging", "netcom", "debug", "files"];

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Controller,
    Satellite,
}

impl Program {
    /// Where LINSTOR has its file.
    #[must_use]
    pub fn place(self) -> &'static Path {
        Path::new(match self {
            Self::Controller => "/etc/linstor/linstor.toml",
            Self::Satellite => "/etc/linstor/linstor_satellite.toml",
        })
    }
}

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Settings under Berth's names.
    pub settings: Vec<(&'static str, String)>,
    /// Members that Berth has no use for, as `table.member`.
    pub unused: Vec<String>,
}

/// Whether this is a file of LINSTOR's.
#[must_use]
pub fn is_linstors(table: &Table) -> bool {
    table.iter().any(|(name, value)| value.is_table() && TABLES.contains(&name.as_str()))
}

/// Reads a file of LINSTOR's. `folder`: where it lies; names of other files in it count from there.
///
/// # Errors
/// A value of another kind than its member has, or one that cannot be obeyed.
pub fn translate(table: &Table, program: Program, folder: &Path) -> anyhow::Result<Said> {
    let mut file = File { said: Said::default(), folder };
    for (name, value) in table {
        let Value::Table(members) = value else {
            file.said.unused.push(name.clone());
            continue;
        };
        let unused = match (name.as_str(), program) {
            ("http", Program::Controller) => file.http(members)?,
            ("https", Program::Controller) => file.https(members)?,
            ("ldap", Program::Controller) => file.ldap(members)?,
            ("netcom", Program::Satellite) => file.netcom(members)?,
            ("files", Program::Satellite) => file.files(members)?,
            ("encrypt", Program::Controller) => file.texts(members, &[("passphrase", "master_passphrase")])?,
            ("logging", _) => file.logging(members)?,
            _ => members.keys().map(String::as_str).collect(),
        };
        file.said.unused.extend(unused.into_iter().map(|member| format!("{name}.{member}")));
    }
    Ok(file.said)
}

struct File<'f> {
    said: Said,
    folder: &'f Path,
}

impl File<'_> {
    fn say(&mut self, name: &'static str, value: impl Into<String>) {
        self.said.settings.push((name, value.into()));
    }

    fn file(&self, text: &str) -> String {
        self.folder.join(text).to_string_lossy().into_owned()
    }

    /// Takes over texts; answers the members that are none of `pairs`.
    fn texts<'m>(&mut self, members: &'m Table, pairs: &[(&str, &'static str)]) -> anyhow::Result<Vec<&'m str>> {
        let mut unused = Vec::new();
        for (member, value) in members {
            match pairs.iter().find(|(name, _)| name == member) {
                Some((_, name)) => self.say(name, plain(member, value)?),
                None => unused.push(member.as_str()),
            }
        }
        Ok(unused)
    }

    fn http<'m>(&mut self, members: &'m Table) -> anyhow::Result<Vec<&'m str>> {
        let address = address(members, "listen_addr", 3370)?;
        let Some(address) = on(members)?.then_some(address) else {
            // The plain side shows the way to the encrypted one and is never off: nobody else shall reach it, then.
            self.say("listen", format!("127.0.0.1:{}", port(members, 3370)?));
            return Ok(rest(members, &["enabled", "port", "listen_addr"]));
        };
        self.say("listen", address);
        Ok(rest(members, &["enabled", "port", "listen_addr"]))
    }

    fn https<'m>(&mut self, members: &'m Table) -> anyhow::Result<Vec<&'m str>> {
        const KNOWN: [&str; 7] = ["enabled", "port", "listen_addr", "keystore", "keystore_password", "truststore", "truststore_password"];
        if !on(members)? {
            return Ok(rest(members, &KNOWN));
        }
        for (member, name) in [("keystore", "https_keystore"), ("truststore", "https_truststore")] {
            if let Some(value) = members.get(member) {
                let file = self.file(&plain(member, value)?);
                self.say(name, file);
            }
        }
        for (member, name) in [("keystore_password", "https_keystore_password"), ("truststore_password", "https_truststore_password")] {
            if let Some(value) = members.get(member) {
                self.say(name, plain(member, value)?);
            }
        }
        self.say("https_listen", address(members, "listen_addr", 3371)?);
        Ok(rest(members, &KNOWN))
    }

    fn ldap<'m>(&mut self, members: &'m Table) -> anyhow::Result<Vec<&'m str>> {
        self.texts(
            members,
            &[
                ("enabled", "ldap_enabled"),
                // The guides and the program have a name each.
                ("allow_public_access", "ldap_public_access_allowed"),
                ("public_access_allowed", "ldap_public_access_allowed"),
                ("uri", "ldap_uri"),
                ("dn", "ldap_dn"),
                ("search_base", "ldap_search_base"),
                ("search_filter", "ldap_search_filter"),
            ],
        )
    }

    fn netcom<'m>(&mut self, members: &'m Table) -> anyhow::Result<Vec<&'m str>> {
        let encrypted = match members.get("type").map(|value| plain("type", value)).transpose()?.as_deref() {
            Some(text) if text.eq_ignore_ascii_case("ssl") => true,
            Some(text) if text.eq_ignore_ascii_case("plain") => false,
            None => false,
            Some(other) => bail!("netcom.type is 'ssl' or 'plain', not '{other}'"),
        };
        self.say("listen", address(members, "bind_address", if encrypted { 3367 } else { 3366 })?);
        let known = [
            "type",
            "port",
            "bind_address",
            "server_certificate",
            "trusted_certificates",
            "key_password",
            "keystore_password",
            "truststore_password",
        ];
        if encrypted {
            for (member, name) in [("server_certificate", "tls_keystore"), ("trusted_certificates", "tls_truststore")] {
                let value = members.get(member).with_context(|| format!("netcom.type 'ssl' needs netcom.{member}"))?;
                let file = self.file(&plain(member, value)?);
                self.say(name, file);
            }
            for (member, name) in [
                ("keystore_password", "tls_keystore_password"),
                ("key_password", "tls_key_password"),
                ("truststore_password", "tls_truststore_password"),
            ] {
                if let Some(value) = members.get(member) {
                    self.say(name, plain(member, value)?);
                }
            }
        }
        // The best version that both sides know is spoken, from 1.2 on: what `ssl_protocol` says is no reason to speak a worse one.
        Ok(rest(members, &known).into_iter().filter(|member| *member != "ssl_protocol").collect())
    }

    /// Folders below which external files may be written.
    fn files<'m>(&mut self, members: &'m Table) -> anyhow::Result<Vec<&'m str>> {
        for (member, value) in members {
            if member != "allowExtFiles" {
                continue;
            }
            let folders: Vec<String> = match value {
                Value::Array(folders) => folders.iter().map(|folder| plain(member, folder)).collect::<Result<_, _>>()?,
                one => vec![plain(member, one)?],
            };
            if let Some(folder) = folders.iter().find(|folder| folder.contains(',')) {
                bail!("files.allowExtFiles: no folder with a comma in its name can be allowed: '{folder}'");
            }
            self.say("allow_ext_files", folders.join(","));
        }
        Ok(rest(members, &["allowExtFiles"]))
    }

    fn logging<'m>(&mut self, members: &'m Table) -> anyhow::Result<Vec<&'m str>> {
        if let Some(value) = members.get("level") {
            let level = plain("level", value)?.to_ascii_lowercase();
            if !["error", "warn", "info", "debug", "trace", "off"].contains(&level.as_str()) {
                bail!("logging.level is ERROR, WARN, INFO, DEBUG or TRACE, not '{level}'");
            }
            self.say("log", level);
        }
        Ok(rest(members, &["level"]))
    }
}

fn rest<'m>(members: &'m Table, known: &[&str]) -> Vec<&'m str> {
    members.keys().map(String::as_str).filter(|member| !known.contains(member)).collect()
}

fn plain(member: &str, value: &Value) -> anyhow::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => bail!("'{member}' is not a text"),
    }
}

fn on(members: &Table) -> anyhow::Result<bool> {
    match members.get("enabled") {
        None => Ok(true),
        Some(Value::Boolean(truth)) => Ok(*truth),
        Some(other) => bail!("'enabled' is true or false, not '{other}'"),
    }
}

fn port(members: &Table, default: u16) -> anyhow::Result<u16> {
    match members.get("port") {
        None => Ok(default),
        Some(Value::Integer(number)) => {
            u16::try_from(*number).ok().filter(|port| *port > 0).with_context(|| format!("{number} is not a port"))
        }
        Some(other) => bail!("'{other}' is not a port"),
    }
}

fn address(members: &Table, name: &str, default: u16) -> anyhow::Result<String> {
    let port = port(members, default)?;
    let host = members.get(name).map_or(Ok("::".to_owned()), |value| plain(name, value))?;
    Ok(match host.trim().trim_matches(['[', ']']) {
        host if host.contains(':') => format!("[{host}]:{port}"),
        "localhost" => format!("127.0.0.1:{port}"),
        host => format!("{host}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str, program: Program) -> Result<Said, String> {
        translate(&text.parse().unwrap(), program, Path::new("/etc/linstor")).map_err(|error| format!("{error:#}"))
    }

    fn get<'s>(said: &'s Said, name: &str) -> Option<&'s str> {
        said.settings.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn what_the_guides_write_for_a_controller_is_obeyed() {
        let text = r#"
            [db]
              user = "linstor"
              connection_url = "jdbc:h2:/var/lib/linstor/linstordb"
            [http]
              enabled = true
              port = 3380
              listen_addr = "127.0.0.1"
            [https]
              keystore = "/path/keystore_linstor.jks"
              keystore_password = "linstor"
              truststore = "trustore_client.jks"
              truststore_password = "tsp"
            [ldap]
              enabled = true
              allow_public_access = false
              uri = "ldaps://ldap.example.com"
              dn = "uid={user}"
              search_base = "dc=example,dc=com"
              search_filter = "(uid={user})"
            [encrypt]
              passphrase="example"
            [logging]
               level="TRACE"
        "#;
        let said = said(text, Program::Controller).unwrap();
        for (name, value) in [
            ("listen", "127.0.0.1:3380"),
            ("https_listen", "[::]:3371"),
            ("https_keystore", "/path/keystore_linstor.jks"),
            ("https_truststore", "/etc/linstor/trustore_client.jks"),
            ("https_truststore_password", "tsp"),
            ("ldap_enabled", "true"),
            ("ldap_public_access_allowed", "false"),
            ("ldap_search_filter", "(uid={user})"),
            ("master_passphrase", "example"),
            ("log", "trace"),
        ] {
            assert_eq!(get(&said, name), Some(value), "{name}");
        }
        assert_eq!(said.unused, ["db.connection_url", "db.user"]);
    }

    #[test]
    fn what_the_guides_write_for_a_satellite_is_obeyed() {
        let text = r#"
            [netcom]
              type="ssl"
              port=3367
              server_certificate="ssl/keystore.jks"
              trusted_certificates="ssl/certificates.jks"
              key_password="linstor"
              keystore_password="linstor"
              truststore_password="linstor"
              ssl_protocol="TLSv1.2"
        "#;
        let said = said(text, Program::Satellite).unwrap();
        assert_eq!((get(&said, "listen"), get(&said, "tls_keystore")), (Some("[::]:3367"), Some("/etc/linstor/ssl/keystore.jks")));
        assert_eq!(said.unused, Vec::<String>::new());
    }

    #[test]
    fn the_folders_of_external_files_are_taken_over() {
        for (text, folders) in [
            ("[files]\nallowExtFiles = [\"/etc/multipath\", \"/srv/x\"]\nlog = 1", "/etc/multipath,/srv/x"),
            ("[files]\nallowExtFiles = \"/etc/multipath\"\nlog = 1", "/etc/multipath"),
            ("[files]\nallowExtFiles = []\nlog = 1", ""),
        ] {
            assert!(is_linstors(&text.parse().unwrap()), "{text}");
            let satellite = said(text, Program::Satellite).unwrap();
            assert_eq!((get(&satellite, "allow_ext_files"), &satellite.unused), (Some(folders), &vec!["files.log".to_owned()]), "{text}");
            assert_eq!(said(text, Program::Controller).unwrap().settings, []);
        }
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused() {
        for (text, program, word) in [
            ("[http]\nport = 70000", Program::Controller, "port"),
            ("[http]\nenabled = \"perhaps\"", Program::Controller, "true or false"),
            ("[logging]\nlevel = \"LOUD\"", Program::Controller, "level"),
            ("[netcom]\ntype = \"ssl\"", Program::Satellite, "server_certificate"),
            ("[netcom]\ntype = \"rot13\"", Program::Satellite, "rot13"),
            ("[ldap]\nuri = [1]", Program::Controller, "uri"),
            ("[files]\nallowExtFiles = [[\"/etc\"]]", Program::Satellite, "allowExtFiles"),
            ("[files]\nallowExtFiles = [\"/etc/a,b\"]", Program::Satellite, "comma"),
        ] {
            let error = said(text, program).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        let off = said("[http]\nenabled = false\nlisten_addr = \"0.0.0.0\"", Program::Controller).unwrap();
        assert_eq!(get(&off, "listen"), Some("127.0.0.1:3370"), "nobody else reaches what cannot be turned off");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            table in "(db|http|https|ldap|encrypt|logging|netcom|files|x)",
            member in "(enabled|port|listen_addr|allowExtFiles|type|level|keystore|dn|passphrase|[a-z]{1,4})",
            value in "(true|-?[0-9]{1,19}|\"[^\"\\\\\n\r\t\u{0}-\u{1f}\u{7f}]{0,9}\"|\\[1\\]|\\{\\}|1979-05-27)",
            noise in ".{0,40}",
        ) {
            for text in [format!("[{table}]\n{member} = {value}\n"), noise] {
                if let Ok(parsed) = text.parse::<Table>() {
                    for program in [Program::Controller, Program::Satellite] {
                        let _ = (is_linstors(&parsed), translate(&parsed, program, Path::new("/x")));
                    }
                }
            }
        }
    }
}
