//! Every parser of text that comes from outside, each as one function of bytes that must come back: without a panic, and soon.
//!
//! [`TARGETS`] is the list. `cargo fuzz run NAME` drives one of them with libFuzzer where there is a nightly toolchain (`fuzz/`); the tests of
//! this room drive all of them with proptest. `docs/fuzzing.md` says which text each of them is about.

#![forbid(unsafe_code)]

pub mod bodies;
#[path = "../../../core/berth/src/linstor_files.rs"]
#[allow(dead_code, missing_docs)]
mod linstor_files;

use std::path::Path;

use berth_model::ids::IdSource;
use berth_model::names;
use berth_model::props::{self, Owner};
use berth_model::time::Timestamp;
use prost::Message;
use serde_json::Value;

/// One parser.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the file in `fuzz/fuzz_targets`, and in the table of `docs/fuzzing.md`.
    pub name: &'static str,
    /// Reads the bytes, and comes back.
    pub run: fn(&[u8]),
    /// Texts that it reads with success, or nearly so: what is tried begins with them.
    pub seeds: &'static [&'static str],
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: &'static [&'static str]) -> Target {
    Target { name, run, seeds }
}

/// Every parser of outside text.
pub const TARGETS: &[Target] = &[
    target("rest_bodies", bodies::rest, &[r#"{"name":"a","node":{"type":"SATELLITE"},"props":{"Aux/x":"y"},"override_props":{"k":1}}"#]),
    target(
        "select_filters",
        select_filters,
        &[
            r#"{"place_count":"2","storage_pool_list":["thin"],"layer_stack":["drbd","storage"],"x_replicas_on_different_map":{"Aux/dc":2}}"#,
        ],
    ),
    target("properties", properties, &["DrbdOptions/Net/protocol\nC", "Aux/x\ny", "TcpPortAutoRange\n7000-7999", "/a//b\n"]),
    target("object_names", object_names, &["alpha", "web/0", "a_b-c.d", "minor/1000", "port/alpha/7000"]),
    target("sizes", sizes, &["10G", "1.5TiB", "+3KiB", "20 GB", "1024"]),
    target("regexes", regexes, &["^web-[0-9]+$", "(a|b){1,30}", "[[:alpha:]]*"]),
    target("cli_words", cli_words, &["resource-definition create web", "-m node list", "rg c fast --place-count 2", "vd size web 0 20G"]),
    target("client_files", client_files, &["[global]\ncontrollers=alice,bob:3371\ncertfile=c.pem\n", "linstor+ssl://host:3371"]),
    target(
        "client_replies",
        client_replies,
        &[r#"[{"ret_code":1,"message":"done","obj_refs":{"Node":"a"}}]"#, "id: 3\nevent: change\ndata: {}\n\n"],
    ),
    target("linstor_files", linstor_toml, &["[https]\nkeystore = \"x.jks\"\nport = 3371\n", "[netcom]\ntype = \"ssl\"\n"]),
    target(
        "linstor_export",
        linstor_export,
        &[
            r#"{"linstor_version":"1.33.3","tables":[{"name":"NODES","data":[{"uuid":"0a0b0c0d-0000-4000-8000-000000000001","node_name":"A","node_dsp_name":"a","node_flags":0,"node_type":2}]}]}"#,
        ],
    ),
    target("database_export", database_export, &[r#"{"format":"berth-export","version":1}"#]),
    target("support_bundle", support_bundle, &[r#"{"format":"berth-bundle","version":1}"#]),
    target(
        "records",
        records,
        &["node\nALPHA\n1\n{\"id\":\"0a0b0c0d-0000-4000-8000-000000000001\",\"name\":\"alpha\"}", "controller\n\n1\n{}"],
    ),
    target("wire_messages", wire_messages, &["\u{a}\u{4}\u{8}\u{1}\u{10}\u{1}"]),
    target("wire_documents", wire_documents, &[r#"{"items":[],"pools":[]}"#, r#"{"question":"devices"}"#, r#"{"answer":"ran","code":0}"#]),
    target(
        "keystores",
        keystores,
        &["-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"],
    ),
    target("sign_in", sign_in, &["Bearer abc", "Basic YWxpY2U6d29uZGVy", "basic ::::"]),
    target("trace_places", trace_places, &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]),
    target("marks", marks, &["berth1:0a0b0c0d-0000-4000-8000-000000000001", "web_00000"]),
    target(
        "patterns",
        patterns,
        &["lvs --yes [ {group}/{name} ] {words:StorDriver/LvcreateOptions} {device}...\nlvs --yes vg/web_00000 /dev/sda"],
    ),
    target(
        "plugin_configs",
        plugin_configs,
        &["file = \"p.wasm\"\nsha256 = \"00\"\n[grant]\ncommands = []\n", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"],
    ),
    target("machine_texts", machine_texts, &["36 35 7:0 / /mnt\\040x rw - ext4 /dev/loop0 rw\n", "   7       0 loop0 1 2 3 4\n"]),
    target("secrets_in_texts", secrets_in_texts, &["password=hush", r#"{"token": "x", "a": [{"key": "secret", "value": "y"}]}"#]),
];

/// Runs one of [`TARGETS`].
///
/// # Panics
/// If there is none of this name, and where the parser does.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a test compares the programs with the list").run)(bytes);
}

/// The bytes as text; what is none of it is replaced.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn select_filters(bytes: &[u8]) {
    let _ = serde_json::from_slice::<berth_api::group::AutoSelectFilterIn>(bytes);
    let words: Vec<String> = text(bytes).split([',', '"', '\n']).map(str::to_owned).collect();
    let _ = berth_engine::stack::read(&words).map(|(stack, _)| berth_engine::stack::check(&stack));
    let _ = berth_engine::stack::providers(&words);
}

fn properties(bytes: &[u8]) {
    const OWNERS: [Owner; 4] = [Owner::Controller, Owner::Node, Owner::StorPool, Owner::ResourceGroup];
    let text = text(bytes);
    let (key, value) = text.split_once('\n').unwrap_or((&text, ""));
    for owner in OWNERS {
        let _ = props::check(owner, key, value);
        let _ = props::check_delete(owner, key);
    }
    if let Ok(value) = serde_json::from_str::<Value>(value) {
        let _ = props::value_text(key, &value);
    }
}

fn object_names(bytes: &[u8]) {
    let text = text(bytes);
    let _ = names::NodeName::parse(&text);
    let _ = names::ResourceName::parse(&text);
    let _ = names::ResourceGroupName::parse(&text);
    let _ = names::StorPoolName::parse(&text);
    let _ = names::SnapshotName::parse(&text);
    let _ = names::NetIfName::parse(&text);
    let _ = names::KvsName::parse(&text);
    let _ = names::FilePath::parse(&text);
    let _ = berth_model::change::NumberKey::parse(&text);
    let mut parts = text.split('/');
    let kind = parts.next().unwrap_or_default();
    let _ = berth_engine::explain::subject::parse(kind, &parts.collect::<Vec<_>>());
    let _ = berth_engine::explain::subject::candidates(&text);
}

fn sizes(bytes: &[u8]) {
    let _ = berth_cli::parse_kib(&text(bytes));
}

fn regexes(bytes: &[u8]) {
    let _ = berth_engine::placement::check_expression(&text(bytes));
}

fn cli_words(bytes: &[u8]) {
    let text = text(bytes);
    // As many words as a line has; the grammar itself is built anew each time.
    if let Some(words) = shlex::split(&text).filter(|words| words.len() < 64) {
        let _ = berth_cli::command().try_get_matches_from(std::iter::once("linstor".to_owned()).chain(words));
    }
}

fn client_files(bytes: &[u8]) {
    let text = text(bytes);
    berth_cli::read_ini(&text);
    let _ = berth_client::parse_controllers(&text);
}

fn client_replies(bytes: &[u8]) {
    let _ = berth_client::parse_replies(bytes);
    berth_client::read_events(bytes);
}

fn linstor_toml(bytes: &[u8]) {
    let Ok(table) = text(bytes).parse::<toml::Table>() else { return };
    for program in [linstor_files::Program::Controller, linstor_files::Program::Satellite] {
        let _ = linstor_files::is_linstors(&table);
        let _ = linstor_files::translate(&table, program, Path::new("/etc/linstor"));
    }
}

fn linstor_export(bytes: &[u8]) {
    let _ = berth_engine::import::from_linstor(&text(bytes), Timestamp(5), IdSource::new(Timestamp(5), [1; 16]));
}

fn database_export(bytes: &[u8]) {
    let _ = berth_store::Export::parse(bytes);
}

fn support_bundle(bytes: &[u8]) {
    let _ = berth_store::Bundle::parse(bytes);
}

fn records(bytes: &[u8]) {
    let text = text(bytes);
    let mut parts = text.splitn(4, '\n');
    let mut next = || parts.next().unwrap_or_default();
    let (kind, key, version, body) = (next(), next(), next(), next());
    if let Ok((object, residue)) = berth_model::codec::decode(kind, key, version.parse().unwrap_or(1), body) {
        let _ = berth_model::codec::encode(&object, residue.as_ref());
    }
}

fn wire_messages(bytes: &[u8]) {
    let _ = berth_proto::Down::decode(bytes);
    let _ = berth_proto::Up::decode(bytes);
}

fn wire_documents(bytes: &[u8]) {
    let _ = serde_json::from_slice::<berth_model::plan::PlanBody>(bytes);
    let _ = serde_json::from_slice::<berth_model::observed::Observation>(bytes);
    let _ = serde_json::from_slice::<berth_model::observed::Capabilities>(bytes);
    let _ = serde_json::from_slice::<berth_model::inquiry::Question>(bytes);
    let _ = serde_json::from_slice::<berth_model::inquiry::Answer>(bytes);
}

fn keystores(bytes: &[u8]) {
    let _ = berth_trust::contents(bytes, "linstor", "linstor");
    let _ = berth_trust::revocations(bytes);
    let _ = berth_trust::common_name(&bytes.to_vec().into());
}

fn sign_in(bytes: &[u8]) {
    berth_controller::read_authorization(&text(bytes));
}

fn trace_places(bytes: &[u8]) {
    let _ = berth_proto::trace::parse(&text(bytes));
}

fn marks(bytes: &[u8]) {
    let text = text(bytes);
    let _ = berth_plugin_sdk::Mark::parse(&text);
    let _ = berth_plugin_sdk::BackingName::parse(&text);
}

fn patterns(bytes: &[u8]) {
    let text = text(bytes);
    let (pattern, command) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(pattern) = berth_plugin_sdk::Pattern::parse(pattern) else { return };
    let props = [("StorDriver/LvcreateOptions".to_owned(), "-i 2".to_owned())].into();
    let pool = berth_plugin_sdk::Pool { name: "thin".into(), kind: "LVM_THIN".into(), place: "vg/pool".into(), props };
    let folders = ["/dev/".to_owned()];
    let words: Vec<&str> = command.split(' ').collect();
    let _ = pattern.matches(&words, berth_plugin_sdk::Scope { pool: &pool, devices: &folders, paths: &folders });
}

fn plugin_configs(bytes: &[u8]) {
    let text = text(bytes);
    let _ = toml::from_str::<berth_satellite::plugins::PluginConfig>(&text);
    let _ = berth_satellite::plugins::PluginKeys::parse(&[text.into_owned()]);
}

fn machine_texts(bytes: &[u8]) {
    berth_satellite::read_machine_texts(&text(bytes));
}

fn secrets_in_texts(bytes: &[u8]) {
    let text = text(bytes);
    let _ = berth_model::secrets::hide_in_text(&text);
    if let Ok(mut value) = serde_json::from_str::<Value>(&text) {
        berth_model::secrets::hide(&mut value);
    }
}
