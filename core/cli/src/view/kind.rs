//! Whether a document is one that a view shows: a file may hold anything.

use serde_json::Value;

use crate::plan::View;

/// How the documents of a view are told from others. The members are those that every recorded answer of its kind has.
enum Form {
    /// A list whose elements have all of `has` and none of `lacks`.
    List { has: &'static [&'static str], lacks: &'static [&'static str] },
    /// An object with at least one of these members; an empty one lists nothing.
    Object(&'static [&'static str]),
    /// Anything.
    Any,
}

fn form(view: &View) -> Form {
    let list = |has: &'static [&'static str]| Form::List { has, lacks: &[] };
    match view {
        View::Nodes | View::NodeInfo | View::NodeTree => list(&["name", "type", "net_interfaces"]),
        View::Interfaces(_) => list(&["name", "address"]),
        View::Pools => list(&["storage_pool_name", "node_name", "provider_kind"]),
        View::PoolDefinitions => Form::List { has: &["storage_pool_name"], lacks: &["node_name"] },
        View::Groups => list(&["name", "select_filter"]),
        View::VolumeGroups => Form::List { has: &["volume_number"], lacks: &["size_kib", "storage_pool_name"] },
        View::Definitions | View::VolumeDefinitions => list(&["name", "resource_group_name"]),
        View::Resources | View::Involved { .. } | View::Volumes => list(&["name", "node_name"]),
        View::Snapshots => list(&["name", "resource_name"]),
        // All other named objects have an identity.
        View::KeyValues | View::KeyValue(_) => Form::List { has: &["name"], lacks: &["uuid", "node_name"] },
        View::ErrorReports => list(&["filename"]),
        View::PhysicalStorage => list(&["size", "nodes"]),
        View::NodeConnections | View::ResourceConnections => list(&["node_a", "node_b"]),
        View::Files => list(&["path"]),
        View::Remotes => Form::Object(&["s3_remotes", "linstor_remotes", "ebs_remotes"]),
        View::Backups | View::BackupFiles => Form::Object(&["linstor", "other"]),
        View::BackupQueue => Form::Object(&["snap_queues", "node_queues"]),
        View::Schedules | View::SchedulesByResource => Form::Object(&["data"]),
        View::SpaceReport => Form::Object(&["reportText"]),
        View::Tokens => Form::Object(&["list"]),
        View::Version => Form::Object(&["version"]),
        View::MaxVolumeSize => Form::Object(&["candidates"]),
        View::SizeInfo => Form::Object(&["space_info", "reports"]),
        View::FileContent => Form::Object(&["content"]),
        View::Fields(fields) => Form::Object(std::slice::from_ref(&fields.rows)),
        // Any object has properties, and a connection may be alone or in a list.
        View::Props(_) | View::Paths => Form::Any,
    }
}

/// Says why a document is not one of the view's; `None`: it is one.
pub fn misfit(view: &View, document: &Value) -> Option<String> {
    match (form(view), document) {
        (Form::Any, _) => None,
        (Form::List { has, lacks }, Value::Array(rows)) => rows.iter().enumerate().find_map(|(at, row)| {
            let missing = has.iter().find(|member| row.get(**member).is_none());
            let foreign = lacks.iter().find(|member| row.get(**member).is_some());
            match (missing, foreign) {
                (Some(member), _) => Some(format!("its element {at} has no '{member}'")),
                (None, Some(member)) => Some(format!("its element {at} has '{member}'")),
                (None, None) => None,
            }
        }),
        (Form::List { .. }, _) => Some("it is no list".to_owned()),
        (Form::Object(members), Value::Object(object)) => {
            let fits = object.is_empty() || members.iter().any(|member| object.contains_key(*member));
            (!fits).then(|| format!("it has no '{}'", members.join("' or '")))
        }
        (Form::Object(_), _) => Some("it is no object".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::misfit;
    use crate::plan::View;

    #[test]
    fn a_document_of_another_kind_does_not_fit() {
        let nodes = json!([{"name": "a", "type": "SATELLITE", "net_interfaces": []}]);
        let pools = json!([{"storage_pool_name": "p", "node_name": "a", "provider_kind": "FILE"}]);
        assert_eq!(misfit(&View::Nodes, &nodes), None);
        assert_eq!(misfit(&View::Resources, &nodes).as_deref(), Some("its element 0 has no 'node_name'"));
        assert_eq!(misfit(&View::PoolDefinitions, &pools).as_deref(), Some("its element 0 has 'node_name'"));
        assert_eq!(misfit(&View::Resources, &json!([])), None, "nothing is listed");
        assert_eq!(misfit(&View::Resources, &json!({"a": 1})).as_deref(), Some("it is no list"));
        assert_eq!(
            misfit(&View::Remotes, &json!({"a": 1})).as_deref(),
            Some("it has no 's3_remotes' or 'linstor_remotes' or 'ebs_remotes'")
        );
        assert_eq!(misfit(&View::Remotes, &json!({})), None);
        assert!(misfit(&View::Nodes, &json!([1])).is_some());
    }
}
