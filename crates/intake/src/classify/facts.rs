//! What an event says of the client and of its request: the few keys that classification reads.

use event::{ADDED, Added, Batch, Field, PartAt, Row, Value, logical_name};

use super::login::Attempt;
use super::{KIND, LOGIN, NAME, OS, PROBE, VERIFIED, probes};

/// What a key is to classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Other,
    Agent,
    Path,
    Url,
    Query,
    Ip,
    Status,
    Method,
    Event,
    Stream,
    Level,
    /// The sender's own kind of client, or something under which no key of ours has a place.
    Client,
    /// The sender's own.
    ClientName,
    ClientOs,
    ClientVerified,
    Security,
    /// What notes which keys of a document were added.
    Added,
}

impl Role {
    pub(super) fn of(path: &str) -> Self {
        match path {
            "user_agent" => Self::Agent,
            "path" => Self::Path,
            "url" => Self::Url,
            "query" | "query_string" => Self::Query,
            "ip" => Self::Ip,
            "status" => Self::Status,
            "method" => Self::Method,
            "event" => Self::Event,
            "stream" => Self::Stream,
            "level" => Self::Level,
            ADDED => Self::Added,
            "client" => Self::Client,
            "security" => Self::Security,
            _ if path.starts_with("security.") => Self::Security,
            _ if path.starts_with("client") => Self::of_client(&logical_name(path)),
            // A key with a dot in it that is asked for by the name of one of ours.
            _ if path.contains('\\') && matches!(&*logical_name(path), PROBE | LOGIN) => Self::Security,
            _ => Self::Other,
        }
    }

    /// Of a key whose name begins with that of ours, with or without dots in it: others below `client` are no matter of ours.
    fn of_client(name: &str) -> Self {
        let is = |ours: &str| name.strip_prefix(ours).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let roles =
            [(KIND, Self::Client), (NAME, Self::ClientName), (OS, Self::ClientOs), (VERIFIED, Self::ClientVerified)];
        roles.into_iter().find(|(ours, _)| is(ours)).map_or(Self::Other, |(_, role)| role)
    }

    /// Whether an event is worth a look for having such a key.
    fn is_reason(self) -> bool {
        matches!(self, Self::Agent | Self::Path | Self::Url | Self::Event)
    }

    /// Whether a key is the sender's own, of which an event may have several.
    fn is_own(self) -> bool {
        matches!(self, Self::Client | Self::ClientName | Self::ClientOs | Self::ClientVerified | Self::Security)
    }
}

/// What the keys of a batch are, decided once.
pub(super) struct Roles {
    pub(super) of_keys: Vec<Role>,
    /// Whether names are all that events may be worth a look for.
    only_names: bool,
}

impl Roles {
    /// Of a batch; `None` when no event of it is worth a look.
    pub(super) fn of(batch: &Batch) -> Option<Self> {
        let of_keys: Vec<Role> = batch.keys().iter().map(|path| Role::of(path)).collect();
        if !of_keys.iter().any(|role| role.is_reason()) {
            return None;
        }
        let only_names = !of_keys.iter().any(|role| role.is_reason() && *role != Role::Event);
        Some(Self { of_keys, only_names })
    }

    /// Whether nothing can be found of an event, seen from its name alone.
    pub(super) fn pass_over(&self, row: &Row<'_>) -> bool {
        if !self.only_names {
            return false;
        }
        let name = row.fields_of(|key| self.of_keys[key as usize] == Role::Event).next();
        !matches!(name.map(|field| field.value), Some(Value::Str(name)) if Attempt::may_be_named(name))
    }
}

/// What an event says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts<'a> {
    pub(super) agent: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    pub(super) url: Option<&'a str>,
    pub(super) query: Option<&'a str>,
    pub(super) ip: Option<&'a str>,
    pub(super) status: Option<i64>,
    pub(super) method: Option<&'a str>,
    pub(super) event: Option<&'a str>,
    pub(super) stream: Option<&'a str>,
    pub(super) level: Option<&'a str>,
    pub(super) has_client: bool,
    /// What of a client the sender knows better.
    pub(super) own: Own,
    pub(super) has_security: bool,
    /// Which keys were added to a document, and where in its row that stands.
    pub(super) added: Option<(Added, PartAt)>,
}

/// Which keys of ours below `client` an event has of its own, beside its kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    pub(super) name: bool,
    pub(super) os: bool,
    pub(super) verified: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn of(row: &Row<'a>, roles: &Roles) -> Self {
        let mut facts = Self::default();
        for part in row.parts() {
            let role = roles.of_keys[part.key as usize];
            let Some(field) = (role != Role::Other).then(|| part.field()).flatten() else { continue };
            if role == Role::Added {
                facts.added = Some((Added::read(field.value), part.at()));
            } else if !field.sent || role.is_own() {
                facts.note(role, &field);
            }
        }
        facts
    }

    fn note(&mut self, role: Role, field: &Field<'a>) {
        let slot = match role {
            Role::Client => return self.has_client = true,
            Role::ClientName => return self.own.name = true,
            Role::ClientOs => return self.own.os = true,
            Role::ClientVerified => return self.own.verified = true,
            Role::Security => return self.has_security = true,
            Role::Status => {
                if let Value::Int(status) = field.value {
                    self.status = Some(status);
                }
                return;
            }
            Role::Other | Role::Added => return,
            Role::Agent => &mut self.agent,
            Role::Path => &mut self.path,
            Role::Url => &mut self.url,
            Role::Query => &mut self.query,
            Role::Ip => &mut self.ip,
            Role::Method => &mut self.method,
            Role::Event => &mut self.event,
            Role::Stream => &mut self.stream,
            Role::Level => &mut self.level,
        };
        if let Value::Str(text) = field.value {
            *slot = Some(text);
        }
    }

    /// What was asked for, if the event tells of a request.
    pub(super) fn target(&self) -> Option<&'a str> {
        let url = self.url.and_then(probes::target_of_url);
        let is_request = self.method.is_some() || self.status.is_some() || self.ip.is_some() || self.agent.is_some();
        url.or_else(|| self.path.filter(|path| is_request && path.starts_with('/')))
    }

    pub(super) fn attempt(&self) -> Attempt<'a> {
        Attempt {
            event: self.event,
            stream: self.stream,
            level: self.level,
            method: self.method,
            path: self.path,
            status: self.status,
        }
    }
}
