//! One event after the other: into its issue, to the detectors, to the limits of configuration errors.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use alerts::configuration::{ConfigurationError, Mailing};
use alerts::watch::{Crawler, Finding, Hit, Login};
use alerts::{Fact, Hold, Measurement, Notice, Trigger, past};
use event::{Level, Timestamp, Value};
use intake::classify::{LOGIN, PROBE};
use intake::redact::{Level as Strictness, Redact, Settings};
use issues::{Deploy, Happening, Issue, Occurrence};
use store::LogId;
use store::catalog::{IssueRow, Reaction};

use super::calls::Happened;
use super::seen::Seen;
use super::{CONFIGURATION, Look, Memory, PASSING, RELEASES, WATCH};
use crate::mark::DEPLOY;
use crate::over::Counted;
use crate::problems::Before;
use crate::{AskError, Engine};

/// New issues of a log in an hour. What is new beyond it is counted in one issue for all of it: a program that makes a
/// new error each time must not make a new issue, and a notice, each time.
pub(crate) const NEW_ISSUES_MAX: u32 = 500;

/// Notices of one look that show what led to their errors: each is a question to the store.
const TRAILS_MAX: u32 = 20;

/// Characters of a step that led to an error: a line of a mail that needs no encoding.
const STEP_CHARACTERS_MAX: usize = 68;

const HOUR_MICROS: i64 = 3_600_000_000;

/// Sources of a log that are kept with each look, and how often more of them are.
const WATCH_SMALL: usize = 200;
const WATCH_KEEP_EVERY: Duration = Duration::from_secs(5);

/// The fingerprint of that issue. No error has it.
pub(crate) const OVERFLOW: &str = "overflow";

/// What it is called.
pub(crate) const OVERFLOW_TITLE: &str = "Further different errors, more than were told apart";

/// New issues of one hour.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NewIssues {
    hour: i64,
    issues: u32,
}

impl NewIssues {
    /// Whether there may be one more now.
    fn admit(&mut self, now: Timestamp) -> bool {
        let hour = now.as_micros().div_euclid(HOUR_MICROS);
        if hour != self.hour {
            *self = Self { hour, issues: 0 };
        }
        self.issues = self.issues.saturating_add(1);
        self.issues <= NEW_ISSUES_MAX
    }
}

impl Memory {
    /// The number of the issue that a fingerprint belongs to.
    pub(super) fn issue_of(&mut self, engine: &Engine, log: LogId, fingerprint: &str) -> Result<Option<u64>, AskError> {
        if let Some(known) = self.known.get(&(log, fingerprint.to_owned())) {
            return Ok(Some(*known));
        }
        let found = engine.store.catalog().issue_of(log, fingerprint).map_err(query::QueryError::from)?;
        if let Some(found) = found {
            self.known.insert((log, fingerprint.to_owned()), found);
        }
        Ok(found)
    }

    /// An issue, read if it is not held.
    pub(crate) fn issue(&mut self, engine: &Engine, id: u64) -> Result<Option<&mut Issue>, AskError> {
        match self.issues.entry(id) {
            Entry::Occupied(held) => Ok(Some(held.into_mut())),
            Entry::Vacant(place) => {
                let row = engine.store.catalog().issue(id).map_err(query::QueryError::from)?;
                let read = row.and_then(|row| serde_json::from_str(&row.body).ok());
                Ok(read.map(|issue| place.insert(issue)))
            }
        }
    }

    /// A new issue for a fingerprint.
    fn open(&mut self, log: LogId, fingerprint: &str, reaction: &mut Reaction) -> u64 {
        self.last_issue += 1;
        let id = self.last_issue;
        self.issues.insert(id, Issue::new(id.to_string()));
        self.known.insert((log, fingerprint.to_owned()), id);
        reaction.fingerprints.push((log, fingerprint.to_owned(), id));
        id
    }
}

/// How an issue is kept.
pub(crate) fn issue_row(log: LogId, id: u64, issue: &Issue) -> IssueRow {
    let state = serde_json::to_value(issue.state).ok().and_then(|state| state.as_str().map(str::to_owned));
    let mut body = serde_json::to_value(issue).unwrap_or_default();
    // What lists look for.
    body["title"] = issue.title().into();
    body["culprit"] = issue.culprit().into();
    IssueRow {
        id,
        log,
        state: state.unwrap_or_default(),
        level: issue.level().severity_number(),
        last_seen: issue.last().map_or(Timestamp::from_micros(0), |(time, _)| time),
        body: body.to_string(),
    }
}

