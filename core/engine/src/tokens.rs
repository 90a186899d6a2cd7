//! API tokens: who is let in by what they carry (contract 4.2).
//!
//! The text of a token never comes here: whoever asks for one draws it, and gives its digest.

use std::net::IpAddr;

use berth_model::access::{Role, Token};
use berth_model::change::{Key, Object};
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::props::PropChange;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;

use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::lookup;
use crate::resources::misdirected;

/// The controller's property that has tokens asked for.
pub const ENABLED: &str = "Auth/TokenAuthenticationEnabled";
/// The controller's property that turns HTTPS on with a certificate of the controller's own making.
pub const AUTO_HTTPS: &str = "REST/AutoHTTPS";
/// Tokens that are not revoked, at most: each request is compared with all of them.
const MOST_TOKENS: usize = 1000;
/// Longest description, in characters.
const LONGEST_DESCRIPTION: usize = 255;
/// Digits of a SHA-256 digest in hexadecimal.
const DIGEST_LEN: usize = 64;
/// What the first token is for where nobody says it.
const FIRST: &str = "init-client";

/// Whether a yes-or-no property of the controller says yes.
#[must_use]
pub fn says_yes(cluster: &Cluster, key: &str) -> bool {
    cluster.controller.props.get(key).is_some_and(|value| ["true", "yes", "1"].contains(&value.to_ascii_lowercase().as_str()))
}

/// Whether callers must carry a token. As long as no token was ever made there is nothing to ask for; from then on an API whose tokens have
/// all ended stays closed instead of opening to everybody.
#[must_use]
pub fn asked_for(cluster: &Cluster) -> bool {
    says_yes(cluster, ENABLED) && !cluster.tokens.is_empty()
}

/// The token with this digest, if its bearer is let in from `peer` at `now`. `peer`: `None` where the address is not known.
#[must_use]
pub fn bearer<'c>(cluster: &'c Cluster, digest: &str, peer: Option<IpAddr>, now: Timestamp) -> Option<&'c Token> {
    let token = cluster.tokens.values().find(|token| token.token_sha256 == digest && token.is_usable(now))?;
    match peer {
        Some(peer) => token.fits(peer),
        None => token.address.is_none(),
    }
    .then_some(token.as_ref())
}

/// Commands on tokens.
///
/// # Errors
/// As the operations of REST API v1 on `controller/auth`: 230 for a date, an address or a role that is none, 300 for an unknown token.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::CreateToken { token_sha256, description, expires_at, ip_filter, role } => {
            let new = New { digest: token_sha256, description: description.as_deref(), expires_at, ip_filter, role };
            create(draft, new).map(|id| {
                let over = draft.cluster.tokens.get(&id).and_then(|token| token.expires).is_some_and(|end| end <= draft.context.now);
                let ended =
                    if over { "It has ended already, so that it lets nobody in: the day on which it ends does not count. " } else { "" };
                let details = format!("{ended}{}", how_to_enable(draft));
                said(draft, Reply::new(Code::CREATED, format!("API token {id} created.")).details(details.trim_end()));
            })
        }
        Command::InitializeTokens { token_sha256, description, only_satellites, no_https } => {
            initialize(draft, token_sha256, description.as_deref(), *only_satellites, *no_https)
        }
        Command::ModifyToken { id, description, ip_filter, is_active, role } => {
            modify(draft, id, description.as_deref(), ip_filter.as_deref(), *is_active, role.as_deref())
        }
        Command::RevokeToken { id } => revoke(draft, id),
        other => Err(misdirected(other)),
    }
    .map_err(|refused| Refused { replies: refused.replies.into_iter().map(Reply::alone).collect() })
}

fn said(draft: &mut Draft<'_>, reply: Reply) {
    draft.reply(reply.alone());
}

fn how_to_enable(draft: &Draft<'_>) -> String {
    if says_yes(&draft.cluster, ENABLED) {
        String::new()
    } else {
        format!("Nobody is asked for a token yet: set the controller's property '{ENABLED}' to 'true' once every client has one.")
    }
}

/// What a token shall be.
struct New<'a> {
    digest: &'a str,
    description: Option<&'a str>,
    expires_at: &'a Option<String>,
    ip_filter: &'a Option<String>,
    role: &'a Option<String>,
}

