//! `docker-volume.conf` of LINSTOR's plugin, with sections of our own: `[global]`, and `[profile.NAME]` for the option `profile=NAME`.

use std::collections::BTreeMap;

use berth_plugin_sdk::plugin::Controllers;

/// What was configured. Keys are lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conf {
    global: BTreeMap<String, String>,
    profiles: BTreeMap<String, BTreeMap<String, String>>,
}

/// Keys of `[global]` that are not options of volumes.
const OF_THE_PLUGIN: [&str; 11] =
    ["controllers", "username", "password", "token", "certfile", "keyfile", "cafile", "socket", "mount-root", "node", "scope"];

impl Conf {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The number of the line that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut conf = Self::default();
        let mut section = "global".to_owned();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line.starts_with(';') {
                continue;
            }
            let bad = |why: &str| format!("line {}: {why}", at + 1);
            if let Some(name) = line.strip_prefix('[') {
                let name = name.strip_suffix(']').ok_or_else(|| bad("a section ends with ']'"))?.trim();
                if name != "global" && !name.starts_with("profile.") {
                    return Err(bad("a section is [global] or [profile.NAME]"));
                }
                name.clone_into(&mut section);
                continue;
            }
            let (key, value) = line.split_once('=').ok_or_else(|| bad("it is no KEY = VALUE"))?;
            let (key, value) = (key.trim().to_ascii_lowercase(), unquoted(value.trim()).to_owned());
            let into = match section.strip_prefix("profile.") {
                Some(name) => conf.profiles.entry(name.to_owned()).or_default(),
                None => &mut conf.global,
            };
            if into.insert(key.clone(), value).is_some() {
                return Err(bad(&format!("'{key}' is said twice")));
            }
        }
        Ok(conf)
    }

    /// Options of volumes for all, or of a profile over those; `None`: there is no such profile.
    #[must_use]
    pub fn options(&self, profile: Option<&str>) -> Option<BTreeMap<String, String>> {
        let mut all: BTreeMap<String, String> = self
            .global
            .iter()
            .filter(|(key, _)| !OF_THE_PLUGIN.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if let Some(profile) = profile {
            all.extend(self.profiles.get(profile)?.clone());
        }
        Some(all)
    }

    /// Names of the profiles.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// A setting of the plugin itself.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.global.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where the controllers are, if anything is said of it; the environment's `LS_…` before the file.
    #[must_use]
    pub fn controllers(&self, environment: &BTreeMap<String, String>) -> Option<Controllers> {
        let said = |variable: &str, key: &str| {
            let of_environment = environment.get(variable).map(String::as_str).filter(|value| !value.is_empty());
            of_environment.or_else(|| self.setting(key)).map(str::to_owned)
        };
        let addresses = said("LS_CONTROLLERS", "controllers");
        let split = |text: &str| text.split([',', ' ']).filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let of = Controllers {
            addresses: addresses.as_deref().map(split).unwrap_or_default(),
            user: said("LS_USERNAME", "username").unwrap_or_default(),
            password: said("LS_PASSWORD", "password").unwrap_or_default(),
            token: said("LS_TOKEN", "token").unwrap_or_default(),
            cert: said("LS_CERT_FILE", "certfile").unwrap_or_default(),
            key: said("LS_KEY_FILE", "keyfile").unwrap_or_default(),
            ca: said("LS_CA_FILE", "cafile").unwrap_or_default(),
        };
        (of != Controllers::default()).then_some(of)
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_upstreams_is_read() {
        let conf =
            Conf::parse("# x\n[global]\ncontrollers = linstor://a,linstor+ssl://b\nFS = xfs\nsize = 2GB\n\n[profile.big]\nsize = 1T\n")
                .unwrap();
        assert_eq!(conf.options(None).unwrap()["fs"], "xfs");
        assert_eq!(conf.options(Some("big")).unwrap()["size"], "1T");
        assert_eq!(conf.options(Some("small")), None);
        let controllers = conf.controllers(&BTreeMap::new()).unwrap();
        assert_eq!(controllers.addresses, ["linstor://a", "linstor+ssl://b"]);
        let environment = BTreeMap::from([("LS_CONTROLLERS".to_owned(), "c".to_owned()), ("LS_USERNAME".to_owned(), "u".to_owned())]);
        let controllers = conf.controllers(&environment).unwrap();
        assert_eq!((controllers.addresses, controllers.user), (vec!["c".to_owned()], "u".to_owned()));
        assert_eq!(Conf::default().controllers(&BTreeMap::new()), None);
    }

    #[test]
    fn what_cannot_be_read_names_its_line() {
        for (text, word) in [("[global", "line 1"), ("x\n", "KEY = VALUE"), ("[other]", "[profile.NAME]"), ("a=1\na=2", "twice")] {
            let said = Conf::parse(text).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }
}
