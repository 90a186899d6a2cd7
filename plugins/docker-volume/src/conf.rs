//! `docker-volume.conf` of LINSTOR's plugin, with sections of our own: `[global]`, and `[profile.NAME]` for the option `profile=NAME`.

use std::collections::BTreeMap;

use berth_plugin_sdk::plugin::Controllers;

use crate::options;

/// A value, and the line that says it.
type Said = (String, usize);

/// What was configured. Options have their canonical names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conf {
    settings: BTreeMap<&'static str, Said>,
    global: BTreeMap<String, Said>,
    profiles: BTreeMap<String, BTreeMap<String, Said>>,
}

/// Keys of `[global]` that are not options of volumes.
const OF_THE_PLUGIN: [&str; 11] =
    ["controllers", "username", "password", "token", "certfile", "keyfile", "cafile", "socket", "mount-root", "node", "scope"];

/// The setting that a key means; as for options, case and dashes do not matter.
fn setting_of(key: &str) -> Option<&'static str> {
    let plain = |text: &str| text.chars().filter(|c| !matches!(c, '-' | '_')).collect::<String>().to_ascii_lowercase();
    OF_THE_PLUGIN.into_iter().find(|known| plain(known) == plain(key))
}

impl Conf {
    /// Reads the text of a file, and looks whether every option in it can be.
    ///
    /// # Errors
    /// The number of the line that cannot be, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut conf = Self::default();
        let mut sections: BTreeMap<String, usize> = BTreeMap::new();
        let mut profile: Option<String> = None;
        for (at, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let (line, number) = (line.trim(), at + 1);
            if line.is_empty() || line.starts_with('#') || line.starts_with(';') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                let name = name.strip_suffix(']').ok_or_else(|| format!("line {number}: a section ends with ']'"))?.trim();
                profile = match name.strip_prefix("profile.") {
                    Some(of) if !of.is_empty() => Some(of.to_owned()),
                    None if name == "global" => None,
                    _ => return Err(format!("line {number}: a section is [global] or [profile.NAME]")),
                };
                if let Some(before) = sections.insert(name.to_owned(), number) {
                    return Err(format!("line {number}: section [{name}] is there already, in line {before}; make one of both"));
                }
                if let Some(name) = &profile {
                    conf.profiles.entry(name.clone()).or_default();
                }
                continue;
            }
            let (key, value) = line.split_once('=').ok_or_else(|| format!("line {number}: it is no KEY = VALUE"))?;
            let (key, value) = (key.trim(), unquoted(value.trim()).to_owned());
            let before = match (setting_of(key), &profile) {
                (Some(setting), None) => conf.settings.insert(setting, (value, number)),
                (Some(setting), Some(_)) => {
                    return Err(format!("line {number}: '{setting}' is a setting of the plugin and belongs into [global]"));
                }
                (None, _) => {
                    let option = options::canonical(key).map_err(|error| format!("line {number}: {error}"))?;
                    if option == "profile" && profile.is_some() {
                        return Err(format!("line {number}: a profile names no other profile"));
                    }
                    if profile.is_none() && option.starts_with("from-") {
                        return Err(format!("line {number}: '{option}' would make every volume a copy; say it in a profile"));
                    }
                    let into = profile.as_ref().and_then(|name| conf.profiles.get_mut(name)).unwrap_or(&mut conf.global);
                    into.insert(option, (value, number))
                }
            };
            if let Some((_, before)) = before {
                return Err(format!("line {number}: '{key}' is said already, in line {before}"));
            }
        }
        conf.check()?;
        Ok(conf)
    }

    /// What cannot be is told when the plugin starts, and not with the first volume.
    fn check(&self) -> Result<(), String> {
        let names: Vec<Option<&str>> = std::iter::once(None).chain(self.profiles().map(Some)).collect();
        for name in names {
            if let Err(error) = options::read(&self.options(name).unwrap_or_default(), &BTreeMap::new()) {
                let said = |of: &BTreeMap<String, Said>| error.options().iter().find_map(|option| of.get(*option).map(|(_, line)| *line));
                let line = name.and_then(|name| self.profiles.get(name)).and_then(said).or_else(|| said(&self.global));
                return Err(line.map_or_else(|| error.to_string(), |line| format!("line {line}: {error}")));
            }
        }
        if let Some((name, line)) = self.global.get("profile").filter(|(name, _)| !name.is_empty() && !self.profiles.contains_key(name)) {
            return Err(format!("line {line}: there is no section [profile.{name}]"));
        }
        Ok(())
    }

    /// Options of volumes for all, or of a profile over those; `None`: there is no such profile.
    #[must_use]
    pub fn options(&self, profile: Option<&str>) -> Option<BTreeMap<String, String>> {
        let plain = |of: &BTreeMap<String, Said>| -> BTreeMap<String, String> {
            of.iter().filter(|(key, _)| *key != "profile").map(|(key, (value, _))| (key.clone(), value.clone())).collect()
        };
        let mut all = plain(&self.global);
        if let Some(profile) = profile {
            all.extend(plain(self.profiles.get(profile)?));
        }
        Some(all)
    }

    /// The profile of volumes that name none.
    #[must_use]
    pub fn usual_profile(&self) -> Option<&str> {
        self.global.get("profile").map(|(name, _)| name.as_str()).filter(|name| !name.is_empty())
    }

    /// Names of the profiles.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// A setting of the plugin itself.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(|(value, _)| value.as_str()).filter(|value| !value.is_empty())
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
        for (text, word) in [
            ("[global", "line 1: a section ends"),
            ("x\n", "line 1: it is no KEY = VALUE"),
            ("[other]", "[profile.NAME]"),
            ("[profile.]", "[profile.NAME]"),
            ("size=1G\nSize=2G", "line 2: 'Size' is said already, in line 1"),
            ("storagepool=a\nstorage-pool=b", "line 2: 'storage-pool' is said already"),
            ("[global]\nfs=xfs\n[global]\n", "line 3: section [global] is there already, in line 1"),
            ("[profile.a]\n[profile.a]\n", "line 2: section [profile.a]"),
            ("\nrepliacs=2", "line 2: option 'repliacs' is not known; did you mean 'replicas'?"),
            ("\n\nfs=ext5", "line 3: option 'fs'"),
            ("fs=xfs\n[profile.a]\nsize=1G\nfs=ext5", "line 4: option 'fs'"),
            ("nodes=a b\nreplicas=3", "line 1: options 'nodes' and 'replicas'"),
            ("[profile.a]\nsocket=/x", "line 2: 'socket' is a setting"),
            ("[profile.a]\nprofile=a", "line 2"),
            ("from-volume=gold", "line 1: 'from-volume' would make every volume a copy"),
            ("profile=gone", "line 1: there is no section [profile.gone]"),
        ] {
            let said = Conf::parse(text).unwrap_err();
            assert!(said.contains(word), "{text}: {said}");
        }
    }

    #[test]
    fn keys_mean_what_they_mean_as_options() {
        let conf =
            Conf::parse("MountRoot = /m\nCert_File = /c\nproperty.DrbdOptions/Net/max-buffers = 8000\nprofile=a\n[profile.a]\n").unwrap();
        assert_eq!((conf.setting("mount-root"), conf.setting("certfile")), (Some("/m"), Some("/c")));
        assert_eq!(conf.options(None).unwrap()["property.DrbdOptions/Net/max-buffers"], "8000", "keys of properties have case");
        assert_eq!(conf.usual_profile(), Some("a"));
    }
}
