//! A request as a line for the shell.

use berth_client::{Call, Endpoint};

/// `curl -X POST -H 'Content-Type: application/json' -d '{…}' http://…`
pub fn line(call: &Call, endpoint: &Endpoint) -> String {
    let mut out = format!("curl -X {}", call.method);
    if let Some(body) = &call.body {
        out.push_str(" -H 'Content-Type: application/json' -d ");
        out.push_str(&quoted(&body.to_string()));
    }
    out.push(' ');
    out.push_str(&quoted_if_needed(&format!("{}{}", endpoint.base(), call.target())));
    out
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn quoted_if_needed(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:.-_%~".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { quoted(text) }
}

#[cfg(test)]
mod tests {
    use berth_client::{Call, Endpoint};

    use super::line;

    #[test]
    fn the_shell_gets_what_is_sent() {
        let endpoint = Endpoint::parse("alice").expect("parses");
        assert_eq!(line(&Call::get(&["nodes"]).query("nodes", "a"), &endpoint), "curl -X GET 'http://alice:3370/v1/nodes?nodes=a'");
        let call = Call::put(&["x"]).body(serde_json::json!({"k": "it's"}));
        assert_eq!(
            line(&call, &endpoint),
            r#"curl -X PUT -H 'Content-Type: application/json' -d '{"k":"it'\''s"}' http://alice:3370/v1/x"#
        );
    }
}
