//! The words in state cells, and their colours. Rule: REST v1, states of resources and nodes.

use berth_model::codes::Code;
use serde_json::Value;

use crate::table::{Cell, Tone};
use crate::value::{count, flagged, items, layers, local_moment, text};

/// `since TIME`, where the controller says that the state of this object is unknown; `None`: it was seen, or nothing is said.
fn unknown_since(value: &Value) -> Option<String> {
    let since = value.get("berth")?.get("unknown_since")?.as_str()?;
    Some(format!("since {}", local_moment(since)))
}

/// The cell of an object whose state is unknown, with since when.
pub fn unknown(value: &Value) -> Option<Cell> {
    unknown_since(value).map(|since| Cell::toned(format!("Unknown ({since})"), Tone::Warn))
}

/// A node's state.
pub fn node(node: &Value) -> Cell {
    if flagged(node, "EVICTED") {
        return Cell::toned("EVICTED", Tone::Bad);
    }
    if flagged(node, "DELETE") {
        return Cell::toned("DELETE", Tone::Bad);
    }
    if flagged(node, "EVACUATE") {
        return Cell::toned("EVACUATE", Tone::Warn);
    }
    match text(node, "connection_status") {
        "ONLINE" => Cell::toned("Online", Tone::Good),
        "CONNECTED" => Cell::toned("Connected", Tone::Warn),
        "AUTHENTICATED" => Cell::toned("Authenticated", Tone::Warn),
        "" => Cell::toned("Unknown", Tone::Warn),
        // Every other word is a kind of not working; new ones are shown as they come.
        other => match unknown_since(node) {
            Some(since) => Cell::toned(format!("{other} ({since}){}", reason(node)), Tone::Bad),
            None => Cell::toned(other, Tone::Bad),
        },
    }
}

/// Why the state is unknown, in lines of its own below it; empty: the controller does not say.
fn reason(value: &Value) -> String {
    /// Letters of a line: the other columns have to fit beside it.
    const WIDTH: usize = 50;
    let reason = value.get("berth").and_then(|berth| berth.get("reason")).and_then(Value::as_str).unwrap_or_default();
    let mut lines = String::new();
    let mut room = 0;
    for word in reason.split_whitespace() {
        let length = word.chars().count();
        if room < length + 1 {
            lines.push('\n');
            room = WIDTH;
        } else {
            lines.push(' ');
            room -= 1;
        }
        lines.push_str(word);
        room = room.saturating_sub(length);
    }
    lines
}

/// A storage pool's state.
pub fn pool(pool: &Value) -> Cell {
    if let Some(cell) = unknown(pool) {
        return cell;
    }
    if has_errors(pool) { Cell::toned("Error", Tone::Bad) } else { Cell::toned("Ok", Tone::Good) }
}

/// A volume's state on one node.
pub fn volume(resource: &Value, volume: &Value) -> Cell {
    if ["DELETE", "DRBD_DELETE"].iter().any(|flag| flagged(resource, flag) || flagged(volume, flag)) {
        return Cell::toned("DELETING", Tone::Bad);
    }
    if flagged(resource, "INACTIVE") {
        return Cell::toned("INACTIVE", Tone::Warn);
    }
    if has_errors(volume) {
        return Cell::toned("Error", Tone::Bad);
    }
    if is_told(volume, Code::WARN_RSC_DEACTIVATED) {
        return Cell::toned("INACTIVE (by hand)", Tone::Warn);
    }
    let mut cell = disk(resource, volume);
    if flagged(volume, "RESIZE") {
        cell = Cell::toned(format!("Resizing, {}", cell.text), Tone::Warn);
    }
    if flagged(resource, "EVACUATE") {
        cell = Cell::toned(format!("{}, Evacuating", cell.text), Tone::Warn);
    }
    if let Some(origins) = skip_disk(resource) {
        cell = Cell::toned(format!("{}, SkipDisk ({origins})", cell.text), Tone::Bad);
    }
    cell
}