fn create(draft: &mut Draft<'_>, new: New<'_>) -> Result<u64, Refused> {
    let description = description(new.description)?;
    let expires = new.expires_at.as_deref().filter(|text| !text.is_empty()).map(start_of_day).transpose()?;
    let address = new.ip_filter.as_deref().filter(|text| !text.is_empty()).map(address).transpose()?;
    let role = new.role.as_deref().filter(|text| !text.is_empty()).map(role).transpose()?.unwrap_or_default();
    if new.digest.len() != DIGEST_LEN || !new.digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Reply::new(Code::FAIL_IMPL_ERROR, "The new token has no digest.").correction("Report this; it is a defect.").into());
    }
    if draft.cluster.tokens.values().filter(|token| token.revoked.is_none()).count() >= MOST_TOKENS {
        return Err(Reply::new(Code::FAIL_INVLD_CONF, format!("There are {MOST_TOKENS} API tokens already."))
            .cause("Each request is compared with all of them.")
            .correction("Revoke some that nobody uses with 'linstor controller auth revoke ID'.")
            .into());
    }
    // Revoked tokens keep their numbers, and so does a record that is set aside: none is given twice.
    let mut id = draft.cluster.tokens.keys().next_back().map_or(1, |last| last.saturating_add(1));
    while lookup::unreserved(&draft.cluster, &Key::Token(id)).is_err() {
        id = id.saturating_add(1);
    }
    let token = Token {
        id,
        token_sha256: new.digest.to_ascii_lowercase(),
        description,
        role,
        active: true,
        expires,
        address,
        created: draft.context.now,
        revoked: None,
    };
    draft.put(Object::Token(token));
    Ok(id)
}

fn initialize(
    draft: &mut Draft<'_>,
    digest: &str,
    description: Option<&str>,
    only_satellites: bool,
    no_https: bool,
) -> Result<(), Refused> {
    let enabled = says_yes(&draft.cluster, ENABLED);
    if only_satellites {
        let text = "Berth's satellites need no token: the controller calls them, not they the controller.";
        let code = if enabled { Code::MODIFIED } else { Code::WARN_NO_EFFECT };
        said(draft, Reply::new(code, text));
        return Ok(());
    }
    if enabled {
        said(
            draft,
            Reply::new(Code::WARN_NO_EFFECT, "Clients are asked for a token already.")
                .correction("Make another token with 'linstor controller auth create DESCRIPTION'."),
        );
        return Ok(());
    }
    let none = None;
    let new = New { digest, description: Some(description.unwrap_or(FIRST)), expires_at: &none, ip_filter: &none, role: &none };
    let id = create(draft, new)?;
    let mut controller = (*draft.cluster.controller).clone();
    let keys = [Some(ENABLED), (!no_https).then_some(AUTO_HTTPS)];
    let props = keys.into_iter().flatten().map(|key| (key.to_owned(), "true".to_owned())).collect();
    let change = PropChange { override_props: props, ..PropChange::default() };
    controller.props = crate::change_props::judge(berth_model::props::Owner::Controller, &controller.props, &change)?.props;
    draft.put(Object::Controller(controller));
    said(
        draft,
        Reply::new(Code::CREATED, format!("API token {id} created; from now on every client needs a token."))
            .details("Keep the token: it is shown this once, and only its digest is kept.")
            .correction("Put it into /var/lib/linstor.d/auth.json as {\"token\": \"…\"} where the command line runs."),
    );
    Ok(())
}

fn modify(
    draft: &mut Draft<'_>,
    id: &str,
    description_text: Option<&str>,
    ip_filter: Option<&str>,
    is_active: Option<bool>,
    role_text: Option<&str>,
) -> Result<(), Refused> {
    let Some(token) = living(&draft.cluster, id)?.cloned() else {
        return Err(Reply::new(Code::FAIL_NOT_FOUND_NODE, format!("API token {id} does not exist."))
            .cause("It was never made, or was revoked.")
            .correction("List them with 'linstor controller auth list'.")
            .into());
    };
    lookup::unreserved(&draft.cluster, &Key::Token(token.id))?;
    let changed = Token {
        description: match description_text {
            Some(text) => description(Some(text))?,
            None => token.description.clone(),
        },
        address: match ip_filter {
            // An empty text takes the limit off.
            Some("") => None,
            Some(text) => Some(address(text)?),
            None => token.address,
        },
        active: is_active.unwrap_or(token.active),
        role: role_text.filter(|text| !text.is_empty()).map(role).transpose()?.unwrap_or(token.role),
        ..token.clone()
    };
    not_the_last(draft, &changed)?;
    said(draft, Reply::new(Code::MODIFIED, format!("API token {} changed.", token.id)));
    if changed != token {
        draft.put(Object::Token(changed));
    }
    Ok(())
}

