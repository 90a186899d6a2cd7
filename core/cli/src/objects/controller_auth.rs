//! `controller auth`: who gets in with an API token.

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value};

use super::common::{self, look, unknown, verb};
use crate::plan::{Plan, View};
use crate::words::{self, BadUsage, flag, leaf, must, need, object, one, opt, put, set};

const TOKENS: [&str; 3] = ["controller", "auth", "token"];
const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

pub fn command() -> Command {
    let role = || opt("role", "What its bearer may do").value_name("ROLE").value_parser(ROLES);
    object("auth", &["a"], "API tokens: who gets in, and with which role")
        .subcommand(
            leaf("initialize", &["init"], "Make the first token, and ask every client for one from then on", "controller auth initialize")
                .arg(opt("description", "What the token is for; init-client if not given").value_name("TEXT"))
                .arg(flag("no-https", "Do not turn HTTPS on")),
        )
        .subcommand(
            leaf(
                "create",
                &["c"],
                "Make a token; it is shown this once",
                "controller auth create backup --role operator --expires 2027-12-31",
            )
            .arg(need("DESCRIPTION", "Who or what carries it"))
            .arg(opt("expires", "First day on which it is worth nothing").value_name("YYYY-MM-DD"))
            .arg(opt("ip-filter", "The only address that it may be used from").value_name("IP"))
            .arg(role()),
        )
        .subcommand(common::pastable(leaf("list", &["l"], "List the tokens, without their texts", "controller auth list")))
        .subcommand(
            leaf("modify", &["m"], "Change a token, or switch it off and on", "controller auth modify 3 --deactivate")
                .arg(need("ID", "Number of the token"))
                .arg(opt("description", "Who or what carries it").value_name("TEXT"))
                .arg(opt("ip-filter", "The only address that it may be used from; an empty text: any").value_name("IP"))
                .arg(role())
                .arg(flag("activate", "Let its bearer in again").conflicts_with("deactivate"))
                .arg(flag("deactivate", "Do not let its bearer in for now")),
        )
        .subcommand(
            leaf("revoke", &["r", "delete"], "Make a token worthless for good", "controller auth revoke 3")
                .arg(need("ID", "Number of the token")),
        )
}

pub fn plan(matches: &ArgMatches) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let mut body = Map::new();
    let id = || words::to_number(must(m, "ID"), "ID", 1..=u64::MAX).map(|id| id.to_string());
    Ok(match word {
        "initialize" => {
            put(&mut body, "only_satellites", Some(false));
            put(&mut body, "description", one(m, "description"));
            put(&mut body, "no_https", Some(set(m, "no-https")));
            Plan::write(Call::post(&["controller", "auth", "initialize-token-auth"]).body(Value::Object(body)))
        }
        "create" => {
            put(&mut body, "description", Some(must(m, "DESCRIPTION")));
            put(&mut body, "expires_at", one(m, "expires"));
            put(&mut body, "ip_filter", one(m, "ip-filter"));
            put(&mut body, "role", one(m, "role"));
            Plan::write(Call::post(&TOKENS).body(Value::Object(body)))
        }
        "list" => Plan::show(Call::get(&TOKENS), View::Tokens, look(m)),
        "modify" => {
            put(&mut body, "description", one(m, "description"));
            put(&mut body, "ip_filter", one(m, "ip-filter"));
            put(&mut body, "role", one(m, "role"));
            let active = match (set(m, "activate"), set(m, "deactivate")) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                (false, false) => None,
            };
            put(&mut body, "is_active", active);
            if body.is_empty() {
                return Err(BadUsage::new(
                    "nothing to change; give --description, --ip-filter, --role, --activate or --deactivate".to_owned(),
                ));
            }
            Plan::write(Call::put(&["controller", "auth", "token", &id()?]).body(Value::Object(body)))
        }
        "revoke" => Plan::write(Call::delete(&["controller", "auth", "token", &id()?])),
        _ => return Err(unknown("controller auth", word)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("auth").chain(line.split_whitespace());
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        plan(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn words_become_requests() {
        for (line, method, target, body) in [
            ("init --no-https", "POST", "/v1/controller/auth/initialize-token-auth", r#"{"no_https":true,"only_satellites":false}"#),
            (
                "create ci --role viewer --expires 2027-01-31",
                "POST",
                "/v1/controller/auth/token",
                r#"{"description":"ci","expires_at":"2027-01-31","role":"viewer"}"#,
            ),
            ("modify 3 --deactivate", "PUT", "/v1/controller/auth/token/3", r#"{"is_active":false}"#),
            ("revoke 3", "DELETE", "/v1/controller/auth/token/3", ""),
        ] {
            let Ok(Plan::Write(calls)) = planned(line) else { panic!("{line}") };
            let shown = calls[0].body.as_ref().map(ToString::to_string).unwrap_or_default();
            assert_eq!((calls[0].method.as_str(), calls[0].target().as_str(), shown.as_str()), (method, target, body), "{line}");
        }
        for line in ["modify 3", "revoke x", "create ci --role king", "modify 3 --activate --deactivate", "create"] {
            assert!(planned(line).is_err(), "{line}");
        }
    }
}