fn disk(resource: &Value, volume: &Value) -> Cell {
    if let Some(cell) = unknown(resource) {
        return cell;
    }
    let known = resource.get("state").is_some();
    if layers(resource).first().is_none_or(|top| *top != "DRBD") {
        return if known { Cell::toned("Created", Tone::Good) } else { Cell::toned("Unknown", Tone::Warn) };
    }
    let state = volume.get("state").map(|state| text(state, "disk_state")).unwrap_or_default();
    match state {
        "" | "DUnknown" => Cell::toned("Unknown", Tone::Warn),
        "UpToDate" => Cell::toned(state, Tone::Good),
        "Diskless" if flagged(resource, "TIE_BREAKER") => Cell::toned("TieBreaker", Tone::Good),
        "Diskless" if flagged(resource, "DISKLESS") => Cell::toned(state, Tone::Good),
        "Client" => Cell::toned(state, Tone::Good),
        // A disk was there and is not any more.
        "Diskless" => Cell::toned(state, Tone::Bad),
        "Inconsistent" | "Failed" => Cell::toned(sync_progress(state, volume), Tone::Bad),
        "Outdated" | "Consistent" | "Attaching" | "Detaching" | "Negotiating" => Cell::toned(sync_progress(state, volume), Tone::Warn),
        other => Cell::toned(other, Tone::Warn),
    }
}

/// The disk state with the progress of a running resync to it.
fn sync_progress(state: &str, volume: &Value) -> String {
    let done = volume
        .get("state")
        .and_then(|state| state.get("replication_states"))
        .and_then(Value::as_object)
        .and_then(|peers| peers.values().find(|peer| text(peer, "replication_state") == "SyncTarget"))
        .and_then(|peer| peer.get("done_percentage"))
        .and_then(Value::as_f64);
    match done {
        Some(done) => format!("SyncTarget({done:.2}%)"),
        None => state.to_owned(),
    }
}

/// A resource's state: that of its worst volume.
pub fn resource(resource: &Value) -> Cell {
    let rank = |tone: Tone| match tone {
        Tone::Plain | Tone::Dim => 0,
        Tone::Good => 1,
        Tone::Warn => 2,
        Tone::Bad => 3,
    };
    let volumes = items(resource, "volumes").iter().map(|one| volume(resource, one));
    volumes.reduce(|a, b| if rank(b.tone) > rank(a.tone) { b } else { a }).unwrap_or_else(|| volume(resource, &Value::Null))
}

/// Whether the device is open: `InUse`, `Unused`, or nothing where nobody knows.
pub fn usage(resource: &Value) -> Cell {
    match resource.get("state").and_then(|state| state.get("in_use")).and_then(Value::as_bool) {
        Some(true) => Cell::toned("InUse", Tone::Good),
        Some(false) => "Unused".into(),
        None => Cell::default(),
    }
}

/// Whether all peers are connected; else the missing ones by state.
pub fn connections(resource: &Value) -> Cell {
    let drbd = resource.get("layer_object").and_then(|layer| layer.get("drbd"));
    if resource.get("state").is_none() || drbd.is_none() {
        return Cell::default();
    }
    let mut broken: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    if let Some(peers) = drbd.and_then(|drbd| drbd.get("connections")).and_then(Value::as_object) {
        for (peer, connection) in peers {
            if connection.get("connected").and_then(Value::as_bool) != Some(true) {
                broken.entry(text(connection, "message")).or_default().push(peer);
            }
        }
    }
    if broken.is_empty() {
        return Cell::toned("Ok", Tone::Good);
    }
    let parts: Vec<String> = broken.iter().map(|(state, peers)| format!("{state}({})", peers.join(","))).collect();
    Cell::toned(parts.join(","), Tone::Bad)
}

