//! Asks a directory who somebody is. The only place that speaks LDAP.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_model::access::Role;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope, dn_escape, ldap_escape};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::config;

/// A directory that is there answers each question within this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Conversations with the directory at a time; others wait: guessing passwords is slow, and does not fill the directory.
const AT_ONCE: usize = 8;
/// How long a login that was right is not asked for again: clients sign in with every request.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Logins that are remembered, at most.
const MOST_REMEMBERED: usize = 1024;
/// The answer of a directory to a wrong name or password (RFC 4511).
const INVALID_CREDENTIALS: u32 = 49;
/// And to a name that it does not know.
const NO_SUCH_OBJECT: u32 = 32;

/// What the directory says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// They are who they say, with this role.
    Is(Role),
    /// They are not, or may not log in.
    IsNot,
    /// It could not be asked; why.
    Unknown(String),
}

/// A directory.
pub(crate) struct Directory {
    config: config::Ldap,
    tls: Arc<rustls::ClientConfig>,
    turns: Semaphore,
    /// Logins that were right, by a digest with a salt of this process; nothing of a password is kept.
    right: Mutex<HashMap<[u8; 32], (Instant, Role)>>,
    salt: [u8; 16],
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("uri", &self.config.uri).finish_non_exhaustive()
    }
}

impl Directory {
    /// # Errors
    /// Certificates that cannot be read; why.
    pub fn new(config: config::Ldap) -> Result<Self, String> {
        let tls = Arc::new(trusting(config.ca.as_deref())?);
        let salt = uuid::Uuid::new_v4().into_bytes();
        Ok(Self { config, tls, turns: Semaphore::new(AT_ONCE), right: Mutex::default(), salt })
    }

    /// What somebody without a login may do.
    pub fn public(&self) -> Option<Role> {
        self.config.public
    }

    /// Asks who somebody is.
    pub async fn ask(&self, user: &str, password: &str) -> Told {
        // A bind without a password is one of nobody, and always succeeds (RFC 4513, 5.1.2).
        if user.is_empty() || password.is_empty() || user.chars().any(char::is_control) {
            return Told::IsNot;
        }
        let key = self.key(user, password);
        if let Some(role) = self.remembered(&key) {
            return Told::Is(role);
        }
        let Ok(_turn) = self.turns.acquire().await else { return Told::Unknown("the controller is being stopped".to_owned()) };
        let told = match tokio::time::timeout(ANSWERS_WITHIN * 3, self.talk(user, password)).await {
            Ok(Ok(Some(role))) => Told::Is(role),
            Ok(Ok(None)) => Told::IsNot,
            Ok(Err(error)) => Told::Unknown(error.to_string()),
            Err(_) => Told::Unknown("it did not answer in time".to_owned()),
        };
        if let Told::Is(role) = told {
            self.remember(key, role);
        }
        told
    }

    async fn talk(&self, user: &str, password: &str) -> Result<Option<Role>, ldap3::LdapError> {
        let settings =
            LdapConnSettings::new().set_conn_timeout(ANSWERS_WITHIN).set_starttls(self.config.starttls).set_config(Arc::clone(&self.tls));
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &self.config.uri).await?;
        let driver = tokio::spawn(connection.drive());
        let found = self.look(&mut ldap, user, password).await;
        // The answer is there; whether the directory likes the farewell does not matter.
        drop(ldap.unbind().await);
        driver.abort();
        found
    }

    async fn look(&self, ldap: &mut Ldap, user: &str, password: &str) -> Result<Option<Role>, ldap3::LdapError> {
        let dn = self.config.dn.replace("{user}", &dn_escape(user));
        let bound = ldap.with_timeout(ANSWERS_WITHIN).simple_bind(&dn, password).await?;
        if matches!(bound.rc, INVALID_CREDENTIALS | NO_SUCH_OBJECT) {
            return Ok(None);
        }
        bound.success()?;
        if !self.config.search_filter.is_empty() && !self.fits(ldap, &self.config.search_filter, user).await? {
            return Ok(None);
        }
        for (filter, role) in [(&self.config.admin_filter, Role::Admin), (&self.config.operator_filter, Role::Operator)] {
            if !filter.is_empty() && self.fits(ldap, filter, user).await? {
                return Ok(Some(role));
            }
        }
        Ok(Some(self.config.role))
    }

    /// Whether a filter finds anybody of this name.
    async fn fits(&self, ldap: &mut Ldap, filter: &str, user: &str) -> Result<bool, ldap3::LdapError> {
        let filter = filter.replace("{user}", &ldap_escape(user));
        let found = ldap.with_timeout(ANSWERS_WITHIN).search(&self.config.search_base, Scope::Subtree, &filter, vec!["1.1"]).await?;
        if found.1.rc == NO_SUCH_OBJECT {
            return Ok(false);
        }
        let (entries, _) = found.success()?;
        Ok(!entries.is_empty())
    }

    fn key(&self, user: &str, password: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.salt);
        hash.update((user.len() as u64).to_be_bytes());
        hash.update(user.as_bytes());
        hash.update(password.as_bytes());
        hash.finalize().into()
    }

    fn remembered(&self, key: &[u8; 32]) -> Option<Role> {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(key).filter(|(since, _)| since.elapsed() < REMEMBERED).map(|(_, role)| *role)
    }

    fn remember(&self, key: [u8; 32], role: Role) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= MOST_REMEMBERED {
            right.retain(|_, (since, _)| since.elapsed() < REMEMBERED);
        }
        if right.len() < MOST_REMEMBERED {
            right.insert(key, (Instant::now(), role));
        }
    }
}

/// A client's side of TLS that trusts the authorities in a file, or those of the machine.
pub(crate) fn trusting(ca: Option<&Path>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(file) => roots = berth_trust::authorities(&berth_trust::Source::plain(file)).map_err(|error| error.to_string())?,
        None => {
            let native = rustls_native_certs::load_native_certs();
            let mut problems = String::new();
            for error in &native.errors {
                let _ = write!(problems, " {error};");
            }
            if !problems.is_empty() {
                tracing::warn!(problems, "some of the machine's authorities cannot be read");
            }
            roots.add_parsable_certificates(native.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth())
        .map_err(|error| error.to_string())
}
