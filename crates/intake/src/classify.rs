//! Who is at the door: what kind of client an event tells of, whether it looks for a way in, and whether a login failed.
//!
//! It works on a batch, behind every decoder and before redaction, and adds keys that an event does not have. Nothing that
//! was sent is replaced: an event that has a key `client.kind` or `security` of its own keeps it as it is.

mod agents;
mod cache;
mod facts;
mod login;
mod probes;
mod settings;

use std::collections::HashMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use event::{Added, Batch, BatchBuilder, KeyIndex, PartAt, Row, Value};
use ipnet::IpNet;

pub use agents::{Agent, agent, domains_of_crawler};
use facts::{Facts, Own, Roles};
pub use login::{Attempt, Outcome};
use probes::Probes;
pub use settings::{SettingError, Settings};

/// The key of the kind of a client.
pub const KIND: &str = "client.kind";
/// The key of its name.
pub const NAME: &str = "client.name";
/// The key of the system it runs on.
pub const OS: &str = "client.os";
/// The key that says whether a crawler is the one it says it is.
pub const VERIFIED: &str = "client.verified";
/// The key of the class of a probe.
pub const PROBE: &str = "security.probe";
/// The key of the outcome of a login; `security.login` would be somebody's name to redaction.
pub const LOGIN: &str = "security.login_outcome";

/// The class of a probe that was known by its user agent alone.
const SCANNER: &str = "scanner";

/// What a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Somebody with a browser.
    Browser,
    /// An application on somebody's device.
    App,
    /// A program: a tool, a script, a service, a monitor.
    Bot,
    /// One that reads pages to keep them: search engines, models, previews, archives.
    Crawler,
    /// One that looks for a way in.
    Probe,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Browser, Self::App, Self::Bot, Self::Crawler, Self::Probe];

    /// Its name, as an event has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::App => "app",
            Self::Bot => "bot",
            Self::Crawler => "crawler",
            Self::Probe => "probe",
        }
    }
}

/// What is known of the addresses of crawlers beside configured ranges, such as answers of the domain name system.
pub trait Known: Debug + Send + Sync {
    /// Whether the address is one of this crawler; `None` while that is not known. It must answer at once: it is asked for
    /// every event of a crawler. [`domains_of_crawler`] has the domains in which addresses of a crawler are named.
    fn is_of(&self, crawler: &str, ip: IpAddr) -> Option<bool>;
}

/// How the events of a log are classified.
#[derive(Clone, Debug)]
pub struct Classifier {
    is_on: bool,
    own: Option<Arc<Probes>>,
    except: Option<Arc<Probes>>,
    /// Classes that are none to this log.
    except_classes: Vec<Box<str>>,
    /// Addresses by the folded names of crawlers.
    ranges: HashMap<String, Vec<IpNet>>,
    known: Option<Arc<dyn Known>>,
}

/// What is added to an event.
#[derive(Debug, Default)]
struct Found<'c> {
    kind: Option<Kind>,
    agent: Option<Arc<Agent>>,
    /// What stays as it was sent.
    own: Own,
    verified: Option<bool>,
    probe: Option<&'c str>,
    login: Option<Outcome>,
    /// Which keys were added to a document before, and where in its row that stands.
    added: Option<(Added, PartAt)>,
}

impl Found<'_> {
    fn is_nothing(&self) -> bool {
        self.kind.is_none() && self.probe.is_none() && self.login.is_none()
    }

    /// The keys and values to add.
    fn values(&self) -> [(&'static str, Option<Value<'_>>); 6] {
        let agent = self.agent.as_deref().filter(|_| self.kind.is_some());
        [
            (KIND, self.kind.map(|kind| Value::Str(kind.name()))),
            (NAME, agent.filter(|_| !self.own.name).and_then(|agent| agent.name()).map(Value::Str)),
            (OS, agent.filter(|_| !self.own.os).and_then(|agent| agent.os()).map(Value::Str)),
            (VERIFIED, self.verified.map(Value::Bool)),
            (PROBE, self.probe.map(Value::Str)),
            (LOGIN, self.login.map(|outcome| Value::Str(outcome.name()))),
        ]
    }
}

/// Writes what was found, with the numbers of the keys in the new batch.
struct Writer {
    builder: BatchBuilder,
    keys: [Option<KeyIndex>; 6],
}

impl Writer {
    fn new(batch: &Batch, copied: usize) -> Self {
        Self { builder: BatchBuilder::continuing(batch, copied), keys: [None; 6] }
    }

    fn add(&mut self, row: &Row<'_>, found: &Found<'_>) -> bool {
        let values = found.values();
        self.builder.begin(row);
        if let Some((mut added, at)) = found.added {
            values.iter().filter(|(_, value)| value.is_some()).for_each(|(path, _)| added.add(path));
            self.builder.replace_number(at, added.number());
        }
        for ((path, value), key) in values.iter().zip(&mut self.keys) {
            if let Some(value) = value {
                let key = *key.get_or_insert_with(|| self.builder.key(path));
                self.builder.push(key, *value, false);
            }
        }
        self.builder.commit(row.id.clone(), row.timestamp)
    }
}

impl Default for Classifier {
    fn default() -> Self {
        Self::new(&Settings::default())
    }
}

