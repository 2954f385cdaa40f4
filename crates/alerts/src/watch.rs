//! Who is at the door: many small hits of one source made into one finding.
//!
//! A window opens with the first hit of a source and ends when it was quiet for 10 s, or after 5 minutes. If it holds
//! enough, there is one finding with its count. After that the source is told of at most once an hour, with the count
//! since. Times are those of receipt: what belongs to the past ([`crate::past`]) is not to be shown to it.

mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use event::{Level, Timestamp};
use serde::{Deserialize, Serialize};

use crate::moment::{self, after, elapsed};
use crate::notice::{Fact, Notice, notice_id};
use crate::state::{Hold, Reason};
use crate::trigger::{On, Trigger};
use window::Window;

/// A window ends when its source was quiet for this long,
pub const QUIET: Duration = Duration::from_secs(10);
/// or after this long.
pub const WINDOW_MAX: Duration = Duration::from_mins(5);
/// How long after a finding the next one of the same source may come.
pub const FINDING_EVERY: Duration = Duration::from_hours(1);
/// Probes in a window that make a scanner.
pub const PROBES_MIN: u64 = 10;
/// Failed logins in a window that are no forgotten password.
pub const FAILURES_MIN: u64 = 10;
/// Users that one address tries in a window, from which it is a list of stolen passwords.
pub const USERS_MIN: usize = 5;
/// Addresses that a crawler nobody vouches for must fail to find in a window to be strange. Real ones meet many.
pub const MISSED_MIN: u64 = 500;
/// Sources that are watched at a time. When more come, those that were quiet for longest leave.
pub const SOURCES_MAX: usize = 10_000;
/// A source that was told of is known for this long after its last hit.
const KNOWN_FOR: Duration = Duration::from_hours(24);

/// One event that may be part of an attack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hit<'a> {
    /// Where it came from.
    pub ip: Option<&'a str>,
    /// Who it was about.
    pub user: Option<&'a str>,
    /// What was asked for.
    pub path: Option<&'a str>,
    /// The answer.
    pub status: Option<u16>,
    /// Which kind of probe it is, if it is one: `wordpress`.
    pub probe: Option<&'a str>,
    /// Whether it is a login, and how it ended.
    pub login: Option<Login>,
    /// Whether it is a crawler, and whether somebody vouches for it.
    pub crawler: Option<Crawler>,
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Wrong name or password.
    Failed,
    /// Somebody is in.
    Succeeded,
}

/// Whether a crawler is what it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crawler {
    /// By its address or name.
    Verified,
    /// It only says so.
    Unverified,
}

/// What a source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It asks for what is not here and would be a way in.
    Scanner,
    /// It guesses passwords.
    BruteForce,
    /// It tries many users.
    CredentialStuffing,
    /// It guessed right: a login succeeded after the failed ones.
    BrokenIn,
    /// It says it is a crawler, and asks for a great many things that are not here.
    Crawler,
}

impl Kind {
    /// Its name, which is also the name of the event that tells of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scanner => "scanner",
            Self::BruteForce => "brute_force",
            Self::CredentialStuffing => "credential_stuffing",
            Self::BrokenIn => "broken_in",
            Self::Crawler => "strange_crawler",
        }
    }
}

/// One source did enough to be told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it does.
    pub kind: Kind,
    /// The address, or the user that is attacked from several addresses.
    pub source: String,
    /// How many hits: in the window, or since the last finding.
    pub count: u64,
    /// How many users it tried, or how many addresses were used, as far as they were counted (up to 64).
    pub distinct: u64,
    /// Some of what it asked for or tried, up to 5.
    pub examples: Vec<String>,
    /// Whether the source is a user who is attacked, not an address.
    pub is_user: bool,
    /// When the first was received.
    #[serde(with = "moment::kept")]
    pub first: Timestamp,
    /// When the last was received.
    #[serde(with = "moment::kept")]
    pub last: Timestamp,
}

