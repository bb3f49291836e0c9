//! Who is asking, and what they may.
//!
//! Knows nothing of routes: handlers name the permission they need.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use super::settings::{Permission, Token};
use crate::model::AppName;

/// The configured tokens. Digests are compared, so that not even a secret's length shows in the time taken.
pub(super) struct Tokens(Vec<([u8; 32], Arc<Token>)>);

/// Who sent a request that was admitted.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// Whoever reaches a server without tokens.
    Anyone,
    /// The holder of that token.
    Holder(Arc<Token>),
}

impl Tokens {
    pub(super) fn new(tokens: &[Token]) -> Self {
        let digest = |token: &Token| Sha256::digest(token.secret.as_bytes()).into();
        Self(tokens.iter().map(|token| (digest(token), Arc::new(token.clone()))).collect())
    }

    /// Who carries these headers.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if self.0.is_empty() {
            return Ok(Caller::Anyone);
        }
        let refuse = |why: &str| Problem::new(StatusCode::UNAUTHORIZED, why);
        let secret = bearer(headers)
            .ok_or_else(|| refuse("this server asks for a token: send authorization: Bearer …"))?;
        let given: [u8; 32] = Sha256::digest(secret).into();
        // All are compared, wherever the right one stands.
        let holder = self.0.iter().fold(None, |found, (digest, token)| {
            if bool::from(digest.ct_eq(&given)) { Some(token) } else { found }
        });
        holder.cloned().map(Caller::Holder).ok_or_else(|| refuse("the token is not known here"))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, secret) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let secret = secret.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret.as_bytes())
}

impl Caller {
    /// Refuses what the token does not allow on that app.
    pub(super) fn may(&self, permission: Permission, app: &AppName) -> Result<(), Problem> {
        self.may_some(permission)?;
        if self.covers(app) {
            return Ok(());
        }
        let message = match self {
            Self::Holder(token) => {
                format!("token {} is not for app {app}: its `apps` has no such name", token.name)
            }
            _ => format!("this caller is not for app {app}"),
        };
        Err(Problem::new(StatusCode::FORBIDDEN, message))
    }

    /// Refuses what the token allows on no app at all.
    pub(super) fn may_some(&self, permission: Permission) -> Result<(), Problem> {
        match self {
            Self::Holder(token) if !token.may.contains(&permission) => {
                let verb = verb(permission);
                let message = format!(
                    "token {} does not allow to {verb}: its `may` lacks \"{verb}\"",
                    token.name
                );
                Err(Problem::new(StatusCode::FORBIDDEN, message))
            }
            _ => Ok(()),
        }
    }

    /// Whether the token is for that app.
    pub(super) fn covers(&self, app: &AppName) -> bool {
        let Self::Holder(token) = self else { return true };
        token.apps.is_empty()
            || token.apps.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => app.as_str().starts_with(prefix),
                None => app.as_str() == pattern,
            })
    }

    /// Whether the token is for all apps.
    pub(super) fn covers_all(&self) -> bool {
        let Self::Holder(token) = self else { return true };
        token.apps.is_empty() || token.apps.iter().any(|pattern| pattern == "*")
    }

    /// How notes call them.
    pub(super) fn name(&self, peer: SocketAddr) -> String {
        match self {
            Self::Anyone => peer.ip().to_canonical().to_string(),
            Self::Holder(token) => token.name.clone(),
        }
    }
}

fn verb(permission: Permission) -> &'static str {
    match permission {
        Permission::Register => "register",
        Permission::Operate => "operate",
        Permission::Read => "read",
    }
}
