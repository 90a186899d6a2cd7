use std::collections::BTreeMap;

use axum::http::HeaderValue;
use berth_engine::tokens::ENABLED;
use berth_model::access::{Role, Token};
use berth_model::change::{Change, Object};
use berth_model::ids::{Id, kind};

use super::*;
use crate::config::Ldap;

const NOW: Timestamp = Timestamp(1_000_000);

fn cluster(enabled: bool, tokens: Vec<Token>) -> Cluster {
    let mut cluster = Cluster::empty(Id::<kind::Cluster>::from_uuid(uuid::Uuid::from_u128(1)));
    let mut controller = (*cluster.controller).clone();
    if enabled {
        controller.props.insert_internal(ENABLED, "True");
    }
    cluster.fold(&[Change::Put(Object::Controller(controller))]);
    for token in tokens {
        cluster.fold(&[Change::Put(Object::Token(token))]);
    }
    cluster
}

fn token(id: u64, text: &str) -> Token {
    Token {
        id,
        token_sha256: digest(text),
        description: "x".to_owned(),
        role: Role::Operator,
        active: true,
        expires: Some(Timestamp(NOW.0 + 1)),
        address: None,
        created: Timestamp(1),
        revoked: None,
    }
}

fn gate(ldap: bool, clients: &[(&str, Role)]) -> Gate {
    // Nobody listens there: whoever asks the directory gets no answer.
    let ldap = ldap.then(|| Ldap {
        uri: "ldap://127.0.0.1:1".to_owned(),
        dn: "uid={user}".to_owned(),
        search_base: String::new(),
        search_filter: String::new(),
        role: Role::Admin,
        operator_filter: String::new(),
        admin_filter: String::new(),
        public: None,
        starttls: false,
        ca: None,
    });
    let clients: BTreeMap<String, Role> = clients.iter().map(|(name, role)| ((*name).to_owned(), *role)).collect();
    Gate::new(SignIn { ldap, clients, ignore_tokens: false }).unwrap()
}

async fn who(gate: &Gate, cluster: &Cluster, path: &str, given: Option<&str>, client: Option<&str>) -> Result<String, NotIn> {
    let authorization = given.map(|given| HeaderValue::from_str(given).unwrap());
    let transport = Transport { tls: client.is_some(), client: client.map(str::to_owned), inside: None };
    let pass = Pass { path: path.to_owned(), authorization, transport, peer: None };
    gate.who(cluster, &pass, NOW).await.map(|caller| format!("{} {}", caller.name, caller.role))
}

#[tokio::test]
async fn nobody_is_asked_until_somebody_says_so() {
    let gate = gate(false, &[]);
    for (cluster, given) in
        [(cluster(false, vec![token(1, "t")]), None), (cluster(true, Vec::new()), None), (cluster(false, Vec::new()), Some("Bearer x"))]
    {
        assert_eq!(who(&gate, &cluster, "/v1/nodes", given, None).await.unwrap(), "PUBLIC admin");
    }
}

#[tokio::test]
async fn a_token_lets_in_whoever_carries_it_and_nobody_else() {
    let gate = gate(false, &[]);
    let late = Token { expires: Some(NOW), ..token(2, "late") };
    let off = Token { active: false, ..token(3, "off") };
    let revoked = Token { token_sha256: String::new(), revoked: Some(NOW), active: false, ..token(4, "gone") };
    let bound = Token { address: Some("192.0.2.1".parse().unwrap()), ..token(5, "bound") };
    let cluster = cluster(true, vec![token(1, "good"), late, off, revoked, bound]);
    assert_eq!(who(&gate, &cluster, "/v1/nodes", Some("bearer good"), None).await.unwrap(), "token:1 operator");
    for given in [
        None,
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer bad"),
        Some("Bearer late"),
        Some("Bearer off"),
        Some("Bearer gone"),
        Some("Bearer bound"),
        Some("Basic Z29vZDpnb29k"),
        Some("good"),
    ] {
        assert_eq!(who(&gate, &cluster, "/v1/nodes", given, None).await, Err(NotIn::Token), "{given:?}");
    }
    assert_eq!(who(&gate, &cluster, "/v1/controller/version", None, None).await, Err(NotIn::Token));
    for path in ["/", "/health", "/ui/x.js"] {
        assert_eq!(who(&gate, &cluster, path, Some("Bearer bad"), None).await.unwrap(), "PUBLIC viewer", "{path}");
    }
    assert_eq!(who(&gate, &cluster, "/uix", None, None).await, Err(NotIn::Token));
}

