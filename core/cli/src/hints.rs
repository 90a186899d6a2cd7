//! What usually comes next: one line under a reply, for people at a terminal.

use berth_client::{Call, Method, Reply, Severity};

/// The command that usually follows a request with these replies; `None` where there is no usual one.
pub fn next(call: &Call, replies: &[Reply]) -> Option<String> {
    match replies.iter().find(|reply| reply.severity() == Severity::Error) {
        Some(error) => after_error(call, error),
        None => replies.iter().find_map(after_warning).or_else(|| after_success(call)),
    }
}

/// What to do instead of a command that is not there yet, as the end of a sentence.
pub fn instead(command: &str) -> &'static str {
    match command {
        "snapshot ship" => "; another replica takes the data, too: 'linstor resource create NODE RESOURCE'",
        "node create-openflex-target" => "; pools of the file, LVM and ZFS kinds are there: 'linstor storage-pool create --help'",
        "dm-migrate" => "; 'berth db import --from-linstor FILE' reads the database of a LINSTOR controller",
        _ => "",
    }
}

fn after_error(call: &Call, error: &Reply) -> Option<String> {
    let parts = parts(call);
    let resource = parts.get(1).filter(|_| parts.first().is_some_and(|top| top == "resource-definitions"));
    Some(match error.number() {
        300 => "linstor node list".to_owned(),
        301..=304 => "linstor resource list".to_owned(),
        305 => match parts.get(1) {
            Some(node) => format!("linstor node interface list {node}"),
            None => "linstor node list".to_owned(),
        },
        309..=311 => "linstor storage-pool list".to_owned(),
        313..=315 => "linstor snapshot list".to_owned(),
        316 => "linstor key-value-store list".to_owned(),
        317 | 318 => "linstor resource-group list".to_owned(),
        213 => "linstor explain KEY, or set-property --help".to_owned(),
        996 | 980 | 985 => match resource {
            Some(name) => format!("berth place resource {name} (tells for every place the rule that excludes it)"),
            None => "berth place new SIZE --group GROUP (tells for every place the rule that excludes it)".to_owned(),
        },
        988 | 989 => "linstor node info --full".to_owned(),
        992 | 997 => match resource {
            Some(name) => format!("berth why {name} (tells who holds it)"),
            None => return None,
        },
        995 => "linstor node list".to_owned(),
        _ => return None,
    })
}

fn after_warning(reply: &Reply) -> Option<String> {
    (reply.severity() == Severity::Warning && reply.number() == 1002).then(|| "berth job list (tells what it waits for)".to_owned())
}

fn after_success(call: &Call) -> Option<String> {
    if call.method != Method::POST {
        return None;
    }
    let parts = parts(call);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Some(match parts.as_slice() {
        ["nodes"] => "linstor storage-pool create KIND NODE POOL BACKING".to_owned(),
        ["nodes", _, "storage-pools"] => "linstor resource-group create GROUP --place-count 2 --storage-pool POOL".to_owned(),
        ["resource-groups"] => {
            let name = call.body.as_ref().and_then(|body| body.get("name")).and_then(|name| name.as_str()).unwrap_or("GROUP");
            format!("linstor volume-group create {name}")
        }
        ["resource-groups", group, "volume-groups"] => format!("linstor resource-group spawn-resources {group} RESOURCE SIZE"),
        ["resource-groups", _, "spawn"] => "linstor volume list".to_owned(),
        ["resource-definitions"] => "linstor volume-definition create RESOURCE SIZE".to_owned(),
        ["resource-definitions", name, "volume-definitions"] => format!("linstor resource create {name} --auto-place 2"),
        ["resource-definitions", name, "resources" | "autoplace"] => format!("linstor volume list -r {name}"),
        ["resource-definitions", name, "snapshots"] => {
            format!("linstor snapshot list -r {name}; back with: linstor snapshot rollback {name} SNAPSHOT")
        }
        _ => return None,
    })
}

/// The path below `/v1`, part by part, as it is written in the request.
fn parts(call: &Call) -> Vec<String> {
    call.path.trim_start_matches('/').split('/').skip_while(|part| *part == "v1").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use berth_client::{Call, Reply};
    use serde_json::json;

    use super::next;

    fn reply(ret_code: i64) -> Vec<Reply> {
        vec![Reply { ret_code, ..Reply::default() }]
    }

    #[test]
    fn the_next_command_is_named() {
        let group = Call::post(&["resource-groups"]).body(json!({"name": "web"}));
        assert_eq!(next(&group, &reply(1)).as_deref(), Some("linstor volume-group create web"));
        let volume = Call::post(&["resource-definitions", "web", "volume-definitions"]);
        assert_eq!(next(&volume, &reply(1)).as_deref(), Some("linstor resource create web --auto-place 2"));
        // Too few nodes.
        let place = Call::post(&["resource-definitions", "web", "autoplace"]);
        assert!(next(&place, &reply(-4_611_686_018_427_386_908)).expect("a hint").contains("berth place resource web"));
        assert_eq!(next(&Call::delete(&["nodes", "a"]), &reply(1)), None);
    }
}
