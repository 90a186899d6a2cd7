//! Machines and processes: how they are configured and how much they log, devices that nobody uses, drbd-reactor, copies of the database.
//!
//! Nothing of it is a command: it changes no record. What a satellite must do for it is asked in its session.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use berth_api::lenient::{Text, text, texts, truth};
use berth_api::machine::{
    BackupIn, ConfigDb, ConfigDebug, ConfigFolder, ConfigHttp, ConfigIn, ConfigLdap, ConfigLog, ConfigLogIn, ConfigNet, ControllerConfig,
    Device, DevicePoolCreate, Devices, Lacking, NodeDevice, ReactorIn, ReactorOut, SatelliteConfig,
};
use berth_api::reply::ApiCallRc;
use berth_engine::lookup;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::NodeFlag;
use berth_model::inquiry::{Answer, FreeDevice, LogChange, LogLevel, LogLevels, Question, Ran, ReactorVerb, is_plain};
use berth_model::layers::ProviderKind;
use berth_model::objects::Node;
use berth_model::reply::Reply;
use futures_util::future::join_all;
use serde_json::json;

use crate::Silent;
use crate::http::answer::{self, document, refusal, replies};
use crate::http::call::{Answered, Call};
use crate::http::dry::Mode;
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};

/// Where the log goes: whoever starts the process decides where that ends.
const LOG_DIRECTORY: &str = "(standard error)";
/// Nodes that one request may run a tool on.
const MOST_NODES: usize = 1000;

/// The operations of this kind.
pub fn routes() -> Routes {
    let reactor_op = |help: &str| {
        Op::answers::<Vec<ReactorOut>>(help)
            .or::<Vec<ApiCallRc>>(200)
            .body::<ReactorIn>()
            .reply::<Lacking>(400)
            .or::<Vec<ApiCallRc>>(400)
            .one_of("dry_run", &["true", "1", "plan", "false", "0"], "Runs nothing, and says what would be run.")
    };
    let exec = |verb: &str| format!("/v1/nodes/exec/drbd-reactorctl/{verb}");
    Routes::new("Machines")
        .get(
            "/v1/nodes/{node}/config",
            node_config,
            Op::answers::<SatelliteConfig>("Shows how a satellite is configured.").reply::<Vec<ApiCallRc>>(503),
        )
        .put(
            "/v1/nodes/{node}/config",
            set_node_config,
            Op::changes("Sets how much a satellite logs.").without_plan().body::<ConfigIn>().reply::<Vec<ApiCallRc>>(503),
        )
        .get("/v1/controller/config", controller_config, Op::answers::<ControllerConfig>("Shows how the controller is configured."))
        .put(
            "/v1/controller/config",
            set_controller_config,
            Op::changes("Sets how much the controller logs, and if wanted every satellite.").without_plan().body::<ConfigIn>(),
        )
        .post(
            "/v1/controller/backup/db",
            backup,
            Op::creates("Copies the database to a file on the controller's machine.").without_plan().body::<BackupIn>(),
        )
        .post(
            "/v1/controller/database/export",
            export,
            Op::creates("Writes the state to a file on the controller's machine.").without_plan().body::<BackupIn>(),
        )
        .get("/v1/physical-storage", all_devices, Op::list::<Devices>("Lists devices that nobody uses, by size and kind."))
        .get("/v1/physical-storage/{node}", devices, Op::answers::<Vec<NodeDevice>>("Lists devices of a node that nobody uses."))
        .post(
            "/v1/physical-storage/{node}",
            make_device_pool,
            Op::creates("Makes a storage pool on devices; no provider of this version does that, and it says why.")
                .body::<DevicePoolCreate>()
                .absent(),
        )
        .post(
            &exec("status"),
            async |call: Call| reactor(&call, ReactorVerb::Status).await,
            reactor_op("Runs 'drbd-reactorctl status' on nodes."),
        )
        .post(
            &exec("evict"),
            async |call: Call| reactor(&call, ReactorVerb::Evict).await,
            reactor_op("Runs 'drbd-reactorctl evict' on nodes."),
        )
        .post(
            &exec("disable"),
            async |call: Call| reactor(&call, ReactorVerb::Disable).await,
            reactor_op("Runs 'drbd-reactorctl disable' on nodes."),
        )
        .post(
            &exec("enable"),
            async |call: Call| reactor(&call, ReactorVerb::Enable).await,
            reactor_op("Runs 'drbd-reactorctl enable' on nodes."),
        )
        .post(
            &exec("restart"),
            async |call: Call| reactor(&call, ReactorVerb::Restart).await,
            reactor_op("Runs 'drbd-reactorctl restart' on nodes."),
        )
}