/// What a look changed, and is to be kept at its end.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) issues: BTreeMap<u64, LogId>,
    watches: BTreeSet<LogId>,
    releases: BTreeSet<LogId>,
    pub(super) passing: BTreeSet<String>,
}

impl Memory {
    /// Puts all that was changed into what is to be kept.
    pub(crate) fn keep_touched(&mut self, reaction: &mut Reaction) {
        let touched = std::mem::take(&mut self.touched);
        for (id, log) in touched.issues {
            reaction.issues.extend(self.issues.get(&id).map(|issue| issue_row(log, id, issue)));
        }
        for log in touched.watches {
            // That of an attack from everywhere is large: what was seen since it was kept last is seen again after a crash
            // or missing in its count.
            let is_large = self.watches.get(&log).is_some_and(|watch| watch.sources() > WATCH_SMALL);
            if is_large && self.watch_kept.get(&log).is_some_and(|kept| kept.elapsed() < WATCH_KEEP_EVERY) {
                self.touched.watches.insert(log);
                continue;
            }
            self.watch_kept.insert(log, Instant::now());
            let watch = self.watches.get(&log).and_then(|watch| serde_json::to_string(watch).ok());
            reaction.memories.push((format!("{WATCH}{}", log.0), watch));
        }
        for log in touched.releases {
            let releases = self.releases.get(&log).and_then(|releases| serde_json::to_string(releases).ok());
            reaction.memories.push((format!("{RELEASES}{}", log.0), releases));
        }
        for name in touched.passing {
            let passing = self.passing.get(&name).and_then(|passing| serde_json::to_string(passing).ok());
            reaction.memories.push((format!("{PASSING}{name}"), passing));
        }
        let errors = self.configuration.changed().into_iter();
        reaction.memories.extend(errors.map(|(key, body)| (format!("{CONFIGURATION}{key}"), body)));
    }
}

/// What is told of the event in a notice.
struct Telling<'s> {
    environment: Option<&'s str>,
    release: Option<&'s str>,
    level: Level,
    event: Option<&'s Seen>,
    /// Whether it is told later, as it happened long ago.
    hold: Option<Hold>,
}

impl Engine {
    /// Whatever follows from one event.
    pub(super) fn fold(&self, look: &mut Look<'_>, (log, name): (LogId, &str), seen: Seen) -> Result<(), AskError> {
        match seen.text("event") {
            Some(DEPLOY) => note_deploy(look.memory, log, &seen),
            Some(issues::CONFIGURATION_ERROR) => self.configuration_error(look, name, &seen),
            // Nobody is at the door of yesterday.
            _ if self.watches(log) && !seen.is_past => watch(look.memory, log, &seen),
            _ => {}
        }
        if seen.fingerprint.is_none() {
            return Ok(());
        }
        match look.memory.failed.admit(log, seen, &mut look.reaction) {
            Some(seen) => self.count_error(look, (log, name), &seen),
            None => Ok(()),
        }
    }

    /// Counts the answers of a log that waited in vain for their exceptions, when all up to a moment was looked at.
    pub(super) fn count_late(
        &self,
        look: &mut Look<'_>,
        (log, name): (LogId, &str),
        moment: Timestamp,
    ) -> Result<(), AskError> {
        while let Some(seen) = look.memory.failed.late(log, moment, &mut look.reaction) {
            self.count_error(look, (log, name), &seen)?;
        }
        Ok(())
    }

    fn count_error(&self, look: &mut Look<'_>, (log, name): (LogId, &str), seen: &Seen) -> Result<(), AskError> {
        let Some(fingerprint) = seen.fingerprint.as_deref() else { return Ok(()) };
        // It was refused before for being too much, and counted then.
        let is_counted = self.reacting.over.lock().was_counted(log, &seen.id);
        let user = seen.user.as_deref().map(|user| issues::user_hash(look.memory.users_key, user));
        let (release, environment) = (seen.text("release").unwrap_or(""), seen.text("environment").unwrap_or(""));
        let group = seen.group.as_ref();
        let level = seen.level.unwrap_or(Level::Error).max(Level::Error);
        let occurrence = Occurrence {
            id: &seen.id,
            fingerprint,
            title: group.map_or("", |group| &group.title),
            culprit: group.map_or("", |group| &group.culprit),
            level: seen.level.unwrap_or(Level::Error),
            time: seen.time,
            received: seen.received,
            times: u64::from(!is_counted),
            release,
            environment,
            user,
        };
        let telling = Telling {
            environment: Some(environment).filter(|text| !text.is_empty()),
            release: Some(release).filter(|text| !text.is_empty()),
            level,
            event: Some(seen),
            hold: hold(seen, look.now),
        };
        self.count(look, (log, name), &occurrence, &telling)?;
        self.pass_on(look, (log, name), seen)
    }

