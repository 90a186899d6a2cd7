//! What must not be shown: which names stand for secrets, and documents and texts without them.
//!
//! One rule for everything that leaves the controller for somebody else's eyes: support bundles, `why`, `audit`, dry runs, reports, the log.
//! The database, its export (a backup) and LINSTOR's own documents keep what they hold.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// A text that is shown nowhere: documents and logs that it is part of hold [`HIDDEN`] in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// Parts of names whose values are secrets: in lower case, without `-`, `_` and spaces.
const WORDS: [&str; 9] = ["secret", "passphrase", "password", "passwd", "token", "credential", "privatekey", "apikey", "accesskey"];

/// Names of members that say of what another member of the same object is the value.
const LABELS: [&str; 3] = ["key", "name", "field"];
/// Members that hold the value.
const VALUES: [&str; 3] = ["value", "before", "after"];

/// Whether a name of a member, a property or a key stands for a secret, e.g. `DrbdOptions/Net/shared-secret`, `API_Key`, `db-password`.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let letters = |c: &char| !matches!(c, '-' | '_' | ' ');
    let name: String = name.chars().filter(letters).map(|c| c.to_ascii_lowercase()).collect();
    WORDS.iter().any(|word| name.contains(word))
}

/// Replaces every text that stands under a secret's name: alone, in a list, or as `value` beside a `key` or `name` that is one.
///
/// Numbers and truth values are no secrets, an empty text is none, and what is an object is looked at by its own names: a document that was
/// readable stays readable.
pub fn hide(document: &mut Value) {
    match document {
        Value::Object(members) => {
            let labelled = LABELS.iter().any(|label| members.get(*label).and_then(Value::as_str).is_some_and(is_secret));
            for (name, member) in members {
                if is_secret(name) || (labelled && VALUES.contains(&name.as_str())) { hide_texts(member) } else { hide(member) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Replaces the texts of a value that is a secret.
fn hide_texts(value: &mut Value) {
    match value {
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => HIDDEN.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(hide_texts),
        Value::Object(_) => hide(value),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a JSON text can have something to hide; almost none has, and what has not need not be read.
#[must_use]
pub fn may_have_secrets(json: &str) -> bool {
    // A member may be spelt with escapes, which nobody does without a reason.
    is_secret(json) || json.contains("\\u")
}

/// A text for people (a message of a panic, of a tool) without the values that stand behind a secret's name: `password=…`, `"token": "…"`.
/// As good as a look at a text can be; a secret that no name announces stays.
#[must_use]
pub fn hide_in_text(text: &str) -> Cow<'_, str> {
    static PAIR: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let words = WORDS.map(|word| word.chars().map(String::from).collect::<Vec<_>>().join("[-_ ]?")).join("|");
        let value = r#"\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|[^\s,;}\])"']+"#;
        Regex::new(&format!(r#"(?i)((?:{words})[\w./-]*\\?["']?\s*(?:=>|[:=])\s*(?:Some\()?)(?:{value})"#)).ok()
    });
    match &*PAIR {
        Some(pair) if is_secret(text) => pair.replace_all(text, format!("${{1}}{HIDDEN}")),
        Some(_) | None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn names_of_secrets_are_known_in_every_spelling() {
        for name in
            ["DrbdOptions/Net/shared-secret", "API_Key", "api-key", "db-password", "Private Key", "passphrases", "Aux/x.token.y", "PASSWD"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["Aux/zone", "pass", "key", "to/ken", "port", ""] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn what_was_readable_stays_readable() {
        let mut document = json!({
            "copies": {"TOKEN-NODE": {"size_kib": 7, "name": "token-node"}}, "password_set": true, "secret": "", "retries_of_token": 3,
            "props": {"Aux/Password": "hush", "Aux/zone": "a"}, "tokens": ["hush", {"secret": "hush", "n": 1}],
            "list": [{"key": "db-password", "value": "hush"}, {"field": "props.api-key", "before": "hush", "after": null}],
        });
        hide(&mut document);
        let expected = json!({
            "copies": {"TOKEN-NODE": {"size_kib": 7, "name": "token-node"}}, "password_set": true, "secret": "", "retries_of_token": 3,
            "props": {"Aux/Password": HIDDEN, "Aux/zone": "a"}, "tokens": [HIDDEN, {"secret": HIDDEN, "n": 1}],
            "list": [{"key": "db-password", "value": HIDDEN}, {"field": "props.api-key", "before": HIDDEN, "after": null}],
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn texts_lose_what_stands_behind_a_name() {
        for text in [
            "password=hush",
            "curl --token hush-is-not-announced-by-a-colon --password: 'hush hush'",
            r#"called with {"db-password": "hush, \\ hush", "zone": "a"}"#,
            r#"DrbdDefinition { secret: "hush", port: None }"#,
            r#"{ api_key: Some("hush") }"#,
            r#""{\"shared-secret\":\"hush\"}""#,
        ] {
            let shown = hide_in_text(text);
            assert!(shown.contains(HIDDEN) && !shown.replace("--token hush", "").contains("hush"), "{shown}");
        }
        for text in ["the token is missing", "all is well", "zone: a"] {
            assert_eq!(hide_in_text(text), text);
        }
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-zA-Z/._-]{1,6}",
            (
                "[a-z/]{0,4}",
                prop::sample::select(vec!["Secret", "pass-phrase", "PASSWORD", "passwd", "Token", "Credential", "private_key", "API-Key"]),
                "[a-z/]{0,4}"
            )
                .prop_map(|(a, word, b)| format!("{a}{word}{b}")),
        ]
    }

    /// Documents in which a text is `hush…` where, and only where, it stands under a secret's name.
    fn document() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i32>().prop_map(Value::from), Just(json!("plain"))];
        let any = leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        any.prop_map(|mut value| {
            fill(&mut value, false);
            value
        })
    }

    fn fill(value: &mut Value, secret: bool) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, member)| fill(member, is_secret(name))),
            Value::Array(items) => items.iter_mut().for_each(|item| fill(item, secret)),
            Value::String(text) if secret => "hush-hush".clone_into(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    proptest! {
        #[test]
        fn no_text_under_a_secrets_name_is_left(document in document()) {
            let mut shown = document.clone();
            hide(&mut shown);
            let text = shown.to_string();
            prop_assert!(!text.contains("hush"), "{text}");
            // Nothing else is touched, and twice is once.
            prop_assert_eq!(text.matches(HIDDEN).count(), document.to_string().matches("hush-hush").count());
            prop_assert_eq!(text.matches("plain").count(), document.to_string().matches("plain").count());
            prop_assert!(shown == document || may_have_secrets(&document.to_string()));
            let once = shown.clone();
            hide(&mut shown);
            prop_assert_eq!(once, shown);
        }
    }
}