/// The node that a request names; its refusal names no objects (recorded behaviour of the API).
fn node(call: &Call, name: &str) -> Result<Arc<Node>, Response> {
    lookup::node(&call.view().cluster, name).cloned().map_err(refused)
}

/// A satellite that gives no answer. 503 with warning 1002 where it is not there (contract 10.1).
fn silent(node: &Node, why: Silent) -> Response {
    let reply = Reply::new(Code::WARN_NOT_CONNECTED, format!("Node '{}' cannot be asked: {why}.", node.name))
        .cause("Its settings and devices are known to its satellite only.")
        .correction("Start the satellite on the node, or look why it is away with 'linstor node list'.")
        .of(Operation::Modify, ObjectMask::Node)
        .refer("Node", &node.name);
    answer::json(StatusCode::SERVICE_UNAVAILABLE, &[answer::entry(&reply)])
}

/// A satellite that answers something else than it was asked.
fn other(node: &Node, answer: &Answer) -> Response {
    let (why, correction) = match answer {
        Answer::Refused { why, correction } => (why.clone(), correction.clone()),
        Answer::Settings(_) | Answer::Log(_) | Answer::Devices { .. } | Answer::Ran(_) | Answer::Support(_) | Answer::Unknown => {
            ("It answers something that this controller does not understand.".to_owned(), "Bring both to one version.".to_owned())
        }
    };
    refusal(Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("(Node: '{}') {why}", node.name)).correction(correction))
}

fn log(levels: LogLevels, rest_access_mode: Option<&'static str>) -> ConfigLog {
    ConfigLog {
        print_stack_trace: false,
        directory: LOG_DIRECTORY,
        level: levels.libraries.word(),
        level_linstor: levels.own.word(),
        rest_access_mode,
    }
}

async fn node_config(call: Call) -> Answered {
    let node = node(&call, call.part("node"))?;
    match call.controller.ask(node.id, &Question::Settings).await {
        Ok(Answer::Settings(settings)) => Ok(document(&SatelliteConfig {
            config: ConfigFolder { dir: settings.data },
            debug: ConfigDebug::default(),
            log: log(settings.log, None),
            stlt_override_node_name: settings.name,
            remote_spdk: false,
            ebs: false,
            special_satellite: false,
            net: ConfigNet { bind_address: settings.address, port: settings.port, com_type: if settings.tls { "SSL" } else { "PLAIN" } },
        })),
        Ok(answer) => Err(other(&node, &answer)),
        Err(why) => Err(silent(&node, why)),
    }
}

/// A level in a request. Error 230, without a context (recorded behaviour of the API).
fn level(word: Option<Text>) -> Result<Option<LogLevel>, Response> {
    let Some(word) = text(word) else { return Ok(None) };
    LogLevel::parse(&word).map(Some).ok_or_else(|| {
        let words: Vec<&str> = LogLevel::ALL.iter().map(|level| level.word()).collect();
        let shown: String = word.chars().take(64).collect();
        refusal(
            Reply::new(Code::FAIL_INVLD_CONF, format!("'{shown}' says not how much is to be logged."))
                .cause(format!("The levels are {}.", words.join(", ")))
                .correction("Name one of these levels."),
        )
    })
}

fn changes(change: LogChange) -> bool {
    change.libraries.is_some() || change.own.is_some()
}

fn dry(what: String) -> Response {
    replies(&[Reply::new(Code::INFO_NOOP, format!("Dry run: nothing is changed. {what}"))], StatusCode::OK)
}

async fn set_node_config(call: Call) -> Answered {
    let body: ConfigIn = call.body()?;
    let ConfigLogIn { level: libraries, level_linstor: own, .. } = body.log.unwrap_or_default();
    let change = LogChange { libraries: level(libraries)?, own: level(own)? };
    let node = node(&call, call.part("node"))?;
    if !changes(change) {
        return Ok(replies(&[nothing_asked().of(Operation::Modify, ObjectMask::Node).refer("Node", &node.name)], StatusCode::OK));
    }
    if call.mode != Mode::Real {
        return Ok(dry(format!("The satellite of '{}' would log {}.", node.name, told(change))));
    }
    let reply = set_level(&call, &node, change).await?;
    call.note(json!({ "command": "set_log_level", "node": node.name.as_str(), "change": change })).await;
    Ok(replies(&[reply], StatusCode::OK))
}