/// How replication to the peers stands: `Established(2)`, or each peer that is not there.
pub fn replication(volume: &Value) -> Cell {
    let Some(peers) = volume.get("state").and_then(|state| state.get("replication_states")).and_then(Value::as_object) else {
        return Cell::default();
    };
    let established = peers.values().filter(|peer| text(peer, "replication_state") == "Established").count();
    if established == peers.len() {
        return if established == 0 { Cell::default() } else { Cell::toned(format!("Established({established})"), Tone::Good) };
    }
    let parts: Vec<String> = peers
        .iter()
        .filter(|(_, peer)| text(peer, "replication_state") != "Established")
        .map(|(name, peer)| match peer.get("done_percentage").and_then(Value::as_f64) {
            Some(done) => format!("{name}: {}({done:.2}%)", text(peer, "replication_state")),
            None => format!("{name}: {}", text(peer, "replication_state")),
        })
        .collect();
    Cell::toned(parts.join("\n"), Tone::Warn)
}

/// Where a property keeps the disk detached: the origins of its value, such as `R, N`.
fn skip_disk(resource: &Value) -> Option<String> {
    let effective = resource.get("effective_props")?.get("DrbdOptions/SkipDisk")?;
    let on = |entry: &Value| text(entry, "value").eq_ignore_ascii_case("true");
    if !on(effective) {
        return None;
    }
    let others = items(effective, "other").iter().filter(|entry| on(entry));
    let origins: Vec<&str> =
        std::iter::once(effective).chain(others).map(|entry| text(entry, "type")).filter(|kind| !kind.is_empty()).collect();
    Some(origins.join(", "))
}

/// The part of a `ret_code` that is the number of what happened.
const NUMBER: u64 = 0x7fff;

/// Whether the controller attached an entry with this code to the object.
fn is_told(value: &Value, code: Code) -> bool {
    let number = |report: &Value| report.get("ret_code").and_then(Value::as_i64).unwrap_or_default().cast_unsigned() & NUMBER;
    items(value, "reports").iter().any(|report| number(report) == code.number())
}

/// Whether the controller attached an error to the object.
pub fn has_errors(value: &Value) -> bool {
    items(value, "reports").iter().any(|report| {
        let code = report.get("ret_code").and_then(Value::as_i64).unwrap_or_default();
        berth_client::Reply { ret_code: code, ..berth_client::Reply::default() }.severity() == berth_client::Severity::Error
    })
}

