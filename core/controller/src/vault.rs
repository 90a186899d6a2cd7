//! The master key: made, sealed by a passphrase, opened, and held in memory while the controller runs. It seals what must not be read in
//! the database. Never written in clear, never logged, wiped when it is not needed any more.
//!
//! argon2id (RFC 9106) makes a key of the passphrase; that one seals the master key with XChaCha20-Poly1305, and the master key seals
//! everything else. A new passphrase seals the same master key anew.

use std::sync::{Arc, RwLock};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use berth_engine::command::{Command, Given};
use berth_model::change::Key as RecordKey;
use berth_model::cluster::Cluster;
use berth_model::ids::Id;
use berth_model::time::Timestamp;
use berth_model::vault::{MasterKey, Sealed};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::state::Controller;

/// Cost of argon2id for new passphrases: the second of RFC 9106's recommendations (64 MiB, 3 passes, 4 lanes).
#[cfg(not(test))]
const COST: (u32, u32, u32) = (64 * 1024, 3, 4);
/// Tests ask about the rules, not about the work.
#[cfg(test)]
const COST: (u32, u32, u32) = (64, 1, 1);
/// Most that a record may ask for: it could be anybody's.
const COST_MAX: (u32, u32, u32) = (1024 * 1024, 64, 64);
const KEY: usize = 32;
const SALT: usize = 16;
const NONCE: usize = 24;
/// What is sealed is bound to what it is for.
const FOR_MASTER_KEY: &[u8] = b"berth master key 1";
const FOR_SECRET: &[u8] = b"berth secret 1";

/// A passphrase: shown nowhere, wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a text as a passphrase. Whether it may be one is asked of `berth_engine::vault::check`.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(berth_model::secrets::HIDDEN)
    }
}

/// Why something sealed cannot be opened, or nothing can be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VaultError {
    /// The passphrase is not the right one, or what is sealed was changed.
    #[error("the passphrase is wrong")]
    Wrong,
    /// The record makes no sense.
    #[error("the record of the master key cannot be used: {0}")]
    Broken(String),
    /// The system gives no random numbers.
    #[error("no random numbers: {0}")]
    System(String),
}

/// The master key in clear.
pub(crate) type Clear = Zeroizing<[u8; KEY]>;

/// Where the master key is while the controller runs.
#[derive(Debug)]
pub(crate) struct Vault {
    key: RwLock<Option<Open>>,
    /// argon2id takes 64 MiB and a processor for a while: one at a time.
    work: Arc<Semaphore>,
}

#[derive(Clone)]
struct Open(Arc<Clear>);

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(berth_model::secrets::HIDDEN)
    }
}

impl Vault {
    /// Nothing is open.
    pub fn new() -> Self {
        Self { key: RwLock::new(None), work: Arc::new(Semaphore::new(1)) }
    }

    /// Keeps the key that was opened.
    pub fn unlock(&self, key: Clear) {
        let mut held = self.key.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *held = Some(Open(Arc::new(key)));
    }

    fn key(&self) -> Option<Open> {
        self.key.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Whether the key is there.
    pub fn is_unlocked(&self) -> bool {
        self.key().is_some()
    }

    /// Does `work` with a passphrase beside the runtime's threads.
    async fn with_passphrase<T: Send + 'static>(
        &self,
        passphrase: &Passphrase,
        work: impl FnOnce(&Passphrase) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let passphrase = passphrase.clone();
        let ended = |error: String| VaultError::System(error);
        let turn = Arc::clone(&self.work).acquire_owned().await.map_err(|error| ended(error.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&passphrase)
        });
        done.await.map_err(|error| ended(error.to_string()))?
    }

    /// A new master key and its record.
    pub async fn make(&self, passphrase: &Passphrase) -> Result<(MasterKey, Clear), VaultError> {
        self.with_passphrase(passphrase, |passphrase| {
            let key = random::<KEY>()?;
            Ok((wrap(&key, passphrase)?, key))
        })
        .await
    }

    /// Opens the key of a record.
    pub async fn open(&self, record: &MasterKey, passphrase: &Passphrase) -> Result<Clear, VaultError> {
        let record = record.clone();
        self.with_passphrase(passphrase, move |passphrase| unwrap(&record, passphrase)).await
    }

    /// The record of a key under another passphrase.
    pub async fn rewrap(&self, key: Clear, passphrase: &Passphrase) -> Result<MasterKey, VaultError> {
        self.with_passphrase(passphrase, move |passphrase| wrap(&key, passphrase)).await
    }

    /// Seals a text; `Locked` while the key is not there.
    pub fn seal(&self, text: &Passphrase) -> Result<Given, VaultError> {
        match self.key() {
            None => Ok(Given::Locked),
            Some(Open(key)) => seal(&key, FOR_SECRET, text.text().as_bytes()).map(Given::Sealed),
        }
    }
}

