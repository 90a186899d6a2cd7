//! Who may do what: one pure rule for every door.
//!
//! [`allowed`] judges commands, and [`door`] what a request may do that gives none. Both are asked with the caller's role, which whoever
//! signs them in has found out. Without sign-in everybody is an administrator (`ARCHITECTURE.md`, what is trusted).

use berth_model::access::{Caller, Role};

use crate::command::Command;

/// Properties that make a machine run a program of somebody's choice: an administrator's, wherever they stand. In lower case.
const POWERFUL: [&str; 2] = ["drbdoptions/handlers/", "autoplacer/preselectscript"];

/// Whether `caller` may give `command`.
#[must_use]
pub fn allowed(caller: &Caller, command: &Command) -> bool {
    if caller.name.is_empty() {
        return false;
    }
    match caller.role {
        Role::Admin => true,
        Role::Operator => needs(command) <= Role::Operator && !has_power(command),
        Role::Viewer => false,
    }
}

/// The least role that a command needs, bar what its properties ask for. What decides over machines, pools, the whole cluster, or about who
/// may sign in is an administrator's; the daily work with resources is an operator's.
#[must_use]
pub fn needs(command: &Command) -> Role {
    match command {
        Command::CreateNode { .. }
        | Command::ModifyNode { .. }
        | Command::DeleteNode { .. }
        | Command::LoseNode { .. }
        | Command::CreateNetIf { .. }
        | Command::ModifyNetIf { .. }
        | Command::DeleteNetIf { .. }
        | Command::CreateStorPoolDfn { .. }
        | Command::ModifyStorPoolDfn { .. }
        | Command::DeleteStorPoolDfn { .. }
        | Command::CreateStorPool { .. }
        | Command::ModifyStorPool { .. }
        | Command::DeleteStorPool { .. }
        | Command::LoseStorPool { .. }
        | Command::ModifyController { .. }
        | Command::DeleteControllerProperty { .. }
        | Command::CreateToken { .. }
        | Command::InitializeTokens { .. }
        | Command::ModifyToken { .. }
        | Command::RevokeToken { .. }
        | Command::CreateMasterPassphrase { .. }
        | Command::EnterMasterPassphrase { .. }
        | Command::ModifyMasterPassphrase { .. }
        | Command::PutFile { .. }
        | Command::DeleteFile { .. }
        | Command::DeployFile { .. }
        | Command::ModifyNodeConnection { .. }
        | Command::RemoveStranger { .. }
        | Command::AdoptStranger { .. }
        | Command::TakeIn { .. } => Role::Admin,
        Command::ReconnectNode { .. }
        | Command::EvacuateNode { .. }
        | Command::EvictNode { .. }
        | Command::RestoreNode { .. }
        | Command::CreateResourceGroup { .. }
        | Command::ModifyResourceGroup { .. }
        | Command::DeleteResourceGroup { .. }
        | Command::SpawnResource { .. }
        | Command::AdjustResourceGroup { .. }
        | Command::CreateVolumeGroup { .. }
        | Command::ModifyVolumeGroup { .. }
        | Command::DeleteVolumeGroup { .. }
        | Command::CreateResourceDefinition { .. }
        | Command::ModifyResourceDefinition { .. }
        | Command::DeleteResourceDefinition { .. }
        | Command::CloneResourceDefinition { .. }
        | Command::CreateVolumeDefinition { .. }
        | Command::ModifyVolumeDefinition { .. }
        | Command::DeleteVolumeDefinition { .. }
        | Command::Autoplace { .. }
        | Command::CreateResources { .. }
        | Command::ModifyResource { .. }
        | Command::DeleteResource { .. }
        | Command::MakeAvailable { .. }
        | Command::ActivateResource { .. }
        | Command::DeactivateResource { .. }
        | Command::ToggleDisk { .. }
        | Command::ModifyVolume { .. }
        | Command::CreateSnapshot { .. }
        | Command::CreateMultiSnapshot { .. }
        | Command::ModifySnapshot { .. }
        | Command::DeleteSnapshot { .. }
        | Command::RestoreVolumeDefinitions { .. }
        | Command::RestoreResources { .. }
        | Command::RollbackSnapshot { .. }
        | Command::ModifyKeyValueStore { .. }
        | Command::DeleteKeyValueStore { .. }
        | Command::ModifyResourceConnection { .. }
        | Command::ModifyDrbdProxy { .. }
        | Command::SwitchDrbdProxy { .. }
        | Command::ModifyVolumePassphrase { .. }
        | Command::RenameResourceDefinition { .. }
        | Command::RenameResourceGroup { .. }
        | Command::RenameSnapshot { .. }
        | Command::Balance { .. }
        | Command::Tend { .. }
        | Command::AutoSnapshot { .. }
        | Command::CancelJob { .. }
        | Command::RetryJob { .. } => Role::Operator,
    }
}

