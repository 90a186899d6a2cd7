//! Installing, replacing and refusing plugins, with the component that is part of the satellite.

use std::os::unix::fs::PermissionsExt;

use berth_plugin_sdk::FaultKind;

use super::*;

struct Home {
    dir: tempfile::TempDir,
    cache: PathBuf,
}

/// What an operator says who says no more than what is granted.
fn wish(grant: &Operator) -> Wish<'_> {
    Wish { grant, config: None, anew: false }
}

impl Home {
    fn new() -> Self {
        let own = std::env::current_exe().unwrap();
        let cache = own.parent().and_then(Path::parent).unwrap().join("plugin-cache");
        Self { dir: tempfile::tempdir().unwrap(), cache }
    }

    fn find(&self, keys: &[&str]) -> Plugins {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        Plugins::find(self.dir.path(), Some(self.cache.clone()), PluginKeys::parse(&keys).unwrap()).unwrap()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn installed(&self, name: &str) -> PathBuf {
        let config = std::fs::read_to_string(self.dir.path().join("plugins").join(format!("{name}.toml"))).unwrap();
        let config: PluginConfig = toml::from_str(&config).unwrap();
        self.dir.path().join("plugins").join(config.file)
    }
}

fn fault(plugins: &Plugins, name: &str) -> String {
    let seen = plugins.seen();
    let fault = seen.iter().filter(|one| one.name == name).find_map(|one| one.fault.clone()).unwrap_or_else(|| panic!("{seen:?}"));
    assert!(!fault.correction.is_empty(), "{fault:?}");
    fault.message
}

#[test]
fn what_is_installed_takes_the_place_of_what_is_part_of_the_satellite_until_it_is_removed() {
    let home = Home::new();
    let plugins = home.find(&[]);
    assert_eq!(plugins.seen().iter().map(|one| (one.name.as_str(), one.form)).collect::<Vec<_>>(), [("file", Some(PluginForm::Embedded))]);
    assert_eq!(plugins.kinds(), [ProviderKind::File, ProviderKind::FileThin]);
    assert!(!plugins.look_again(), "nothing changed");
    let before = plugins.provider(ProviderKind::File, None).unwrap();

    let file = home.file("mine.wasm", EMBEDDED);
    let operator = Operator { memory_mib: Some(8), ..Operator::default() };
    let installed = install(home.dir.path(), &file, &wish(&operator)).unwrap();
    assert_eq!(installed.name, "file");
    assert!(plugins.look_again());
    let seen = plugins.seen();
    assert_eq!((seen.len(), seen[0].form, seen[0].memory_mib, seen[0].file.is_empty()), (1, Some(PluginForm::Component), 8, false));
    let after = plugins.provider(ProviderKind::File, None).unwrap();
    assert!(!Arc::ptr_eq(&before, &after));
    // A call that runs ends with what it began with.
    assert_eq!(before.manifest().name, "file");
    // What is as it was is kept, with its instances.
    assert!(!plugins.look_again() && Arc::ptr_eq(&after, &plugins.provider(ProviderKind::File, None).unwrap()));

    remove(home.dir.path(), "file").unwrap();
    assert!(plugins.look_again());
    assert_eq!(plugins.seen()[0].form, Some(PluginForm::Embedded));
    assert!(matches!(remove(home.dir.path(), "file"), Err(InstallError::Missing { .. })));
    assert!(matches!(remove(home.dir.path(), "../file"), Err(InstallError::Missing { .. })));
    assert_eq!(std::fs::read_dir(home.dir.path().join("plugins")).unwrap().count(), 0, "nothing is left of it");
}

#[test]
fn a_file_that_was_changed_or_is_misnamed_or_cut_off_is_refused_and_the_rest_serves() {
    let home = Home::new();
    let plugins = home.find(&[]);
    let folder = home.dir.path().join("plugins");
    install(home.dir.path(), &home.file("mine.wasm", EMBEDDED), &wish(&Operator::default())).unwrap();
    let (installed, half) = (home.installed("file"), &EMBEDDED[..EMBEDDED.len() / 2]);

    std::fs::write(&installed, half).unwrap();
    plugins.look_again();
    assert!(fault(&plugins, "file").contains("not the file that was installed"));
    // What is part of the satellite serves meanwhile.
    assert_eq!(plugins.provider(ProviderKind::FileThin, None).unwrap().seen().form, Some(PluginForm::Embedded));

    let config = |file: &str, bytes: &[u8]| {
        std::fs::write(folder.join(file), bytes).unwrap();
        format!("file = \"{file}\"\nsha256 = \"{}\"\n", sha256(bytes))
    };
    std::fs::write(folder.join("half.toml"), config("half.wasm", half)).unwrap();
    std::fs::write(folder.join("other.toml"), config("other.wasm", EMBEDDED)).unwrap();
    std::fs::write(folder.join("text.toml"), config("text.wasm", b"hello")).unwrap();
    std::fs::write(folder.join("elf.toml"), config("elf.so", b"\x7fELF\x02\x01")).unwrap();
    std::fs::write(folder.join("away.toml"), "file = \"away.wasm\"\nsha256 = \"0\"\n").unwrap();
    std::fs::write(folder.join("path.toml"), "file = \"../x.wasm\"\nsha256 = \"0\"\n").unwrap();
    std::fs::write(folder.join("odd.toml"), "file = \"x.wasm\"\nsha256 = \"0\"\nextra = 1\n").unwrap();
    plugins.look_again();
    // Twice under one name: the one that is not called as it calls itself.
    assert!(fault(&plugins, "file").len() > 1);
    for (name, why) in
        [("text", "neither"), ("elf", "cut off"), ("away", "cannot be read"), ("path", "not the name of a file"), ("odd", "unknown field")]
    {
        let message = fault(&plugins, name);
        assert!(message.contains(why), "{name}: {message}");
    }
    assert!(!fault(&plugins, "half").is_empty());
    let messages: Vec<String> = plugins.seen().into_iter().filter_map(|one| one.fault.map(|fault| fault.message)).collect();
    assert!(messages.iter().any(|text| text.contains("calls itself 'file', and is installed as 'other'")), "{messages:?}");
    assert!(matches!(install(home.dir.path(), &home.file("x", half), &wish(&Operator::default())), Err(InstallError::Plugin { .. })));
    assert_eq!(plugins.provider(ProviderKind::Lvm, None).unwrap_err().kind, FaultKind::Unsupported);
}

#[test]
fn where_signatures_are_required_only_what_is_signed_is_loaded() {
    // A pair of keys made for this test with minisign 0.11: the secret one signed nothing but the text "signed", and is gone.
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let home = Home::new();
    let plugins = home.find(&[key]);
    let file = home.file("mine.wasm", EMBEDDED);
    install(home.dir.path(), &file, &wish(&Operator::default())).unwrap();
    plugins.look_again();
    assert!(fault(&plugins, "file").contains("there is no signature"));
    let signature = home.dir.path().join("mine.wasm.minisig");
    std::fs::write(&signature, "untrusted comment: x\nnonsense\n").unwrap();
    install(home.dir.path(), &file, &wish(&Operator::default())).unwrap();
    plugins.look_again();
    assert!(fault(&plugins, "file").contains("cannot be read"));
    // The example signature of minisign's documentation: well formed, over another text.
    let text = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1556193335\tfile:test\n\
        y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n";
    std::fs::write(&signature, text).unwrap();
    install(home.dir.path(), &file, &wish(&Operator::default())).unwrap();
    plugins.look_again();
    assert!(fault(&plugins, "file").contains("no key fits"));
    assert!(PluginKeys::parse(&["RWnonsense".to_owned()]).is_err());
}

#[test]
fn what_was_written_is_for_the_owner_only() {
    let home = Home::new();
    install(home.dir.path(), &home.file("mine.wasm", EMBEDDED), &wish(&Operator::default())).unwrap();
    for path in [home.dir.path().join("plugins"), home.installed("file"), home.dir.path().join("plugins/file.toml")] {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn compiled_code_of_plugins_that_are_gone_is_removed() {
    let home = Home::new();
    let compiled = |sum: &str| format!("{sum}.compiled");
    let (embedded, stale) = (compiled(&sha256(EMBEDDED)), compiled(&"a5".repeat(32)));
    // What another test compiled already: a copy, because a cache is not shared here.
    drop(home.find(&[]));
    let cache = home.dir.path().join("plugins-cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::copy(home.cache.join(&embedded), cache.join(&embedded)).unwrap();
    for name in [&stale, "notes.txt", "b5.compiled"] {
        std::fs::write(cache.join(name), "x").unwrap();
    }
    let there = || {
        let names = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.len() == embedded.len()).collect::<std::collections::BTreeSet<_>>()
    };

    let plugins = Plugins::find(home.dir.path(), None, PluginKeys::default()).unwrap();
    assert_eq!(there(), [embedded.clone()].into());
    assert!(cache.join("notes.txt").exists() && cache.join("b5.compiled").exists(), "what is no compiled component stays");

    // The same component with a section that says nothing: another file.
    let other = [EMBEDDED, &[0, 2, 1, b'x']].concat();
    install(home.dir.path(), &home.file("mine.wasm", &other), &wish(&Operator::default())).unwrap();
    assert!(plugins.look_again());
    let installed = compiled(&sha256(&other));
    assert_eq!(there(), [embedded.clone(), installed].into());
    remove(home.dir.path(), "file").unwrap();
    assert!(plugins.look_again());
    assert_eq!(there(), [embedded].into());
}

#[test]
fn what_the_satellite_would_refuse_is_not_even_opened() {
    let home = Home::new();
    let file = home.file("mine.wasm", EMBEDDED);
    leave_keys(home.dir.path(), &["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".to_owned()]).unwrap();
    let refused = install(home.dir.path(), &file, &wish(&Operator::default())).unwrap_err();
    assert!(matches!(&refused, InstallError::File(BadConfig::Signature { .. })), "{refused:?}");
    assert!(!home.dir.path().join("plugins").exists(), "nothing was written");
    leave_keys(home.dir.path(), &[]).unwrap();
    install(home.dir.path(), &file, &wish(&Operator::default())).unwrap();
}

#[test]
fn a_newer_version_has_what_was_granted_to_the_one_before_it() {
    let home = Home::new();
    let file = home.file("mine.wasm", EMBEDDED);
    let little = Operator { files: Some(false), memory_mib: Some(8), ..Operator::default() };
    assert!(!install(home.dir.path(), &file, &wish(&little)).unwrap().kept);
    assert!(install(home.dir.path(), &file, &wish(&Operator::default())).unwrap().kept);
    let memory = |home: &Home| home.find(&[]).seen().iter().map(|one| (one.memory_mib, one.files)).collect::<Vec<_>>();
    assert_eq!(memory(&home), [(8, false)]);
    let anew = install(home.dir.path(), &file, &Wish { anew: true, ..wish(&Operator::default()) }).unwrap();
    assert!(!anew.kept);
    assert_eq!(memory(&home), [(64, true)]);
    // A word that means nothing is refused, and changes nothing.
    let stranger = Operator { commands: Some(vec!["nonsuch".into()]), ..Operator::default() };
    let refused = install(home.dir.path(), &file, &wish(&stranger)).unwrap_err();
    assert!(refused.to_string().contains("asks for no command 'nonsuch'"), "{refused}");
    assert_eq!(memory(&home), [(64, true)]);
}

#[test]
fn nobody_takes_the_name_of_the_own_provider_without_its_kinds() {
    let own = Manifest::new("file", "1", &["FILE", "FILE_THIN"]);
    for (name, kinds, may) in [
        ("file", &["PLUGIN"][..], false),
        ("file", &["FILE"], false),
        ("file", &["FILE_THIN", "PLUGIN", "FILE"], true),
        ("mine", &["PLUGIN"], true),
    ] {
        assert_eq!(may_be_called(&own, &Manifest::new(name, "1", kinds)), may, "{name} {kinds:?}");
    }
    assert_eq!(
        OWN,
        component(&Sandbox::new(None).unwrap(), EMBEDDED, &Operator::default(), PluginForm::Embedded, String::new()).unwrap().manifest.name
    );
}
