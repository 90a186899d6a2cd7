use berth_model::access::Caller;

use super::*;
use crate::testkit::World;

fn digest(letter: &str) -> String {
    letter.repeat(64)
}

fn create(letter: &str, role: Option<&str>, expires_at: Option<&str>, ip_filter: Option<&str>) -> Command {
    Command::CreateToken {
        token_sha256: digest(letter),
        description: Some("ci".into()),
        expires_at: expires_at.map(Into::into),
        ip_filter: ip_filter.map(Into::into),
        role: role.map(Into::into),
    }
}

fn initialize(only_satellites: bool) -> Command {
    Command::InitializeTokens { token_sha256: digest("a"), description: None, only_satellites, no_https: false }
}

fn code(world: &mut World, command: &Command) -> u16 {
    let decision = world.give(command);
    let replies = match decision.result {
        Ok(applied) => applied.replies,
        Err(refused) => refused.replies,
    };
    replies[0].code.number() as u16
}

fn revoke(id: &str) -> Command {
    Command::RevokeToken { id: id.into() }
}

#[test]
fn days_are_those_of_the_calendar() {
    for (text, ms) in [
        ("1970-01-01", 0),
        ("2000-02-29T23:59:59Z", 951_782_400_000),
        ("2026-11-21", 1_795_219_200_000),
        ("2099-12-31T10:00:00Z", 4_102_358_400_000),
    ] {
        assert_eq!(start_of_day(text).unwrap(), Timestamp(ms), "{text}");
    }
    for text in
        ["tomorrow", "", "2026-02-29", "2026-13-01", "2026-00-01", "2026-01-00", "26-01-01", "2026-1-1", "2026-01-011", "２026-01-01"]
    {
        assert!(start_of_day(text).is_err(), "{text}");
    }
}

#[test]
fn a_token_that_is_over_before_it_begins_is_told_so() {
    let mut world = World::of("");
    let mut details = |expires| match world.give(&create("b", None, expires, None)).result {
        Ok(applied) => applied.replies[0].details.clone(),
        Err(refused) => panic!("{refused:?}"),
    };
    assert!(details(Some("1970-01-01")).contains("has ended already"));
    for later in [Some("2099-01-01"), None] {
        assert!(!details(later).contains("ended"));
    }
}

#[test]
fn tokens_are_asked_for_once_somebody_said_so_and_one_exists() {
    let mut world = World::of("");
    assert!(!asked_for(&world.cluster));
    assert_eq!(code(&mut world, &initialize(true)), 3001, "nothing to do for satellites");
    assert!(!asked_for(&world.cluster));
    assert_eq!(code(&mut world, &initialize(false)), 1);
    assert!(asked_for(&world.cluster) && says_yes(&world.cluster, AUTO_HTTPS));
    assert_eq!(code(&mut world, &initialize(false)), 3001);
    assert_eq!(code(&mut world, &initialize(true)), 3);
    let token = bearer(&world.cluster, &digest("a"), None, Timestamp(5)).unwrap();
    assert_eq!((token.id, token.caller()), (1, Caller::new("token:1", Role::Admin)));
}

#[test]
fn wrong_expired_revoked_and_foreign_tokens_let_nobody_in() {
    let mut world = World::of("");
    let here: IpAddr = "192.0.2.7".parse().unwrap();
    for (command, expected) in [
        (create("a", None, Some("2001-01-01"), None), 1),
        (create("b", Some("viewer"), None, Some("192.0.2.7")), 1),
        (create("c", Some("operator"), Some("2099-12-31"), Some("")), 1),
        (create("d", None, Some("tomorrow"), None), 230),
        (create("d", None, None, Some("300.0.0.1")), 230),
        (create("d", Some("king"), None, None), 230),
    ] {
        assert_eq!(code(&mut world, &command), expected, "{command:?}");
    }
    assert_eq!(world.cluster.tokens.len(), 3);
    let now = Timestamp(1_800_000_000_000);
    let who = |world: &World, letter: &str, peer| bearer(&world.cluster, &digest(letter), peer, now).map(|token| token.role);
    assert_eq!(who(&world, "a", Some(here)), None, "expired");
    assert_eq!(who(&world, "b", Some(here)), Some(Role::Viewer));
    assert_eq!(who(&world, "b", Some("192.0.2.8".parse().unwrap())), None, "from elsewhere");
    assert_eq!(who(&world, "b", None), None, "from nobody knows where");
    assert_eq!(who(&world, "c", Some(here)), Some(Role::Operator));
    assert_eq!(bearer(&world.cluster, "", Some(here), now), None);
    let off = Command::ModifyToken { id: "3".into(), description: None, ip_filter: None, is_active: Some(false), role: None };
    assert_eq!(code(&mut world, &off), 3);
    assert_eq!(who(&world, "c", Some(here)), None, "switched off");
    assert_eq!(code(&mut world, &revoke("2")), 2);
    assert_eq!(who(&world, "b", Some(here)), None, "revoked");
    assert_eq!(bearer(&world.cluster, "", Some(here), now), None, "a revoked one has no digest to guess");
    assert_eq!(code(&mut world, &revoke("2")), 3000);
    assert_eq!(code(&mut world, &create("e", None, None, None)), 1);
    assert_eq!(world.cluster.tokens.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4], "no number is given twice");
}

#[test]
fn what_is_changed_is_checked_like_what_is_made() {
    let mut world = World::of("");
    assert_eq!(code(&mut world, &create("a", None, None, None)), 1);
    let modify = |id: &str, description: Option<&str>, ip: Option<&str>, role: Option<&str>| Command::ModifyToken {
        id: id.into(),
        description: description.map(Into::into),
        ip_filter: ip.map(Into::into),
        is_active: None,
        role: role.map(Into::into),
    };
    assert_eq!(code(&mut world, &modify("9", Some("x"), None, None)), 300);
    assert_eq!(code(&mut world, &modify("abc", Some("x"), None, None)), 998);
    assert_eq!(code(&mut world, &modify("1", Some(" "), None, None)), 998);
    assert_eq!(code(&mut world, &modify("1", None, Some("nowhere"), None)), 230);
    assert_eq!(code(&mut world, &modify("1", Some("new"), Some("::1"), Some("viewer"))), 3);
    let token = &world.cluster.tokens[&1];
    assert_eq!((token.description.as_str(), token.address.is_some(), token.role), ("new", true, Role::Viewer));
    assert_eq!(code(&mut world, &modify("1", None, Some(""), None)), 3);
    assert!(world.cluster.tokens[&1].address.is_none());
}

#[test]
fn the_last_administrator_is_not_locked_out() {
    let mut world = World::of("");
    assert_eq!(code(&mut world, &initialize(false)), 1);
    assert_eq!(code(&mut world, &create("b", Some("viewer"), None, None)), 1);
    let demote =
        Command::ModifyToken { id: "1".into(), description: None, ip_filter: None, is_active: None, role: Some("operator".into()) };
    for command in [revoke("1"), demote] {
        assert_eq!(code(&mut world, &command), 230, "{command:?}");
    }
    assert_eq!(code(&mut world, &revoke("2")), 2);
    assert_eq!(code(&mut world, &create("c", None, None, None)), 1);
    assert_eq!(code(&mut world, &revoke("1")), 2);
    assert!(asked_for(&world.cluster));
}