/// The minor number of a volume's DRBD device.
pub fn minor(volume: &Value) -> String {
    items(volume, "layer_data_list")
        .iter()
        .chain(items(volume, "layer_data"))
        .filter(|layer| text(layer, "type") == "DRBD")
        .filter_map(|layer| layer.get("data"))
        .find_map(|data| data.get("drbd_volume_definition").and_then(|d| count(d, "minor_number")).or_else(|| count(data, "minor_number")))
        .map(|minor| minor.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Cell, connections, replication, volume};

    fn state_of(resource: Value) -> String {
        volume(&resource, &resource["volumes"][0]).text
    }

    fn drbd(flags: &[&str], disk: &str) -> Value {
        json!({"flags": flags, "state": {}, "layer_object": {"type": "DRBD", "children": [{"type": "STORAGE"}]},
               "volumes": [{"state": {"disk_state": disk}}]})
    }

    #[test]
    fn what_was_detached_by_hand_is_not_called_created() {
        let with = |code: i64| {
            json!({"state": {}, "layer_object": {"type": "STORAGE"},
                   "volumes": [{"reports": [{"ret_code": code, "message": "Not served: detached by hand on alpha"}]}]})
        };
        let warning = (2_u64 << 62 | 1018).cast_signed();
        assert_eq!(state_of(with(warning)), "INACTIVE (by hand)");
        assert_eq!(state_of(with(warning - 1)), "Created", "another warning");
        assert_eq!(state_of(with((3_u64 << 62 | 1018).cast_signed())), "Error");
    }

    #[test]
    fn words_of_states() {
        assert_eq!(state_of(drbd(&[], "UpToDate")), "UpToDate");
        assert_eq!(state_of(drbd(&["DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER"], "Diskless")), "TieBreaker");
        assert_eq!(state_of(drbd(&["DISKLESS"], "Diskless")), "Diskless");
        assert_eq!(state_of(drbd(&["DELETE"], "UpToDate")), "DELETING");
        assert_eq!(state_of(drbd(&["INACTIVE"], "")), "INACTIVE");
        assert_eq!(state_of(drbd(&[], "")), "Unknown");
        assert_eq!(state_of(drbd(&["EVACUATE"], "UpToDate")), "UpToDate, Evacuating");
        assert_eq!(
            state_of(json!({"layer_object": {"type": "STORAGE"}, "state": {}, "volumes": [{"flags": ["RESIZE"]}]})),
            "Resizing, Created"
        );
        assert_eq!(state_of(json!({"layer_object": {"type": "STORAGE"}, "volumes": [{}]})), "Unknown");
        let mut skipped = drbd(&[], "Diskless");
        skipped["effective_props"] =
            json!({"DrbdOptions/SkipDisk": {"type": "R", "value": "True", "other": [{"type": "N", "value": "True"}]}});
        assert_eq!(state_of(skipped), "Diskless, SkipDisk (R, N)");
    }

    #[test]
    fn what_is_unknown_says_since_when() {
        let since = json!({"unknown_since": "2020-01-02T12:04:05.123Z", "reason": "away"});
        let begins = |cell: Cell, text: &str| assert!(cell.text.starts_with(text) && cell.text.ends_with(')'), "{}", cell.text);
        let mut resource = drbd(&[], "UpToDate");
        resource["berth"] = since.clone();
        begins(super::resource(&resource), "Unknown (since 2020-01-0");
        begins(super::pool(&json!({"berth": since})), "Unknown (since 2020-01-0");
        let cell = super::node(&json!({"connection_status": "OFFLINE", "berth": since})).text;
        assert!(cell.starts_with("OFFLINE (since 2020-01-0") && cell.ends_with(")\naway"), "{cell}");
        let long = "The satellite runs, but can take no plan: its data folder is full. Make room.";
        let cell = super::node(
            &json!({"connection_status": "FULL_SYNC_FAILED", "berth": {"unknown_since": "2020-01-02T12:04:05Z", "reason": long}}),
        )
        .text;
        let lines: Vec<&str> = cell.lines().skip(1).collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.len() <= 50) && lines.join(" ") == long, "{cell}");
        let seen = json!({"seen": "2020-01-02T12:04:05.123Z"});
        assert_eq!(super::node(&json!({"connection_status": "ONLINE", "berth": seen})).text, "Online");
        assert_eq!(super::pool(&json!({"berth": seen})).text, "Ok");
        resource["berth"] = seen;
        assert_eq!(super::resource(&resource).text, "UpToDate");
        // What is being deleted is, whether its node is there or not.
        let mut leaving = drbd(&["DELETE"], "");
        leaving["berth"] = since;
        assert_eq!(super::resource(&leaving).text, "DELETING");
    }

    #[test]
    fn peers() {
        let resource = |connected: bool| {
            json!({"state": {}, "layer_object": {"type": "DRBD", "drbd": {"connections":
                {"n2": {"connected": connected, "message": "StandAlone"}, "n3": {"connected": true, "message": "Connected"}}}}})
        };
        assert_eq!(connections(&resource(true)).text, "Ok");
        assert_eq!(connections(&resource(false)).text, "StandAlone(n2)");
        assert_eq!(connections(&json!({"state": {}, "layer_object": {"type": "STORAGE"}})).text, "");
        let volume = json!({"state": {"replication_states": {"n2": {"replication_state": "SyncTarget", "done_percentage": 12.341}}}});
        assert_eq!(replication(&volume).text, "n2: SyncTarget(12.34%)");
    }
}