    /// Counts what was refused for being too much.
    pub(super) fn count_over(&self, look: &mut Look<'_>) -> Result<(), AskError> {
        let (counted, ids) = self.reacting.over.lock().take();
        look.reaction.memories.extend(ids);
        let names = self.log_numbers();
        for one in &counted {
            let Some(name) = names.get(&one.log) else { continue };
            let Counted { group, level, release, environment, times, users, time, received, .. } = one;
            let telling = Telling {
                environment: Some(environment.as_str()).filter(|text| !text.is_empty()),
                release: Some(release.as_str()).filter(|text| !text.is_empty()),
                level: level.unwrap_or(Level::Error),
                event: None,
                hold: None,
            };
            let mut occurrence = Occurrence {
                // It is not kept, so that nobody finds it by its id.
                id: "",
                fingerprint: &group.fingerprint,
                title: &group.title,
                culprit: &group.culprit,
                level: level.unwrap_or(Level::Error),
                time: *time,
                received: *received,
                times: *times,
                release,
                environment,
                user: None,
            };
            let mut users = users.iter().map(|user| issues::user_hash(look.memory.users_key, user)).collect::<Vec<_>>();
            occurrence.user = users.pop();
            self.count(look, (one.log, name), &occurrence, &telling)?;
            for user in users {
                let more = Occurrence { times: 0, user: Some(user), ..occurrence };
                self.count(look, (one.log, name), &more, &telling)?;
            }
        }
        Ok(())
    }

    fn count(
        &self,
        look: &mut Look<'_>,
        (log, name): (LogId, &str),
        occurrence: &Occurrence<'_>,
        telling: &Telling<'_>,
    ) -> Result<(), AskError> {
        let mut occurrence = *occurrence;
        let found = look.memory.issue_of(self, log, occurrence.fingerprint)?;
        let number = match found {
            Some(number) => number,
            None if look.memory.new.entry(log).or_default().admit(look.now) => {
                look.memory.open(log, occurrence.fingerprint, &mut look.reaction)
            }
            None => {
                (occurrence.fingerprint, occurrence.title, occurrence.culprit) = (OVERFLOW, OVERFLOW_TITLE, "");
                match look.memory.issue_of(self, log, OVERFLOW)? {
                    Some(number) => number,
                    None => look.memory.open(log, OVERFLOW, &mut look.reaction),
                }
            }
        };
        if telling.hold.is_none() {
            look.memory.count_for_spikes(name, number, occurrence.times, look.now);
        }
        if look.memory.releases.entry(log).or_default().see(occurrence.release, occurrence.moment()) {
            look.memory.touched.releases.insert(log);
        }
        let releases = look.memory.releases.remove(&log).unwrap_or_default();
        let happenings = match look.memory.issue(self, number)? {
            Some(issue) => {
                let happenings = issue.fold(&occurrence, &releases);
                look.memory.touched.issues.insert(number, log);
                happenings
            }
            None => Vec::new(),
        };
        look.memory.releases.insert(log, releases);
        for happening in happenings {
            self.call_for_issue(look, (number, name), &happening, telling);
        }
        Ok(())
    }

    fn call_for_issue(
        &self,
        look: &mut Look<'_>,
        (number, name): (u64, &str),
        happening: &Happening,
        telling: &Telling<'_>,
    ) {
        let (trigger, suspect) = match happening {
            Happening::New { suspect } => (Trigger::NewIssue, suspect.as_ref()),
            Happening::Regressed { suspect, .. } => (Trigger::Regression, suspect.as_ref()),
            Happening::Reached { occurrences } if *occurrences > 1 => (Trigger::Reached(*occurrences), None),
            // The first is a new issue, and told as that.
            Happening::Reached { .. } | Happening::NewRelease { .. } => return,
            Happening::IgnoreEnded => (Trigger::Regression, None),
        };
        let Some(issue) = look.memory.issues.get(&number) else { return };
        let mut notice = self.notice_of((trigger, look.now), issue, name, telling);
        notice.suspect_deploy = suspect.map(|deploy| deploy.release.clone());
        if look.trails < TRAILS_MAX && !look.memory.calls.listening(&notice).is_empty() {
            look.trails += 1;
            notice.trail = telling.event.map(|seen| self.steps_before(name, seen)).unwrap_or_default();
        }
        let moment = format!("{} {}", notice.trigger.says(), issue.occurrences());
        let (measurement, hold) = (Measurement::Happened(1), telling.hold);
        let happened = Happened { notice, group: number.to_string(), measurement, moment, hold };
        self.call_rules(look, &happened, telling.event);
    }