#[tokio::test]
async fn an_api_whose_tokens_have_all_ended_stays_closed_but_for_its_keeper() {
    let late = Token { expires: Some(NOW), ..token(1, "late") };
    let cluster = cluster(true, vec![late]);
    assert_eq!(who(&gate(false, &[]), &cluster, "/v1/nodes", None, None).await, Err(NotIn::Token));
    let kept = Gate::new(SignIn { ignore_tokens: true, ..SignIn::default() }).unwrap();
    assert_eq!(who(&kept, &cluster, "/v1/nodes", None, None).await.unwrap(), "PUBLIC admin");
}

#[tokio::test]
async fn a_certificate_signs_in_whom_the_list_names() {
    let gate = gate(false, &[("alice", Role::Admin), ("grafana", Role::Viewer)]);
    let cluster = cluster(true, vec![token(1, "good")]);
    assert_eq!(who(&gate, &cluster, "/v1/nodes", None, Some("grafana")).await.unwrap(), "cert:grafana viewer");
    assert_eq!(who(&gate, &cluster, "/v1/nodes", Some("Bearer good"), Some("grafana")).await.unwrap(), "token:1 operator");
    assert_eq!(who(&gate, &cluster, "/v1/nodes", Some("Bearer bad"), Some("grafana")).await, Err(NotIn::Token));
    assert_eq!(who(&gate, &cluster, "/v1/nodes", Some("Bearer good"), Some("mallory")).await, Err(NotIn::Unlisted("mallory".to_owned())));
    // Without a list a certificate opens the connection, and no more.
    assert_eq!(who(&super::tests::gate(false, &[]), &cluster, "/v1/nodes", None, Some("alice")).await, Err(NotIn::Token));
}

#[tokio::test]
async fn a_directory_is_asked_for_names_and_passwords_alone() {
    let gate = gate(true, &[]);
    let empty = cluster(false, Vec::new());
    assert_eq!(who(&gate, &empty, "/v1/nodes", None, None).await, Err(NotIn::NoPassword));
    assert_eq!(who(&gate, &empty, "/v1/nodes", Some("Bearer x"), None).await, Err(NotIn::OtherScheme));
    assert_eq!(who(&gate, &empty, "/v1/nodes", Some("Digest x"), None).await, Err(NotIn::OtherScheme));
    assert_eq!(who(&gate, &empty, "/v1/nodes", Some("Basic !!"), None).await, Err(NotIn::WrongPassword));
    // "alice:" and ":x": a bind without a name or a password is one of nobody.
    for nobody in ["Basic YWxpY2U6", "Basic Ong="] {
        assert_eq!(who(&gate, &empty, "/v1/nodes", Some(nobody), None).await, Err(NotIn::WrongPassword));
    }
    assert!(matches!(who(&gate, &empty, "/v1/nodes", Some("Basic YWxpY2U6eA=="), None).await, Err(NotIn::NoDirectory(_))));
    assert_eq!(who(&gate, &empty, "/v1/controller/version", None, None).await.unwrap(), "PUBLIC viewer");
    let both = cluster(true, vec![token(1, "good")]);
    assert_eq!(who(&gate, &both, "/v1/nodes", Some("Bearer good"), None).await.unwrap(), "token:1 operator");
}

#[test]
fn digests_are_those_of_sha_256() {
    assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