impl berth_engine::vault::Keys for Vault {
    /// 256 bits of the system's chance, as base64: they are typed by nobody.
    fn fresh(&self) -> Given {
        let Some(Open(key)) = self.key() else { return Given::Locked };
        let sealed = random::<KEY>().and_then(|fresh| {
            let text = Zeroizing::new(STANDARD.encode(*fresh));
            seal(&key, FOR_SECRET, text.as_bytes())
        });
        match sealed {
            Ok(sealed) => Given::Sealed(sealed),
            Err(error) => {
                tracing::error!(%error, "no key can be made for a volume");
                Given::Locked
            }
        }
    }
}

/// Random bytes of the system.
fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut bytes = Zeroizing::new([0u8; N]);
    getrandom::fill(&mut *bytes).map_err(|error| VaultError::System(error.to_string()))?;
    Ok(bytes)
}

fn derived(passphrase: &Passphrase, salt: &[u8], (memory, passes, lanes): (u32, u32, u32)) -> Result<Clear, VaultError> {
    let broken = |error: argon2::Error| VaultError::Broken(error.to_string());
    let params = Params::new(memory, passes, lanes, Some(KEY)).map_err(broken)?;
    let mut key = Zeroizing::new([0u8; KEY]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.text().as_bytes(), salt, &mut *key)
        .map_err(broken)?;
    Ok(key)
}

fn seal(key: &Clear, purpose: &[u8], clear: &[u8]) -> Result<Sealed, VaultError> {
    let nonce = random::<NONCE>()?;
    let payload = Payload { msg: clear, aad: purpose };
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let sealed = cipher.encrypt(&XNonce::from(*nonce), payload).map_err(|_| VaultError::System("the text is too long".to_owned()))?;
    Ok(Sealed::new(STANDARD.encode([nonce.as_slice(), &sealed].concat())))
}

fn unseal(key: &Clear, purpose: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let bytes = STANDARD.decode(sealed.as_base64()).map_err(|error| VaultError::Broken(error.to_string()))?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or_else(|| VaultError::Broken("what is sealed is too short".to_owned()))?;
    let payload = Payload { msg: sealed, aad: purpose };
    let cipher = XChaCha20Poly1305::new((&**key).into());
    cipher.decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| VaultError::Wrong)
}

fn wrap(key: &Clear, passphrase: &Passphrase) -> Result<MasterKey, VaultError> {
    let salt = random::<SALT>()?;
    let secret = seal(&derived(passphrase, &*salt, COST)?, FOR_MASTER_KEY, &**key)?;
    let (memory_kib, passes, lanes) = COST;
    // Identity and moments are the engine's.
    let (created, changed) = (Timestamp::default(), Timestamp::default());
    let id = Id::from_uuid(uuid::Uuid::nil());
    Ok(MasterKey { id, memory_kib, passes, lanes, salt: STANDARD.encode(*salt), secret, created, changed })
}

fn unwrap(record: &MasterKey, passphrase: &Passphrase) -> Result<Clear, VaultError> {
    let cost = (record.memory_kib, record.passes, record.lanes);
    if cost.0 > COST_MAX.0 || cost.1 > COST_MAX.1 || cost.2 > COST_MAX.2 {
        return Err(VaultError::Broken(format!("it asks for {} KiB, {} passes, {} lanes", cost.0, cost.1, cost.2)));
    }
    let salt = STANDARD.decode(&record.salt).map_err(|error| VaultError::Broken(error.to_string()))?;
    let clear = unseal(&derived(passphrase, &salt, cost)?, FOR_MASTER_KEY, &record.secret)?;
    let key: [u8; KEY] = clear.as_slice().try_into().map_err(|_| VaultError::Broken("it holds no key of 32 bytes".to_owned()))?;
    Ok(Zeroizing::new(key))
}

/// Whether there is a master key and whether it is open: `unset`, `locked`, `unlocked`. One whose record is broken is locked.
pub(crate) fn status(cluster: &Cluster, vault: &Vault) -> &'static str {
    match &cluster.master_key {
        None if cluster.reserved(&RecordKey::MasterKey).is_some() => "locked",
        None => "unset",
        Some(_) if vault.is_unlocked() => "unlocked",
        Some(_) => "locked",
    }
}