    /// What led to an error, a line each.
    fn steps_before(&self, name: &str, seen: &Seen) -> Vec<String> {
        let timestamp = seen.time.to_string();
        let before = Before {
            sequence: seen.sequence,
            timestamp: &timestamp,
            request_id: seen.text("request_id"),
            session: seen.text("session"),
            user: seen.user.as_deref(),
        };
        let steps = self.trail(name, &before).unwrap_or_default();
        let line = |step: &serde_json::Value| {
            let text = |key: &str| step.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
            let request = [text("method"), text("path").or_else(|| text("url"))];
            let request = request.into_iter().flatten().collect::<Vec<_>>().join(" ");
            // The time of day is enough: it is the day of the notice, or the one before.
            let time = text("timestamp").and_then(|time| time.get(11..19));
            let parts = [text("event"), Some(request.as_str()), text("message")];
            let said = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
            let line = [time.unwrap_or_default(), &discreet(&said)].join(" ");
            line.trim_start().chars().take(STEP_CHARACTERS_MAX).collect()
        };
        steps.iter().map(line).collect()
    }

    fn notice_of(
        &self,
        (trigger, now): (Trigger, Timestamp),
        issue: &Issue,
        name: &str,
        telling: &Telling<'_>,
    ) -> Notice {
        let mut notice = Notice::new("", trigger, now);
        notice.title = discreet(issue.title());
        name.clone_into(&mut notice.log);
        notice.environment = telling.environment.map(str::to_owned);
        notice.release = telling.release.map(str::to_owned);
        notice.level = Some(telling.level);
        notice.issue = Some(issue.id.clone());
        notice.occurrences = Some(issue.occurrences());
        notice.users = Some(issue.users().users).filter(|users| *users > 0);
        notice.first_seen = issue.first().map(|(time, _)| time);
        notice.last_seen = issue.last().map(|(time, _)| time);
        notice.link = self.link(&format!("/issues/{}", issue.id));
        let Some(seen) = telling.event else { return notice };
        notice.method = seen.owned("method");
        notice.path = seen.text("url").or_else(|| seen.text("path")).map(discreet);
        notice.message = seen.text("exception.message").or_else(|| seen.text("message")).map(discreet);
        let facts = [
            ("Where", Some(issue.culprit().to_owned()).filter(|culprit| !culprit.is_empty())),
            ("User", seen.user.clone()),
            ("Browser", seen.owned("client.name")),
            ("System", seen.owned("client.os")),
            ("Host", seen.owned("host")),
            ("Request id", seen.owned("request_id")),
            ("Event", Some(seen.id.clone())),
        ];
        notice.facts = facts.into_iter().filter_map(|(label, value)| Some(Fact::new(label, value?))).collect();
        notice
    }

    /// Passes what happened by all rules that listen to it.
    pub(super) fn call_rules(&self, look: &mut Look<'_>, happened: &Happened, seen: Option<&Seen>) {
        for rule in look.memory.calls.listening(&happened.notice) {
            let passes = match (&rule.search, seen) {
                (Some(search), Some(seen)) => self.passes(&happened.notice.log, search, seen),
                // What stands for no single event is not searched.
                (Some(_), None) => false,
                (None, _) => true,
            };
            if passes {
                look.memory.calls.call(&rule, happened, look.now, &mut look.reaction);
            }
        }
    }

    fn configuration_error(&self, look: &mut Look<'_>, name: &str, seen: &Seen) {
        let now = look.now;
        let error = ConfigurationError {
            message: seen.owned("message").unwrap_or_default(),
            object: seen.owned("object"),
            url: seen.owned("url").or_else(|| seen.owned("path")),
            config_field: seen.owned("config_field"),
        };
        let mailing = look.memory.configuration.see(&error, self.settings.config_error_rate_limit_hours, now);
        let Mailing::Mail { held } = mailing else { return };
        let mut notice = Notice { environment: seen.owned("environment"), ..error.notice(name, held, now) };
        notice.title = discreet(&notice.title);
        notice.message = notice.message.as_deref().map(discreet);
        let happened = Happened {
            notice,
            group: error.key(),
            measurement: Measurement::Happened(1),
            moment: now.to_string(),
            hold: hold(seen, now),
        };
        self.call_rules(look, &happened, Some(seen));
    }

