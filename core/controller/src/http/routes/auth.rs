//! API tokens (contract 4.2). Roles are Berth's own member.

use axum::http::StatusCode;
use axum::response::Response;
use berth_api::auth::{AuthToken, AuthTokenList, CreateAuthToken, InitAuthToken, ModifyAuthToken};
use berth_api::lenient::{text, truth};
use berth_engine::command::Command;
use berth_model::access::Token;
use berth_model::codes::Code;
use berth_model::time::Timestamp;

use crate::http::answer::{document, replies};
use crate::http::call::{Answered, Call};
use crate::http::dry::Mode;
use crate::http::spec::{Op, Routes};

/// The operations of this kind.
pub fn routes() -> Routes {
    let tokens_path = "/v1/controller/auth/token";
    let one = "/v1/controller/auth/token/{token}";
    Routes::new("Sign-in")
        .post(
            "/v1/controller/auth/initialize-token-auth",
            initialize,
            Op::creates("Switches sign-in by tokens on and makes the first one; its text is told once.").may_have::<InitAuthToken>(),
        )
        .get(tokens_path, tokens, Op::answers::<AuthTokenList>("Lists the tokens, without their texts."))
        .post(tokens_path, create, Op::creates("Makes a token; its text is told once.").body::<CreateAuthToken>())
        .put(one, modify, Op::changes("Changes a token.").may_have::<ModifyAuthToken>())
        .delete(one, revoke, Op::changes("Revokes a token for good."))
}

async fn tokens(call: Call) -> Response {
    let view = call.view();
    let list: Vec<AuthToken> =
        view.cluster.tokens.values().filter(|token| token.revoked.is_none()).map(|token| token_document(token)).collect();
    document(&AuthTokenList { count: list.len(), list })
}

fn token_document(token: &Token) -> AuthToken {
    AuthToken {
        id: token.id,
        created_at: moment(token.created),
        is_active: token.active,
        expires_at: token.expires.map(moment),
        description: token.description.clone(),
        ip_filter: token.address.map(|address| address.to_string()),
        is_user_token: true,
        role: token.role.word(),
    }
}

/// A moment in ISO 8601 with `Z`.
fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|moment| moment.to_string()).unwrap_or_default()
}

/// A new token: 64 letters and digits that nobody can foresee.
fn draw(call: &Call) -> String {
    call.controller.chance().into_iter().map(|bytes| uuid::Uuid::from_bytes(bytes).simple().to_string()).collect()
}

/// Gives a command that makes a token. Its text goes into the answer alone: neither the command nor the log has it.
async fn give(call: &Call, token: &str, command: Command) -> Answered {
    let mut entries = call.submit_plain(command).await?;
    let made = entries.iter_mut().find(|reply| reply.code == Code::CREATED).filter(|_| call.mode == Mode::Real);
    if let Some(reply) = made {
        reply.message = format!("{} Token: {token}", reply.message);
        reply.refs.insert("token".to_owned(), token.to_owned());
    }
    let success = if call.mode == Mode::Real { StatusCode::CREATED } else { StatusCode::OK };
    Ok(replies(&entries, success))
}

async fn initialize(call: Call) -> Answered {
    let body: InitAuthToken = call.body_or_default()?;
    let token = draw(&call);
    let command = Command::InitializeTokens {
        token_sha256: crate::gate::digest(&token),
        description: text(body.description).filter(|text| !text.is_empty()),
        only_satellites: truth(body.only_satellites).unwrap_or(false),
        no_https: truth(body.no_https).unwrap_or(false),
    };
    give(&call, &token, command).await
}

async fn create(call: Call) -> Answered {
    let body: CreateAuthToken = call.body()?;
    let token = draw(&call);
    let command = Command::CreateToken {
        token_sha256: crate::gate::digest(&token),
        description: text(body.description),
        expires_at: text(body.expires_at),
        ip_filter: text(body.ip_filter),
        role: text(body.role),
    };
    give(&call, &token, command).await
}

async fn modify(call: Call) -> Answered {
    let body: ModifyAuthToken = call.body_or_default()?;
    let command = Command::ModifyToken {
        id: call.text("token"),
        description: text(body.description),
        ip_filter: text(body.ip_filter),
        is_active: truth(body.is_active),
        role: text(body.role),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn revoke(call: Call) -> Response {
    call.submit(Command::RevokeToken { id: call.text("token") }, StatusCode::OK).await
}
