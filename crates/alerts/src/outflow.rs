//! What goes to one channel: so many notices an hour, none at night, but what is critical, and one digest of all the
//! others. Every notice that is offered is either sent or in a digest: sent + digested + waiting = offered.

use std::collections::VecDeque;
use std::time::Duration;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::channel::{Channel, HOURLY_CAP_MAX};
use crate::clean::{cut, line};
use crate::hours::QuietHours;
use crate::moment::{self, after, elapsed};
use crate::notice::{Notice, TRAIL_MAX, notice_id};
use crate::rule::Rule;
use crate::state::{Hold, Reason};
use crate::trigger::Trigger;

/// Most different lines that wait for a digest; what does not fit is counted as others.
pub(crate) const LINES_MAX: usize = 200;
/// Shortest time between two digests.
pub(crate) const DIGEST_EVERY: Duration = Duration::from_hours(1);
/// How long what is over the cap waits for more of its kind: long enough for one digest, short enough to be news.
pub(crate) const DIGEST_AFTER: Duration = Duration::from_mins(5);
/// Longest line of a digest, in characters.
const LINE_CHARACTERS_MAX: usize = 240;

const HOUR: Duration = Duration::from_hours(1);

/// What is remembered of one channel. Kept as JSON, and bounded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outflow {
    /// When notices of the last hour were sent.
    sent: VecDeque<Moment>,
    lines: Vec<Line>,
    /// Notices whose lines did not fit.
    others: u64,
    #[serde(with = "moment::kept_or_null")]
    others_due: Option<Timestamp>,
    #[serde(with = "moment::kept_or_null")]
    digested: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Moment(#[serde(with = "moment::kept")] Timestamp);

/// Notices of one kind that wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    headline: String,
    reason: Reason,
    count: u64,
    #[serde(with = "moment::kept")]
    due: Timestamp,
    /// Whether it comes with a digest that others made due: what somebody asked to be spared until then does not.
    #[serde(default)]
    is_early: bool,
    #[serde(default)]
    link: Option<String>,
}

impl Line {
    fn is_taken(&self, now: Timestamp) -> bool {
        self.is_early || self.due <= now
    }
}

/// What the line of a digest is known by that a notice with this reason waits in.
#[must_use]
pub fn line_key(notice: &Notice, reason: Reason) -> String {
    key_of(&headline(notice), reason)
}

fn headline(notice: &Notice) -> String {
    cut(&notice.headline(), LINE_CHARACTERS_MAX)
}

fn key_of(headline: &str, reason: Reason) -> String {
    notice_id(&[reason.says(), headline])
}

/// What became of a notice that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is to be sent now.
    Send,
    /// It waits for a digest.
    Held(Reason),
}

/// What holds a notice back on its way to a channel.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    hourly_cap: u32,
    quiet_hours: Option<&'a QuietHours>,
    hold: Option<Hold>,
}

impl<'a> Limits<'a> {
    /// Those of a rule and a channel, of which the rule's own come first, and what a step said.
    #[must_use]
    pub fn of(rule: Option<&'a Rule>, channel: &'a Channel, hold: Option<Hold>) -> Self {
        let hours = rule.and_then(|rule| rule.quiet_hours.as_ref());
        Self {
            hourly_cap: rule.and_then(|rule| rule.hourly_cap).unwrap_or(channel.hourly_cap).clamp(1, HOURLY_CAP_MAX),
            quiet_hours: hours.or(channel.quiet_hours.as_ref()),
            hold,
        }
    }
}

impl Outflow {
    /// Decides about a notice: it is sent now, or it is counted here until its digest is due.
    pub fn offer(&mut self, notice: &Notice, limits: &Limits<'_>, now: Timestamp) -> Admission {
        self.forget(now);
        let Some(hold) = self.hold(notice, limits, now) else {
            self.sent.push_back(Moment(now));
            return Admission::Send;
        };
        // A digest comes when it may be read, and not in the night.
        let due = limits.quiet_hours.and_then(|hours| hours.end(hold.until)).unwrap_or(hold.until);
        // Who is told that it is over reads first that it began, and the quiet hours of a rule hold for digests too.
        let is_early = due == hold.until
            && match hold.reason {
                Reason::HourlyCap | Reason::Past => true,
                Reason::NotUrgent => !notice.resolved,
                Reason::Window | Reason::Snooze | Reason::QuietHours => false,
            };
        self.add(notice, hold.reason, due, is_early);
        Admission::Held(hold.reason)
    }