    /// Tells what detectors found: as an event of the log, and by the rules on security.
    pub(super) fn tell_findings(&self, look: &mut Look<'_>) -> Result<(), AskError> {
        let now = look.now;
        let names = self.log_numbers();
        let logs: Vec<LogId> = look.memory.watches.keys().copied().collect();
        for log in logs {
            let Some(name) = names.get(&log) else {
                look.memory.watches.remove(&log);
                continue;
            };
            let Some(watch) =
                look.memory.watches.get_mut(&log).filter(|watch| watch.next_due().is_some_and(|due| due <= now))
            else {
                continue;
            };
            let findings = watch.due(now);
            look.memory.touched.watches.insert(log);
            for finding in findings {
                self.keep_finding(name, &finding, now)?;
                let notice = finding.notice(name);
                let happened = Happened {
                    moment: notice.id.clone(),
                    notice,
                    group: format!("{} {}", finding.kind.name(), finding.source),
                    measurement: Measurement::Happened(1),
                    hold: finding.hold(now),
                };
                self.call_rules(look, &happened, None);
            }
        }
        Ok(())
    }

    /// The event that tells of a finding. Its id is made of what it tells, so that it is there once even if the look is
    /// done again after a crash.
    fn keep_finding(&self, name: &str, finding: &Finding, now: Timestamp) -> Result<(), AskError> {
        let id = finding.notice(name).id;
        let examples = serde_json::to_string(&finding.examples).unwrap_or_default();
        let (first, last) = (finding.first.to_string(), finding.last.to_string());
        let mut fields = vec![
            ("count", Value::Int(i64::try_from(finding.count).unwrap_or(i64::MAX))),
            ("kind", Value::Str(finding.kind.name())),
            ("first_seen", Value::Str(&first)),
            ("last_seen", Value::Str(&last)),
            ("examples", Value::Raw(&examples)),
        ];
        // A user who is attacked did nothing: the event stays that of the system.
        fields.push((if finding.is_user { "attacked" } else { "ip" }, Value::Str(&finding.source)));
        self.keep_alert(
            name,
            (finding.stream(), finding.level(), finding.kind.name()),
            &finding.message(),
            (&id, &fields, now),
        )
    }
}

/// A text without addresses and telephone numbers of people, whatever the log keeps: a notice goes to services of others.
fn discreet(text: &str) -> String {
    static STRICT: LazyLock<Option<Redact>> =
        LazyLock::new(|| Redact::new(&Settings::default(), Strictness::Strict, None).ok());
    STRICT.as_ref().and_then(|strict| strict.text(text)).unwrap_or_else(|| text.to_owned())
}

/// What is of the past is told with others of its kind.
fn hold(seen: &Seen, now: Timestamp) -> Option<Hold> {
    seen.is_past.then(|| past::hold(now))
}

/// A deploy that somebody told of.
fn note_deploy(memory: &mut Memory, log: LogId, seen: &Seen) {
    let Some(release) = seen.text("release").filter(|_| seen.level.is_none_or(|level| level < Level::Error)) else {
        return;
    };
    let releases = memory.releases.entry(log).or_default();
    releases.deploy(Deploy {
        release: release.to_owned(),
        environment: seen.owned("environment").unwrap_or_default(),
        time: seen.time.min(seen.received),
        user: seen.user.clone().unwrap_or_default(),
        comment: seen.owned("message").unwrap_or_default(),
    });
    memory.touched.releases.insert(log);
}

fn watch(memory: &mut Memory, log: LogId, seen: &Seen) {
    let login = match seen.text(LOGIN) {
        Some("failed") => Some(Login::Failed),
        Some("succeeded") => Some(Login::Succeeded),
        _ => None,
    };
    let is_crawler = seen.text("client.kind") == Some("crawler");
    // Of one whose address nobody knows yet nothing is said.
    let crawler = seen.flag("client.verified").filter(|_| is_crawler);
    let hit = Hit {
        ip: seen.text("ip"),
        user: seen.user.as_deref(),
        path: seen.text("path").or_else(|| seen.text("url")),
        status: seen.status(),
        probe: seen.text(PROBE),
        login,
        crawler: crawler.map(|verified| if verified { Crawler::Verified } else { Crawler::Unverified }),
    };
    if hit.probe.is_none() && hit.login.is_none() && hit.crawler.is_none() {
        return;
    }
    let watch = memory.watches.entry(log).or_default();
    watch.see(&hit, seen.received);
    memory.touched.watches.insert(log);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_no_address() {
        let check = |text: &str, expected: &str| assert_eq!(discreet(text), expected);
        check("no order 17 of bob@example.com, +44 20 7946 0958", "no order 17 of [REDACTED:email], [REDACTED:phone]");
        check("POST /login bob@example.com", "POST /login [REDACTED:email]");
        check("GET /cart 10023456", "GET /cart 10023456");
    }
}