/// Enters the passphrase of the configuration at the start, or sets it where there never was one. What goes wrong is told and stops nothing.
pub(crate) async fn enter_configured(controller: &Controller, passphrase: &Passphrase) -> Option<String> {
    let vault = controller.vault();
    if let Err(refused) = berth_engine::vault::check(passphrase.text()) {
        return refused.replies.first().map(|reply| format!("The master passphrase of the configuration is none: {}", reply.cause));
    }
    let record = controller.view().cluster.master_key.clone();
    let (command, key) = match record {
        Some(record) => match vault.open(&record, passphrase).await {
            Ok(key) => (Command::EnterMasterPassphrase { right: true }, key),
            Err(error) => return Some(format!("The master passphrase of the configuration was not accepted: {error}.")),
        },
        None => match vault.make(passphrase).await {
            Ok((record, key)) => (Command::CreateMasterPassphrase { key: record }, key),
            Err(error) => return Some(format!("The master passphrase of the configuration could not be set: {error}.")),
        },
    };
    let answer = controller.submit(command, &berth_model::access::Caller::internal("berth"), "start").await;
    if let Some(refused) = answer.replies.iter().find(|reply| reply.is_error()) {
        return Some(format!("The master passphrase of the configuration was not taken: {}", refused.message));
    }
    vault.unlock(key);
    tracing::info!("master key unlocked");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_right_passphrase_opens_the_key() {
        let vault = Vault::new();
        let (record, key) = vault.make(&passphrase("hush hush")).await.unwrap();
        assert_eq!(vault.open(&record, &passphrase("hush hush")).await, Ok(key.clone()));
        for wrong in ["hush", "Hush hush", "hush hush ", ""] {
            assert_eq!(vault.open(&record, &passphrase(wrong)).await, Err(VaultError::Wrong), "{wrong:?}");
        }
        let other = vault.rewrap(key.clone(), &passphrase("other")).await.unwrap();
        assert_ne!((&other.salt, other.secret.as_base64()), (&record.salt, record.secret.as_base64()));
        assert_eq!(vault.open(&other, &passphrase("other")).await, Ok(key));
        assert_eq!(vault.open(&other, &passphrase("hush hush")).await, Err(VaultError::Wrong));
    }

    #[tokio::test]
    async fn fresh_keys_are_sealed_and_no_two_are_alike() {
        use berth_engine::vault::Keys as _;
        let vault = Vault::new();
        assert_eq!(vault.fresh(), Given::Locked);
        let (_, key) = vault.make(&passphrase("hush")).await.unwrap();
        vault.unlock(key.clone());
        let open = |given: Given| match given {
            Given::Sealed(sealed) => unseal(&key, FOR_SECRET, &sealed).unwrap(),
            Given::Nothing | Given::Locked => panic!("{given:?}"),
        };
        let (one, other) = (open(vault.fresh()), open(vault.fresh()));
        assert_eq!(STANDARD.decode(one.as_slice()).unwrap().len(), KEY);
        assert_ne!(one, other);
    }

    #[tokio::test]
    async fn a_record_that_was_changed_opens_nothing() {
        let vault = Vault::new();
        let (record, _) = vault.make(&passphrase("hush")).await.unwrap();
        let mut bytes = STANDARD.decode(record.secret.as_base64()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let mend = |change: fn(&mut MasterKey)| {
            let mut changed = record.clone();
            change(&mut changed);
            changed
        };
        let flipped = MasterKey { secret: Sealed::new(STANDARD.encode(&bytes)), ..record.clone() };
        assert_eq!(vault.open(&flipped, &passphrase("hush")).await, Err(VaultError::Wrong));
        assert_eq!(vault.open(&mend(|r| r.salt = STANDARD.encode([7; SALT])), &passphrase("hush")).await, Err(VaultError::Wrong));
        for broken in [
            mend(|r| r.memory_kib = u32::MAX),
            mend(|r| r.passes = u32::MAX),
            mend(|r| r.lanes = 0),
            mend(|r| r.salt = String::new()),
            mend(|r| r.secret = Sealed::new(berth_model::secrets::HIDDEN)),
            mend(|r| r.secret = Sealed::new("AAAA")),
        ] {
            let opened = vault.open(&broken, &passphrase("hush")).await;
            assert!(matches!(opened, Err(VaultError::Broken(_))), "{broken:?}: {:?}", opened.err());
        }
    }

    #[tokio::test]
    async fn what_is_sealed_is_not_in_clear_and_opens_only_for_its_purpose() {
        let vault = Vault::new();
        assert_eq!(vault.seal(&passphrase("own")), Ok(Given::Locked));
        let (_, key) = vault.make(&passphrase("hush")).await.unwrap();
        vault.unlock(key.clone());
        let Ok(Given::Sealed(sealed)) = vault.seal(&passphrase("own")) else { panic!("not sealed") };
        let bytes = STANDARD.decode(sealed.as_base64()).unwrap();
        assert!(!bytes.windows(3).any(|part| part == b"own"));
        assert_eq!(unseal(&key, FOR_SECRET, &sealed).unwrap().as_slice(), b"own");
        assert_eq!(unseal(&key, FOR_MASTER_KEY, &sealed), Err(VaultError::Wrong));
        // Two seals of one text do not look alike.
        assert_ne!(vault.seal(&passphrase("own")), Ok(Given::Sealed(sealed)));
        assert!(!format!("{vault:?} {:?}", passphrase("own")).contains("own"));
    }
}