/// Whether a command names a property of [`POWERFUL`] anywhere: it is looked for in the whole command, so that no way in is forgotten.
fn has_power(command: &Command) -> bool {
    fn names(value: &serde_json::Value) -> bool {
        let powerful = |text: &str| {
            let text = text.to_ascii_lowercase();
            POWERFUL.iter().any(|part| text.contains(part))
        };
        match value {
            serde_json::Value::Object(members) => members.iter().any(|(name, member)| powerful(name) || names(member)),
            serde_json::Value::Array(items) => items.iter().any(names),
            serde_json::Value::String(text) => powerful(text),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => false,
        }
    }
    // What a client keeps in a store of its own makes nobody run anything.
    let is_store = matches!(command, Command::ModifyKeyValueStore { .. } | Command::DeleteKeyValueStore { .. });
    // A command that cannot be written cannot be judged.
    !is_store && serde_json::to_value(command).map_or(true, |value| names(&value))
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// It is carried out; if it gives a command, [`allowed`] judges that.
    Open,
    /// It is carried out, and the answer is shown without secrets.
    WithoutSecrets,
    /// It is refused; the role that it needs.
    Closed(Role),
}

/// Reads that show more than a state: whole databases and what lies on the controller's machine. Path prefixes, whole segments.
const READS_OF_ADMINS: [&str; 7] = [
    "/v1/controller/backup",
    "/v1/controller/auth",
    "/v1/controller/database",
    "/v1/berth/database",
    "/v1/berth/bundle",
    "/v1/files",
    // It writes a file on the controller, and holds a bundle.
    "/v1/sos-report",
];
/// The description of the API: the same for everybody. It names what holds secrets, and has none.
const DESCRIPTION: &str = "/openapi.json";
/// Requests of other verbs than `GET` that change nothing: the method, and the path with `*` for one segment.
const QUESTIONS: [(&str, &str); 8] = [
    ("OPTIONS", "/v1/query-max-volume-size"),
    ("OPTIONS", "/v1/query-all-size-info"),
    ("POST", "/v1/queries/resource-groups/query-all-size-info"),
    ("POST", "/v1/resource-groups/*/query-size-info"),
    ("POST", "/v1/resource-definitions/*/query-size-info"),
    ("POST", "/v1/queries/max-volume-size"),
    ("POST", "/v1/berth/place"),
    ("POST", "/v1/berth/what-if"),
];
/// Changes of an administrator that no command says: path prefixes, whole segments, `*` for one segment.
const CHANGES_OF_ADMINS: [&str; 14] = [
    // They start a program on nodes, and set how a satellite works.
    "/v1/nodes/exec",
    "/v1/nodes/*/config",
    "/v1/controller",
    "/v1/encryption",
    "/v1/files",
    "/v1/error-reports",
    "/v1/sos-report",
    "/v1/remotes",
    "/v1/schedules",
    "/v1/physical-storage",
    "/v1/action",
    "/v1/vendor",
    "/v1/berth/database",
    "/v1/berth/drift",
];

/// Whether `path` is `prefix` or below it; `*` in the prefix stands for any one segment.
fn under(path: &str, prefix: &str) -> bool {
    let mut parts = path.split('/');
    prefix.split('/').all(|wanted| parts.next().is_some_and(|part| wanted == "*" || part.eq_ignore_ascii_case(wanted)))
}

fn like(path: &str, pattern: &str) -> bool {
    let (mut parts, mut wanted) = (path.split('/'), pattern.split('/'));
    loop {
        match (parts.next(), wanted.next()) {
            (None, None) => return true,
            (Some(part), Some(want)) if want == part || (want == "*" && !part.is_empty()) => {}
            _ => return false,
        }
    }
}