fn nothing_asked() -> Reply {
    Reply::new(Code::WARN_NO_EFFECT, "Nothing is changed: of a configuration only how much is logged can be changed.")
        .cause("The request names no level.")
        .correction("Give 'level', 'level_linstor' or both in 'log'; everything else is set where the program is started.")
}

fn told(change: LogChange) -> String {
    let part = |what: &str, level: Option<LogLevel>| level.map(|level| format!("{what} at {level}"));
    [part("its own parts", change.own), part("libraries", change.libraries)].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

async fn set_level(call: &Call, node: &Node, change: LogChange) -> Result<Reply, Response> {
    match call.controller.ask(node.id, &Question::Log { change }).await {
        Ok(Answer::Log(levels)) => Ok(Reply::new(Code::MODIFIED, format!("The satellite of '{}' logs {}.", node.name, told(change)))
            .details(format!("Now: its own parts at {}, libraries at {}, until it is started anew.", levels.own, levels.libraries))
            .of(Operation::Modify, ObjectMask::Node)
            .refer("Node", &node.name)),
        Ok(answer) => Err(other(node, &answer)),
        Err(why) => Err(silent(node, why)),
    }
}

async fn controller_config(call: Call) -> Answered {
    let (data, listen) = (call.controller.data(), call.controller.listen());
    let (secure, secure_on) = call.controller.https();
    let ldap = call.controller.gate().ldap();
    Ok(document(&ControllerConfig {
        config: ConfigFolder { dir: data.display().to_string() },
        debug: ConfigDebug::default(),
        log: log(call.controller.log_control().levels(), Some("NO_LOG")),
        db: ConfigDb {
            connection_url: format!("sqlite://{}", data.join(berth_store::DATABASE_FILE).display()),
            version_check_disabled: false,
        },
        http: ConfigHttp { enabled: true, listen_address: listen.ip().to_string(), port: listen.port() },
        https: ConfigHttp { enabled: secure_on, listen_address: secure.ip().to_string(), port: secure.port() },
        ldap: ldap.map_or_else(ConfigLdap::default, |ldap| ConfigLdap {
            enabled: true,
            public_access_allowed: ldap.public.is_some(),
            uri: ldap.uri.clone(),
            dn: ldap.dn.clone(),
            search_base: ldap.search_base.clone(),
            search_filter: ldap.search_filter.clone(),
        }),
    }))
}

async fn set_controller_config(call: Call) -> Answered {
    let body: ConfigIn = call.body()?;
    let ConfigLogIn { level: libraries, level_linstor: own, level_global, level_linstor_global } = body.log.unwrap_or_default();
    let all = LogChange { libraries: level(level_global)?, own: level(level_linstor_global)? };
    let change = LogChange { libraries: level(libraries)?.or(all.libraries), own: level(own)?.or(all.own) };
    let about = |reply: Reply| reply.of(Operation::Modify, ObjectMask::Controller);
    if !changes(change) {
        return Ok(replies(&[about(nothing_asked())], StatusCode::OK));
    }
    if call.mode != Mode::Real {
        let whom = if changes(all) { "The controller and every satellite that is connected" } else { "The controller" };
        return Ok(dry(format!("{whom} would log {}.", told(change))));
    }
    let mut answers = match call.controller.log_control().change(change) {
        Ok(levels) => vec![about(
            Reply::new(Code::MODIFIED, format!("The controller logs {}.", told(change)))
                .details(format!("Now: its own parts at {}, libraries at {}, until it is started anew.", levels.own, levels.libraries)),
        )],
        Err(why) => vec![about(Reply::new(Code::FAIL_UNKNOWN_ERROR, why).correction("Start the controller with --log."))],
    };
    call.note(json!({ "command": "set_log_level", "change": change, "everywhere": all })).await;
    if changes(all) {
        let view = call.view();
        let online: Vec<_> = view.cluster.nodes.values().filter(|node| view.observed.online(&node.name)).cloned().collect();
        let asked = join_all(online.iter().map(|node| set_level(&call, node, all))).await;
        answers.extend(online.iter().zip(asked).map(|(node, set)| {
            set.unwrap_or_else(|_| {
                Reply::new(Code::WARN_STLT_NOT_UPDATED, format!("The satellite of '{}' logs as before.", node.name))
                    .cause("It did not answer, or could not do it.")
                    .correction(format!("Try it alone: 'linstor node set-log-level {} …'.", node.name))
                    .of(Operation::Modify, ObjectMask::Node)
                    .refer("Node", &node.name)
            })
        }));
    }
    Ok(replies(&answers, StatusCode::OK))
}

fn device(device: FreeDevice) -> Device {
    Device { device: device.device, model: device.model, serial: device.serial, wwn: device.wwn }
}

/// Devices of all nodes that answer, by size and kind; the largest first.
async fn all_devices(call: Call) -> Answered {
    let view = call.view();
    let online: Vec<_> = view.cluster.nodes.values().filter(|node| view.observed.online(&node.name)).cloned().collect();
    let asked = join_all(online.iter().map(|node| call.controller.ask(node.id, &Question::Devices))).await;
    let mut groups: BTreeMap<(u64, bool), BTreeMap<String, Vec<Device>>> = BTreeMap::new();
    for (node, answer) in online.iter().zip(asked) {
        let Ok(Answer::Devices { devices }) = answer else { continue };
        for one in devices {
            groups.entry((one.size, one.rotational)).or_default().entry(node.name.to_string()).or_default().push(device(one));
        }
    }
    let list = groups.into_iter().rev().map(|((size, rotational), nodes)| Devices { size, rotational, nodes });
    Ok(document(&call.query.page(list)))
}

async fn devices(call: Call) -> Answered {
    let node = node(&call, call.part("node"))?;
    match call.controller.ask(node.id, &Question::Devices).await {
        Ok(Answer::Devices { devices }) => {
            let list = devices.into_iter().map(|one| NodeDevice { size: one.size, rotational: one.rotational, device: device(one) });
            Ok(document(&list.collect::<Vec<_>>()))
        }
        Ok(answer) => Err(other(&node, &answer)),
        Err(why) => Err(refusal(
            Reply::new(Code::FAIL_NOT_CONNECTED, format!("The devices of node '{}' are not known: {why}.", node.name))
                .correction("Start the satellite on the node."),
        )),
    }
}

/// Making a pool on devices: no provider of this version does that, and each node says why.
async fn make_device_pool(call: Call) -> Answered {
    let body: DevicePoolCreate = call.body()?;
    let word = text(body.provider_kind).unwrap_or_default();
    // The command line of clients writes them without '_'.
    let kind = ProviderKind::ALL.iter().copied().find(|kind| kind.word().replace('_', "").eq_ignore_ascii_case(&word.replace('_', "")));
    let Some(kind) = kind else {
        let reply =
            Reply::new(Code::FAIL_INVLD_LAYER_KIND, format!("'{}' is no kind of storage.", word.chars().take(64).collect::<String>()))
                .correction("Name LVM, LVM_THIN, ZFS, ZFS_THIN or SPDK.");
        return Err(answer::with_status(StatusCode::BAD_REQUEST, &reply));
    };
    let node = node(&call, call.part("node"))?;
    let view = call.view();
    let able = view.observed.nodes.get(&node.name).and_then(|seen| seen.capabilities.as_ref());
    let why = able.and_then(|able| able.unsupported_providers.get(&kind)).and_then(|reasons| reasons.first()).cloned();
    Err(refusal(
        Reply::new(Code::FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER, format!("No {kind} pool can be made on devices of node '{}'.", node.name))
            .cause(why.map_or_else(|| "This version makes no pools on devices.".to_owned(), |why| format!("{why}.")))
            .correction(
                "Make a file system with reflinks (XFS, Btrfs) on the device, and a pool in it: 'linstor storage-pool create filethin'.",
            )
            .of(Operation::Create, ObjectMask::PhysicalDevice)
            .refer("Node", &node.name),
    ))
}

/// A document that lacks what it must have: the form of these operations, which is not that of the others (recorded behaviour of the API).
fn lacking(what: &str) -> Response {
    answer::json(StatusCode::BAD_REQUEST, &Lacking { error: format!("The member '{what}' is missing, or makes no sense.") })
}

/// Runs `drbd-reactorctl` on nodes at once. A node where that cannot be is one line of the answer, with exit code -1.
async fn reactor(call: &Call, verb: ReactorVerb) -> Answered {
    let body: ReactorIn = call.body()?;
    let nodes = texts(body.nodes).filter(|nodes| !nodes.is_empty() && nodes.len() <= MOST_NODES).ok_or_else(|| lacking("nodes"))?;
    let (plugin, member) = match verb {
        ReactorVerb::Status | ReactorVerb::Evict => (text(body.resource).or(text(body.config)), "resource"),
        ReactorVerb::Disable | ReactorVerb::Enable | ReactorVerb::Restart => {
            (Some(text(body.config).ok_or_else(|| lacking("config"))?), "config")
        }
    };
    if plugin.as_deref().is_some_and(|plugin| !is_plain(plugin)) {
        return Err(lacking(member));
    }
    let now = verb == ReactorVerb::Disable && truth(body.now) == Some(true);
    let words: Vec<String> = now.then(|| "--now".to_owned()).into_iter().chain(plugin).collect();
    if call.mode != Mode::Real {
        let line = ["drbd-reactorctl", verb.word()].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        return Ok(dry(format!("'{line}' would be run on {}.", nodes.join(", "))));
    }
    if verb != ReactorVerb::Status {
        // Nothing is run on what is no node, and a name of any length has no place in the log.
        let view = call.view();
        let known: Vec<&str> = nodes.iter().map(String::as_str).filter(|name| lookup::node(&view.cluster, name).is_ok()).collect();
        call.note(json!({ "command": "run_drbd_reactor", "verb": verb, "words": words, "nodes": known })).await;
    }
    let question = Question::Reactor { verb, words };
    let runs = nodes.iter().map(|name| {
        let question = &question;
        async move {
            let ran = run(call, name, question).await;
            ReactorOut { node: name.chars().take(255).collect(), exit_code: ran.code, stdout_utf8: ran.stdout, stderr_utf8: ran.stderr }
        }
    });
    Ok(document(&join_all(runs).await))
}

async fn run(call: &Call, name: &str, question: &Question) -> Ran {
    let failed = |stderr: String| Ran { code: -1, stdout: String::new(), stderr };
    let view = call.view();
    let Ok(node) = lookup::node(&view.cluster, name) else { return failed("There is no such node.".to_owned()) };
    if node.flags.has(NodeFlag::Evicted) {
        return failed("The node is evicted, and nobody talks to it.".to_owned());
    }
    match call.controller.ask(node.id, question).await {
        Ok(Answer::Ran(ran)) => ran,
        Ok(Answer::Refused { why, correction }) => failed(format!("{why} {correction}")),
        Ok(_) => failed("Its satellite answers something that this controller does not understand.".to_owned()),
        Err(why) => failed(format!("It cannot be asked: {why}.")),
    }
}

async fn backup(call: Call) -> Answered {
    let body: BackupIn = call.body()?;
    let file = match write(&call, text(body.backup_name), Code::FAIL_INVLD_CONF, true).await? {
        Ok(file) => file,
        Err(response) => return Ok(response),
    };
    let mut reply = Reply::new(Code::DONE, format!("The database was copied to {file}, on the controller's machine."))
        .details("It has every secret that the database has. 'berth db import FILE' makes a database from it.")
        .refer("backup_location", &file);
    reply.operation = Some(Operation::Create);
    Ok(replies(&[reply], StatusCode::CREATED))
}

async fn export(call: Call) -> Answered {
    let body: BackupIn = call.body()?;
    match write(&call, text(body.backup_name), Code::FAIL_INVLD_DB_EXPORT_FILE, false).await? {
        Ok(file) => {
            let reply = Reply::new(Code::DONE, format!("The state was written to {file}, on the controller's machine."))
                .details("It has every secret that the database has, and no log. 'berth db import FILE' makes a database from it.");
            Ok(replies(&[reply], StatusCode::CREATED))
        }
        Err(response) => Ok(response),
    }
}

/// Writes the state, with the log if wanted, into the folder of copies; answers with the path, or with the whole answer of a dry run.
async fn write(call: &Call, name: Option<String>, misnamed: Code, with_log: bool) -> Result<Result<String, Response>, Response> {
    let name = name.unwrap_or_else(|| "berth".to_owned());
    if !is_plain(&name) || name.starts_with('.') || name.len() > 100 {
        let shown: String = name.chars().take(100).collect();
        return Err(refusal(
            Reply::new(misnamed, format!("'{shown}' cannot be the name of a copy."))
                .cause("It becomes part of the name of a file in the controller's data folder.")
                .correction("Choose at most 100 letters, digits, '.', '_' and '-', beginning with a letter or digit."),
        ));
    }
    if call.mode != Mode::Real {
        let folder = call.controller.data().join(crate::copies::FOLDER);
        return Ok(Err(dry(format!("A copy would be written into {}.", folder.display()))));
    }
    call.note(json!({ "command": "copy_database", "with_log": with_log })).await;
    let written = crate::copies::write(&call.controller, &name, with_log).await;
    written.map(|file| Ok(file.display().to_string())).map_err(|error| {
        refusal(
            Reply::new(Code::FAIL_UNKNOWN_ERROR, "The copy was not written; nothing of it is left.")
                .cause(format!("{error}."))
                .correction(error.correction()),
        )
    })
}
