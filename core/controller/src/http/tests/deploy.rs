//! What is shipped beside the program speaks of metrics that exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::get;
use crate::testkit::Kit;
use serde_json::Value;

fn shipped(file: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of our series in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("linstor_") || word.starts_with("berth_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_metric_of_the_dashboard_and_the_alerts_exists() {
    let kit = Kit::new().await;
    kit.node("alpha").await;
    let text = get(&kit, "/metrics").await.text;
    // Series without a row now have their type alone.
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let known: BTreeSet<String> = typed.map(str::to_owned).collect();
    let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next());
    let untyped: Vec<&str> = rows.filter(|name| !known.contains(*name)).collect();
    assert!(untyped.is_empty(), "in version 0.0.4 a sample has the name of its head: {untyped:?}");
    assert!(known.contains("berth_commits_total") && known.contains("linstor_resource_state"), "{known:?}");
    for (file, least) in [("grafana/berth.json", 25), ("prometheus/berth.rules.yml", 12)] {
        let used = names(&shipped(file));
        let missing: Vec<&String> = used.difference(&known).collect();
        assert!(missing.is_empty(), "{file} names what does not exist: {missing:?}");
        assert!(used.len() >= least, "{file} names only {}", used.len());
    }
}

#[test]
fn each_panel_asks_for_something_and_has_its_own_place() {
    let dashboard: Value = serde_json::from_str(&shipped("grafana/berth.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(x < 24 && taken.insert((x, y)), "{} lies over another panel", panel["title"]);
            }
        }
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(targets.is_empty(), panel["type"] == "row", "{}", panel["title"]);
        for target in targets {
            assert!(!names(target["expr"].as_str().unwrap()).is_empty(), "{}: {}", panel["title"], target["expr"]);
        }
    }
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn each_alert_says_what_it_means_and_what_to_do() {
    let rules = shipped("prometheus/berth.rules.yml");
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 10, "{}", alerts.len());
    let mut known = BTreeSet::new();
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        assert!(known.insert(name), "{name} stands there twice");
        for key in ["expr: \"", "for: ", "severity: ", "summary: \"", "description: \"", "action: \""] {
            assert_eq!(alert.matches(key).count(), 1, "{name}: {key}");
        }
        let expr = alert.lines().find_map(|line| line.trim().strip_prefix("expr: ")).unwrap();
        assert!(!names(expr).is_empty(), "{name}: {expr}");
    }
}