/// What a caller of `role` may do with `method` on `path` (as in the request line, without the query; no slash at its end).
#[must_use]
pub fn door(role: Role, method: &str, path: &str) -> Door {
    let reads = matches!(method, "GET" | "HEAD") || QUESTIONS.iter().any(|(verb, pattern)| *verb == method && like(path, pattern));
    if reads && path == DESCRIPTION {
        return Door::Open;
    }
    let of_admins: &[&str] = if reads { &READS_OF_ADMINS } else { &CHANGES_OF_ADMINS };
    match role {
        Role::Admin => Door::Open,
        Role::Operator | Role::Viewer if of_admins.iter().any(|prefix| under(path, prefix)) => Door::Closed(Role::Admin),
        Role::Operator => Door::Open,
        Role::Viewer if reads => Door::WithoutSecrets,
        Role::Viewer => Door::Closed(Role::Operator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_model::props::PropChange;
    use std::collections::BTreeMap;

    fn samples() -> Vec<Command> {
        vec![
            Command::DeleteNode { node: "a".into() },
            Command::DeleteResourceDefinition { name: "web".into() },
            Command::ModifyController { props: PropChange::default() },
            Command::CancelJob { id: "1".into() },
        ]
    }

    #[test]
    fn a_viewer_may_give_no_command_and_nobody_without_a_name_any() {
        for command in samples() {
            assert!(!allowed(&Caller::new("user:v", Role::Viewer), &command), "{command:?}");
            assert!(!allowed(&Caller::new("", Role::Admin), &command), "{command:?}");
            assert!(allowed(&Caller::anybody(), &command), "{command:?}");
        }
    }

    #[test]
    fn an_operator_works_with_resources_not_with_machines_or_programs() {
        let operator = Caller::new("token:1", Role::Operator);
        let may: Vec<bool> = samples().iter().map(|command| allowed(&operator, command)).collect();
        assert_eq!(may, [false, true, false, true]);
        let modify = |key: &str| Command::ModifyResource {
            resource: "web".into(),
            node: "a".into(),
            props: PropChange { override_props: BTreeMap::from([(key.to_owned(), "x".to_owned())]), ..PropChange::default() },
            drbd_tiebreaker: None,
            drbd_client: None,
        };
        assert!(allowed(&operator, &modify("DrbdOptions/Net/protocol")));
        for key in ["DrbdOptions/Handlers/split-brain", "/drbdoptions/handlers/split-brain"] {
            assert!(!allowed(&operator, &modify(key)), "{key}");
            assert!(allowed(&Caller::anybody(), &modify(key)), "{key}");
        }
    }

    #[test]
    fn a_viewer_reads_without_secrets_and_asks_what_changes_nothing() {
        let viewer = |method, path| door(Role::Viewer, method, path);
        assert_eq!(viewer("GET", "/openapi.json"), Door::Open, "nothing of it is a secret, though it names some");
        assert!(matches!(viewer("POST", "/openapi.json"), Door::Closed(_)));
        for (method, path) in [
            ("GET", "/v1/nodes"),
            ("HEAD", "/v1/nodes"),
            ("GET", "/metrics"),
            ("OPTIONS", "/v1/query-max-volume-size"),
            ("POST", "/v1/resource-groups/fast/query-size-info"),
        ] {
            assert_eq!(viewer(method, path), Door::WithoutSecrets, "{method} {path}");
        }
        for (method, path) in [
            ("POST", "/v1/nodes"),
            ("DELETE", "/v1/error-reports/x"),
            ("POST", "/v1/resource-groups//query-size-info"),
            ("GET", "/v1/controller/auth/token"),
            ("GET", "/V1/CONTROLLER/auth"),
            ("PATCH", "/"),
            ("BREW", "/v1/nodes"),
        ] {
            assert!(matches!(viewer(method, path), Door::Closed(_)), "{method} {path}");
        }
    }

    #[test]
    fn what_no_command_says_is_an_administrators_by_its_path() {
        for (method, path, open) in [
            ("PATCH", "/v1/error-reports", false),
            ("PUT", "/v1/controller/config", false),
            ("GET", "/v1/controller/config", true),
            ("GET", "/v1/controller/backup/db", false),
            ("GET", "/v1/sos-report", false),
            ("GET", "/v1/sos-report/download", false),
            ("GET", "/openapi.json", true),
            ("POST", "/v1/controllers", true),
            ("POST", "/v1/nodes/exec/drbd-reactorctl/evict", false),
            ("PUT", "/v1/nodes/alpha/config", false),
            ("GET", "/v1/nodes/alpha/config", true),
            ("PUT", "/v1/nodes/alpha/restore", true),
            ("POST", "/v1/resource-definitions", true),
        ] {
            assert_eq!(door(Role::Operator, method, path) == Door::Open, open, "{method} {path}");
            assert_eq!(door(Role::Admin, method, path), Door::Open, "{method} {path}");
        }
    }
}
