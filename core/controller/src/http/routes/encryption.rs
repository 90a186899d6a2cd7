//! The master passphrase. Its text leaves these handlers only for the vault.

use axum::http::StatusCode;
use axum::response::Response;
use berth_api::encryption::{PassphraseCreate, PassphraseStatus};
use berth_api::lenient::{Text, text};
use berth_engine::command::{Command, Given};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::reply::Reply;

use crate::http::answer::{document, refusal};
use crate::http::call::{Answered, Call};
use crate::http::dry::Mode;
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};
use crate::vault::{self, Passphrase, VaultError};

/// The operations of this kind.
pub fn routes() -> Routes {
    let path = "/v1/encryption/passphrase";
    Routes::new("Encryption")
        .get(path, status, Op::answers::<PassphraseStatus>("Says whether there is a master passphrase, and whether it was entered."))
        .post(path, create, Op::creates("Sets the first master passphrase.").body::<PassphraseCreate>())
        .put(path, modify, Op::changes("Changes the master passphrase.").body::<PassphraseCreate>())
        .patch(path, enter, Op::changes("Enters the master passphrase: the body is the text itself, in quotes.").body::<String>())
}

async fn status(call: Call) -> Response {
    document(&PassphraseStatus { status: vault::status(&call.view().cluster, call.controller.vault()) })
}

/// A passphrase of a body, judged.
fn judged(passphrase: Option<Text>) -> Result<Passphrase, Response> {
    let passphrase = Passphrase::new(text(passphrase).unwrap_or_default());
    berth_engine::vault::check(passphrase.text()).map_err(refused)?;
    Ok(passphrase)
}

/// The vault could not do its work for another reason than a wrong passphrase.
fn out_of_order(error: &VaultError) -> Response {
    let reply = Reply::new(Code::FAIL_CRYPT_INIT, "The master key cannot be used.")
        .cause(format!("{error}."))
        .correction("Look at the record with 'berth db check'; a damaged one comes back with 'berth db repair'.");
    refusal(reply.of(Operation::Modify, ObjectMask::Controller))
}

async fn create(call: Call) -> Answered {
    let body: PassphraseCreate = call.body()?;
    set(&call, judged(body.new_passphrase)?, StatusCode::CREATED).await
}

/// Sets the first passphrase.
async fn set(call: &Call, passphrase: Passphrase, success: StatusCode) -> Answered {
    if call.view().cluster.master_key.is_some() {
        let told = berth_engine::vault::exists().replies.into_iter().map(|reply| reply.of(Operation::Create, ObjectMask::Controller));
        return Err(refused(berth_engine::draft::Refused { replies: told.collect() }));
    }
    let (record, key) = call.controller.vault().make(&passphrase).await.map_err(|error| out_of_order(&error))?;
    call.submit_then(Command::CreateMasterPassphrase { key: record }, success, || call.controller.vault().unlock(key)).await
}

async fn modify(call: Call) -> Answered {
    let body: PassphraseCreate = call.body()?;
    let new = judged(body.new_passphrase)?;
    let Some(old) = text(body.old_passphrase) else {
        // Without an old one the recorded server takes it as the first one.
        return set(&call, new, StatusCode::OK).await;
    };
    let vault = call.controller.vault();
    let Some(record) = call.view().cluster.master_key.clone() else {
        return Ok(call.submit(Command::ModifyMasterPassphrase { key: None }, StatusCode::OK).await);
    };
    match vault.open(&record, &Passphrase::new(old)).await {
        Ok(key) => {
            let record = vault.rewrap(key.clone(), &new).await.map_err(|error| out_of_order(&error))?;
            call.submit_then(Command::ModifyMasterPassphrase { key: Some(record) }, StatusCode::OK, || vault.unlock(key)).await
        }
        Err(VaultError::Wrong) => Ok(call.submit(Command::ModifyMasterPassphrase { key: None }, StatusCode::OK).await),
        Err(error @ (VaultError::Broken(_) | VaultError::System(_))) => Err(out_of_order(&error)),
    }
}

/// The body is the passphrase itself, as a JSON text.
async fn enter(call: Call) -> Answered {
    let passphrase = Passphrase::new(call.text_body()?);
    let Some(record) = call.view().cluster.master_key.clone() else {
        return Ok(call.submit(Command::EnterMasterPassphrase { right: false }, StatusCode::OK).await);
    };
    match call.controller.vault().open(&record, &passphrase).await {
        Ok(key) => {
            let unlock = || call.controller.vault().unlock(key);
            call.submit_then(Command::EnterMasterPassphrase { right: true }, StatusCode::OK, unlock).await
        }
        Err(VaultError::Wrong) => Ok(call.submit(Command::EnterMasterPassphrase { right: false }, StatusCode::OK).await),
        Err(error @ (VaultError::Broken(_) | VaultError::System(_))) => Err(out_of_order(&error)),
    }
}

impl Call {
    /// A passphrase for a volume that came with the request, sealed if the master key is there.
    ///
    /// # Errors
    /// 216 for what cannot be one.
    pub fn sealed(&self, passphrase: Option<Text>) -> Result<Given, Response> {
        if passphrase.is_none() {
            return Ok(Given::Nothing);
        }
        let passphrase = judged(passphrase)?;
        self.controller.vault().seal(&passphrase).map_err(|error| out_of_order(&error))
    }

    /// As [`Call::sealed`], for a list with a place for each volume; one without any passphrase is none.
    ///
    /// # Errors
    /// 216 for what cannot be a passphrase.
    pub fn all_sealed(&self, passphrases: Option<Vec<Option<Text>>>) -> Result<Vec<Given>, Response> {
        let given: Vec<Given> = passphrases.unwrap_or_default().into_iter().map(|one| self.sealed(one)).collect::<Result<_, _>>()?;
        Ok(if given.iter().all(|one| *one == Given::Nothing) { Vec::new() } else { given })
    }

    /// Carries out a command; `then` is done when it is committed, and never in a dry run.
    ///
    /// # Errors
    /// The whole answer.
    async fn submit_then(&self, command: Command, success: StatusCode, then: impl FnOnce()) -> Answered {
        let response = self.submit(command, success).await;
        if self.mode == Mode::Real && response.status().is_success() {
            then();
        }
        Ok(response)
    }
}