impl Finding {
    /// The stream of its event.
    #[must_use]
    pub fn stream(&self) -> &'static str {
        match self.kind {
            Kind::Scanner | Kind::CredentialStuffing | Kind::BrokenIn => "SECURITY ALERT",
            Kind::BruteForce | Kind::Crawler => "STRANGE ACTIVITY",
        }
    }

    /// Its level. Who tried many users and got in is critical, and told at night too; who tried one may have remembered.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.kind {
            Kind::BrokenIn if !self.is_user && self.distinct >= USERS_MIN as u64 => Level::Critical,
            Kind::BrokenIn => Level::Error,
            Kind::CredentialStuffing | Kind::BruteForce => Level::Warning,
            Kind::Scanner | Kind::Crawler => Level::Notice,
        }
    }

    /// What happened, in a sentence.
    #[must_use]
    pub fn message(&self) -> String {
        let Self { source, count, distinct, .. } = self;
        match self.kind {
            Kind::Scanner => format!("scanner at {source}: {count} probes"),
            Kind::BruteForce if self.is_user => {
                format!("guessing the password of {source}: {count} failed logins from {distinct} addresses")
            }
            Kind::BruteForce => format!("guessing passwords from {source}: {count} failed logins"),
            Kind::CredentialStuffing => {
                format!("trying stolen passwords from {source}: {count} failed logins of {distinct} users")
            }
            Kind::BrokenIn if self.is_user => format!("a login of {source} succeeded after {count} failed ones"),
            Kind::BrokenIn => format!("a login from {source} succeeded after {count} failed ones"),
            Kind::Crawler => format!("unverified crawler at {source}: {count} addresses that are not here"),
        }
    }

    /// The notice of the rule on security.
    #[must_use]
    pub fn notice(&self, log: &str) -> Notice {
        let mut notice = Notice::new(On::Security.name(), Trigger::Security { count: self.count }, self.last);
        notice.id = notice_id(&["security", self.kind.name(), &self.source, &self.first.to_string()]);
        notice.title = self.message();
        log.clone_into(&mut notice.log);
        notice.level = Some(self.level());
        notice.occurrences = Some(self.count);
        notice.first_seen = Some(self.first);
        notice.last_seen = Some(self.last);
        notice.facts = vec![Fact::new("Kind", self.kind.name()), Fact::new("Source", self.source.clone())];
        if !self.examples.is_empty() {
            notice.facts.push(Fact::new("Examples", self.examples.join(", ")));
        }
        notice.bounded()
    }

    /// Nobody has to act on a scanner: every site on the internet is scanned. It is read in the next digest. Whoever
    /// tries passwords is told of at once.
    #[must_use]
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        let waits = matches!(self.kind, Kind::Scanner | Kind::Crawler);
        waits.then(|| Hold { reason: Reason::NotUrgent, until: after(now, FINDING_EVERY) })
    }
}

/// All sources that are watched. Kept as JSON, and bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// By what is counted and the source: `probe 198.51.100.7`.
    sources: BTreeMap<String, Window>,
    /// Findings of sources that had to leave.
    ready: Vec<Finding>,
}

/// What is counted of a source.
const PROBE: &str = "probe";
const FROM: &str = "login-from";
const OF: &str = "login-of";
const MISSED: &str = "missed";

impl Watch {
    /// Looks at an event. Costs nothing worth naming if it is no hit.
    pub fn see(&mut self, hit: &Hit<'_>, now: Timestamp) {
        if let (Some(ip), Some(probe)) = (hit.ip, hit.probe) {
            self.count(PROBE, ip, now).hit(hit.path.unwrap_or(probe), None, now);
        } else if let (Some(ip), Some(Crawler::Unverified), Some(404)) = (hit.ip, hit.crawler, hit.status) {
            self.count(MISSED, ip, now).hit(hit.path.unwrap_or_default(), None, now);
        }
        match hit.login {
            None => {}
            Some(Login::Failed) => {
                if let Some(ip) = hit.ip {
                    let user = hit.user.unwrap_or_default();
                    self.count(FROM, ip, now).hit(user, hit.user, now);
                }
                if let Some(user) = hit.user {
                    let ip = hit.ip.unwrap_or_default();
                    self.count(OF, user, now).hit(ip, hit.ip, now);
                }
            }
            Some(Login::Succeeded) => self.succeed(hit, now),
        }
    }