impl Classifier {
    /// By these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let list = |probes: Probes| (!probes.is_empty()).then(|| Arc::new(probes));
        let (classes, paths): (Vec<_>, Vec<_>) = settings
            .except
            .iter()
            .map(|entry| ("except", entry.as_str()))
            .partition(|(_, entry)| settings::is_class(entry));
        let own = settings
            .probes
            .iter()
            .flat_map(|(class, patterns)| patterns.iter().map(|pattern| (class.as_str(), pattern.as_str())));
        Self {
            is_on: settings.is_on,
            own: list(Probes::new(own)),
            except: list(Probes::new(paths)),
            except_classes: classes.into_iter().map(|(_, class)| class.into()).collect(),
            ranges: settings.crawlers.iter().map(|(name, ranges)| (name.to_lowercase(), ranges.clone())).collect(),
            known: None,
        }
    }

    /// The same, and asks this what it knows of the addresses of crawlers.
    #[must_use]
    pub fn with_known(mut self, known: Arc<dyn Known>) -> Self {
        self.known = Some(known);
        self
    }

    /// The batch with what was found of its events. One in which nothing is found is given back as it is.
    #[must_use]
    pub fn apply(&self, batch: Batch) -> Batch {
        if !self.is_on {
            return batch;
        }
        let Some(roles) = Roles::of(&batch) else { return batch };
        match self.write(&batch, &roles) {
            Some(writer) => writer.builder.finish(),
            None => batch,
        }
    }

    /// The events with what was found of them; `None` when nothing was.
    fn write(&self, batch: &Batch, roles: &Roles) -> Option<Writer> {
        let mut writer: Option<Writer> = None;
        let mut last: Option<(&str, Arc<Agent>)> = None;
        for (index, row) in batch.rows().enumerate() {
            let found = match roles.pass_over(&row) {
                true => Found::default(),
                false => self.find(&Facts::of(&row, roles), &mut last),
            };
            let kept = match (&mut writer, found.is_nothing()) {
                (None, true) => true,
                (Some(writer), true) => writer.builder.copy(&row),
                (writer, false) => writer.get_or_insert_with(|| Writer::new(batch, index)).add(&row, &found),
            };
            debug_assert!(kept, "a few short texts more fit into a batch");
        }
        writer
    }

    /// The class of the probe that a request is, if it is one: `target` is its path or the URL, with or without a query.
    #[must_use]
    pub fn probe(&self, target: &str, query: Option<&str>) -> Option<&str> {
        let is_none = |class: &str| self.except_classes.iter().any(|except| **except == *class);
        let own = self.own.as_ref().and_then(|own| own.find(target, query, is_none));
        let class = own.or_else(|| Probes::built_in().find(target, query, is_none))?;
        let is_excepted = self.except.as_ref().is_some_and(|except| except.find(target, query, |_| false).is_some());
        (!is_excepted).then_some(class)
    }

    fn find<'c, 'a>(&'c self, facts: &Facts<'a>, last: &mut Option<(&'a str, Arc<Agent>)>) -> Found<'c> {
        if facts.has_client && facts.has_security {
            return Found::default();
        }
        let agent = facts.agent.filter(|text| !text.is_empty() && *text != "-").map(|text| match last {
            Some((known, agent)) if *known == text => Arc::clone(agent),
            _ => {
                let agent = agents::agent(text);
                *last = Some((text, Arc::clone(&agent)));
                agent
            }
        });
        let scans = agent.as_ref().is_some_and(|agent| agent.kind() == Kind::Probe);
        let scanner = (scans && !self.except_classes.iter().any(|except| **except == *SCANNER)).then_some(SCANNER);
        let probe = facts.target().and_then(|target| self.probe(target, facts.query)).or(scanner);
        let mut found = Found { added: facts.added, ..Found::default() };
        if !facts.has_security {
            found.probe = probe;
            found.login = facts.attempt().outcome();
        }
        if !facts.has_client {
            found.kind = match (probe, &agent) {
                (Some(_), _) => Some(Kind::Probe),
                // A scanner that the owner of the log knows is a program like others.
                (None, Some(agent)) => Some(if scans { Kind::Bot } else { agent.kind() }),
                (None, None) => None,
            };
            found.own = facts.own;
            if let Some(agent) = agent.as_ref().filter(|_| found.kind == Some(Kind::Crawler) && !facts.own.verified) {
                found.verified = self.is_verified(agent.name().unwrap_or_default(), facts.ip);
            }
            found.agent = agent;
        }
        found
    }

    /// Whether a crawler is the one it says it is; `None` while that is not known.
    fn is_verified(&self, crawler: &str, ip: Option<&str>) -> Option<bool> {
        let Some(ip) = ip.and_then(|ip| ip.trim().parse::<IpAddr>().ok()).map(|ip| ip.to_canonical()) else {
            return Some(false);
        };
        let ranges = (!self.ranges.is_empty()).then(|| self.ranges.get(&crawler.to_lowercase())).flatten();
        let is_in_range = ranges.is_some_and(|ranges| ranges.iter().any(|range| range.contains(&ip)));
        match &self.known {
            Some(known) if !is_in_range => known.is_of(crawler, ip),
            _ => Some(is_in_range),
        }
    }
}
