//! Tokens: who may write, read or administer which logs. Only hashes are kept.
//!
//! A token is a random UUID, so that it fits wherever a client wants its key to look like one; its first eight digits
//! are its public id.

use sha2::{Digest as _, Sha256};
use store::StoreError;
use store::catalog::TokenRow;

use event::Timestamp;

use crate::Engine;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Sending events.
    Write,
    /// Asking.
    Read,
    /// Everything, tokens and settings included.
    Admin,
}

impl Scope {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Write, Self::Read, Self::Admin].into_iter().find(|scope| scope.name() == text)
    }
}

/// A token as it is shown: without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its first eight digits.
    pub id: String,
    /// What it is for.
    pub label: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The logs it is good for; none named means all.
    pub logs: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
}

/// A token that was just made. Its text is shown this once.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What is kept of it.
    pub info: TokenInfo,
    /// The secret.
    pub token: String,
}

/// The label of the token for everything, which is there from the beginning.
pub const FIRST_TOKEN: &str = "made at the first start";

/// What whoever sent a request may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    scopes: Vec<Scope>,
    logs: Vec<String>,
    /// The id and the label of the token; both empty without one.
    token: (String, String),
}

impl Grant {
    /// Everything that [`Scope::Write`] and [`Scope::Read`] allow, on all logs.
    #[must_use]
    pub fn local() -> Self {
        Self { scopes: vec![Scope::Write, Scope::Read], ..Self::default() }
    }

    /// Who it is, as AUDIT events name them.
    #[must_use]
    pub fn name(&self) -> String {
        if self.token.0.is_empty() { "local".to_owned() } else { format!("token/{}", self.token.0) }
    }

    /// The same for people: the label of the token, where it has one.
    #[must_use]
    pub fn person(&self) -> String {
        match self.label() {
            "" => self.name(),
            FIRST_TOKEN => "the administrator".to_owned(),
            label => label.to_owned(),
        }
    }

    /// What the token is for, in the words of whoever made it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.token.1
    }

    /// Whether something is allowed on a log; on all logs when none is named.
    #[must_use]
    pub fn allows(&self, scope: Scope, log: Option<&str>) -> bool {
        self.may(scope) && (self.logs.is_empty() || log.is_some_and(|log| self.logs.iter().any(|one| one == log)))
    }

    /// Whether something is allowed on any log.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// The log that it is good for, if it is only one.
    #[must_use]
    pub fn only_log(&self) -> Option<&str> {
        match self.logs.as_slice() {
            [log] => Some(log),
            _ => None,
        }
    }

    /// Whether reading this log is allowed.
    #[must_use]
    pub fn may_read(&self, log: &str) -> bool {
        self.allows(Scope::Read, Some(log))
    }
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// A token in its one form: lower case, with hyphens, however a client writes it.
fn canonical(token: &str) -> Option<String> {
    uuid::Uuid::try_parse(token.trim()).ok().map(|uuid| uuid.hyphenated().to_string())
}

/// Whether a text could be a token: whatever else it may be, one that we made looks like this.
#[must_use]
pub fn is_token(text: &str) -> bool {
    canonical(text).is_some()
}

fn info(row: &TokenRow) -> TokenInfo {
    let list = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    TokenInfo {
        id: row.id.clone(),
        label: row.label.clone(),
        scopes: list(&row.scopes).iter().filter_map(|scope| Scope::parse(scope)).collect(),
        logs: list(&row.logs),
        created: row.created,
    }
}

impl Engine {
    /// Makes a token.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn create_token(&self, label: &str, scopes: &[Scope], logs: &[String]) -> Result<NewToken, StoreError> {
        let token = uuid::Uuid::new_v4().hyphenated().to_string();
        let mut names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        names.sort_unstable();
        names.dedup();
        let row = TokenRow {
            id: token[..8].to_owned(),
            label: label.to_owned(),
            hash: hash(&token),
            scopes: names.join(","),
            logs: logs.join(","),
            created: self.clock.now(),
        };
        self.store.catalog().add_token(&row)?;
        let made = NewToken { info: info(&row), token };
        self.tokens.write().push(row);
        Ok(made)
    }

    /// All tokens, oldest first.
    #[must_use]
    pub fn tokens(&self) -> Vec<TokenInfo> {
        self.tokens.read().iter().map(info).collect()
    }

    /// Makes a token worthless. False when there is none of that id.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn revoke_token(&self, id: &str) -> Result<bool, StoreError> {
        let known = self.store.catalog().remove_token(id)?;
        self.tokens.write().retain(|row| row.id != id);
        Ok(known)
    }

    /// What a token is good for; `None` when it is none of ours. Takes as long for a wrong one as for a right one.
    #[must_use]
    pub fn authorise(&self, token: &str) -> Option<Grant> {
        let sent = hash(&canonical(token)?);
        let rows = self.tokens.read();
        let mut found = None;
        for row in rows.iter() {
            let differing = row
                .hash
                .iter()
                .zip(&sent)
                .fold(row.hash.len() ^ sent.len(), |sum, (one, other)| sum | usize::from(one ^ other));
            if differing == 0 {
                found = Some(info(row));
            }
        }
        found.map(|info| Grant { scopes: info.scopes, logs: info.logs, token: (info.id, info.label) })
    }
}