    fn hold(&self, notice: &Notice, limits: &Limits<'_>, now: Timestamp) -> Option<Hold> {
        if limits.hold.is_some() {
            return limits.hold;
        }
        let night = limits.quiet_hours.filter(|_| !notice.is_critical()).and_then(|hours| hours.end(now));
        if let Some(until) = night {
            return Some(Hold { reason: Reason::QuietHours, until });
        }
        // What is critical has as much room again.
        let room = if notice.is_critical() { limits.hourly_cap.saturating_mul(2) } else { limits.hourly_cap };
        let full = self.sent.len() >= usize::try_from(room).unwrap_or(usize::MAX);
        full.then(|| Hold { reason: Reason::HourlyCap, until: after(now, DIGEST_AFTER) })
    }

    fn add(&mut self, notice: &Notice, reason: Reason, due: Timestamp, is_early: bool) {
        let headline = headline(notice);
        let same = |line: &&mut Line| line.reason == reason && line.headline == headline;
        if let Some(line) = self.lines.iter_mut().find(same) {
            line.count = line.count.saturating_add(1);
            line.due = line.due.min(due);
            line.is_early |= is_early;
        } else if self.lines.len() < LINES_MAX {
            self.lines.push(Line { headline, reason, count: 1, due, is_early, link: notice.link.clone() });
        } else {
            self.others = self.others.saturating_add(1);
            self.others_due = Some(self.others_due.map_or(due, |earlier| earlier.min(due)));
        }
    }

    fn forget(&mut self, now: Timestamp) {
        // A clock that was set back would keep moments of the future for ever: they are taken as now.
        for moment in &mut self.sent {
            moment.0 = moment.0.min(now);
        }
        while self.sent.front().is_some_and(|moment| elapsed(moment.0, now) >= HOUR) {
            self.sent.pop_front();
        }
    }

    /// Notices that wait for a digest.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.lines.iter().map(|line| line.count).sum::<u64>().saturating_add(self.others)
    }

    /// Whether notices of this [`line_key`] still wait. To be asked after a digest.
    #[must_use]
    pub fn is_held(&self, key: &str) -> bool {
        self.lines.iter().any(|line| key_of(&line.headline, line.reason) == key)
    }

    /// When there is a digest to be sent.
    #[must_use]
    pub fn next_due(&self, channel: &Channel) -> Option<Timestamp> {
        let first = self.lines.iter().map(|line| line.due).chain(self.others_due).min()?;
        let next = self.digested.map_or(first, |last| first.max(after(last, DIGEST_EVERY)));
        Some(channel.quiet_hours.as_ref().and_then(|hours| hours.end(next)).unwrap_or(next))
    }

    /// The digest, if one is due: of all that waits but what is held longer by a snooze, quiet hours or `repeat`. It is to be
    /// sent to this channel, beside its cap, once an hour at most and never at night.
    pub fn due(&mut self, channel: &Channel, now: Timestamp) -> Option<Notice> {
        let asleep = channel.quiet_hours.as_ref().is_some_and(|hours| hours.end(now).is_some());
        if asleep || self.next_due(channel)? > now {
            return None;
        }
        let (mut due, later): (Vec<Line>, Vec<Line>) = self.lines.drain(..).partition(|line| line.is_taken(now));
        self.lines = later;
        // Of those without a line there is nothing but their count.
        let others = std::mem::take(&mut self.others);
        let count = due.iter().map(|line| line.count).fold(others, u64::saturating_add);
        self.others_due = None;
        self.digested = Some(now);
        due.sort_by_key(|line| std::cmp::Reverse(line.count));
        Some(digest(&channel.name, &due, count, now))
    }
}

fn digest(channel: &str, due: &[Line], count: u64, now: Timestamp) -> Notice {
    let mut notice = Notice::new("digest", Trigger::Digest { count }, now);
    notice.id = notice_id(&["digest", channel, &now.to_string()]);
    let shown = due.len().min(TRAIL_MAX - 1);
    for entry in due.iter().take(shown) {
        let times = if entry.count == 1 { String::new() } else { format!("{} × ", entry.count) };
        notice.trail.push(format!("{times}{} ({})", line(&entry.headline), entry.reason.says()));
    }
    let told: u64 = due.iter().take(shown).map(|line| line.count).sum();
    if count > told {
        notice.trail.push(format!("and {} others", count - told));
    }
    notice.held = count;
    // Of several, the page of all of them would be another link: that is the server's to set.
    if let [only] = due {
        notice.link.clone_from(&only.link);
    }
    notice
}