    /// A login that succeeds where many failed, of a user who was tried, is told at once, and once for each series.
    fn succeed(&mut self, hit: &Hit<'_>, now: Timestamp) {
        for (what, source, other) in [(FROM, hit.ip, hit.user), (OF, hit.user, hit.ip)] {
            let Some((source, window)) =
                source.and_then(|source| Some((source, self.sources.get_mut(&key(what, source))?)))
            else {
                continue;
            };
            let tried = other.is_none_or(|other| window.has_tried(other));
            let many = window.failures() >= FAILURES_MIN || (what == FROM && window.distinct() >= USERS_MIN);
            if tried && many {
                if window.succeed() {
                    let finding = window.finding(Kind::BrokenIn, source, what == OF);
                    self.ready.push(Finding { count: window.failures(), last: now, ..finding });
                }
                return;
            }
        }
    }

    /// The window of a source; one that ended before `now` is told or forgotten first.
    fn count(&mut self, what: &str, source: &str, now: Timestamp) -> &mut Window {
        let key = key(what, source);
        if self.sources.get(&key).is_some_and(|window| window.due().is_some_and(|due| due <= now)) {
            self.end(&key, now);
        }
        if !self.sources.contains_key(&key) && self.sources.len() >= SOURCES_MAX {
            self.make_room(now);
        }
        self.sources.entry(key).or_insert_with(|| Window::new(now))
    }

    /// Ends the window of a source.
    fn end(&mut self, key: &str, now: Timestamp) {
        let Some(window) = self.sources.get_mut(key) else { return };
        let finding = finding(key, window);
        if finding.is_some() {
            window.tell(now);
        } else if window.is_told() {
            window.defer(now);
        } else {
            self.sources.remove(key);
        }
        self.ready.extend(finding);
    }

    /// A tenth of the sources leaves: those that were quiet for longest. What they did enough of is told.
    fn make_room(&mut self, now: Timestamp) {
        let mut order: Vec<(Timestamp, String)> =
            self.sources.iter().map(|(key, window)| (window.last(), key.clone())).collect();
        order.sort();
        for (_, key) in order.into_iter().take(SOURCES_MAX / 10) {
            self.end(&key, now);
            self.sources.remove(&key);
        }
    }

    /// What there is to tell now.
    pub fn due(&mut self, now: Timestamp) -> Vec<Finding> {
        let ended = |window: &Window| window.due().is_some_and(|due| due <= now);
        let keys: Vec<String> =
            self.sources.iter().filter(|(_, window)| ended(window)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.end(&key, now);
        }
        self.sources.retain(|_, window| elapsed(window.last(), now) < KNOWN_FOR);
        std::mem::take(&mut self.ready)
    }

    /// When [`Watch::due`] may have something to tell. Looks at every source: to be asked once a second, not for each event.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        if !self.ready.is_empty() {
            return Some(Timestamp::from_micros(0));
        }
        self.sources.values().filter_map(Window::due).min()
    }

    /// How many sources are watched.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources.len()
    }
}

fn key(what: &str, source: &str) -> String {
    format!("{what} {}", crate::clean::cut(source, 200))
}

/// What a window comes to.
fn finding(key: &str, window: &Window) -> Option<Finding> {
    let (what, source) = key.split_once(' ')?;
    let kind = match what {
        PROBE if window.count() >= PROBES_MIN => Kind::Scanner,
        MISSED if window.count() >= MISSED_MIN => Kind::Crawler,
        FROM if window.distinct() >= USERS_MIN => Kind::CredentialStuffing,
        FROM if window.count() >= FAILURES_MIN => Kind::BruteForce,
        // From one address alone it is that address that is told of.
        OF if window.count() >= FAILURES_MIN && window.most_of_one() < FAILURES_MIN => Kind::BruteForce,
        _ => return None,
    };
    Some(window.finding(kind, source, what == OF))
}