fn revoke(draft: &mut Draft<'_>, id: &str) -> Result<(), Refused> {
    let Some(token) = living(&draft.cluster, id)?.cloned() else {
        said(
            draft,
            Reply::new(Code::WARN_NOT_FOUND, format!("API token {id} not found.")).cause("It was never made, or was revoked already."),
        );
        return Ok(());
    };
    lookup::unreserved(&draft.cluster, &Key::Token(token.id))?;
    // What nobody can use any more need not be kept, and cannot be taken into use again.
    let revoked = Token { token_sha256: String::new(), active: false, revoked: Some(draft.context.now), ..token };
    not_the_last(draft, &revoked)?;
    said(draft, Reply::new(Code::DELETED, format!("API token {} revoked.", revoked.id)));
    draft.put(Object::Token(revoked));
    Ok(())
}

/// While tokens are asked for, one that lets an administrator in stays: without it nobody could change anything about it.
fn not_the_last(draft: &Draft<'_>, changed: &Token) -> Result<(), Refused> {
    let now = draft.context.now;
    let lets_in = |token: &Token| token.role == Role::Admin && token.is_usable(now);
    let before = draft.cluster.tokens.values().any(|token| lets_in(token));
    let after = lets_in(changed) || draft.cluster.tokens.values().any(|token| token.id != changed.id && lets_in(token));
    if !asked_for(&draft.cluster) || after || !before {
        return Ok(());
    }
    Err(Reply::new(Code::FAIL_INVLD_CONF, format!("API token {} is the last one of an administrator.", changed.id))
        .cause("Clients are asked for tokens: without it nobody could change anything any more.")
        .correction(format!("Make another one first, or delete the controller's property '{ENABLED}'."))
        .into())
}

/// The token of a number that is not revoked; `None`: there is none.
fn living<'c>(cluster: &'c Cluster, text: &str) -> Result<Option<&'c Token>, Refused> {
    let id: u64 = text.parse().map_err(|_| {
        Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("'{text}' is not the number of an API token."))
            .correction("List them with 'linstor controller auth list'.")
    })?;
    Ok(cluster.tokens.get(&id).map(AsRef::as_ref).filter(|token| token.revoked.is_none()))
}

fn invalid(what: String, how: &str) -> Refused {
    Reply::new(Code::FAIL_INVLD_CONF, what).cause("The token is not made or changed.").correction(how).into()
}

fn description(text: Option<&str>) -> Result<String, Refused> {
    let text = text.map(str::trim).unwrap_or_default();
    if text.is_empty() || text.chars().count() > LONGEST_DESCRIPTION || text.chars().any(char::is_control) {
        return Err(Reply::new(Code::FAIL_UNKNOWN_ERROR, "An API token needs a description.")
            .cause(format!("It has 1 to {LONGEST_DESCRIPTION} printable characters."))
            .correction("Say in 'description' who or what carries the token.")
            .into());
    }
    Ok(text.to_owned())
}

fn role(text: &str) -> Result<Role, Refused> {
    Role::parse(text).ok_or_else(|| invalid(format!("'{text}' is not a role."), "Use viewer, operator or admin."))
}

fn address(text: &str) -> Result<IpAddr, Refused> {
    text.parse().map_err(|_| invalid(format!("'{text}' is not an IP address."), "Give one literal IPv4 or IPv6 address."))
}

/// The first moment (UTC) of the day that a text begins with, e.g. `2027-01-31` or `2027-01-31T12:00:00Z`.
fn start_of_day(text: &str) -> Result<Timestamp, Refused> {
    let bad = || invalid(format!("'{text}' begins with no date."), "Write it as 2027-01-31.");
    let day = text.get(..10).filter(|_| text.as_bytes().get(10).is_none_or(|next| !next.is_ascii_digit())).ok_or_else(bad)?;
    let mut parts = day.split('-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        part.parse::<i64>().ok()
    };
    let (year, month, date) = number(4).zip(number(2)).zip(number(2)).map(|((y, m), d)| (y, m, d)).ok_or_else(bad)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = usize::try_from(month - 1).ok().and_then(|at| lengths.get(at)).ok_or_else(bad)?;
    if !(1..=*length).contains(&date) {
        return Err(bad());
    }
    // Years count from March, so that the odd day is the last of its year; 719,468 days lie between 0000-03-01 and 1970-01-01.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + date - 1 - 719_468;
    Ok(Timestamp(days * 86_400_000))
}

#[cfg(test)]
mod tests;
