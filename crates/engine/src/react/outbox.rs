//! Notices, and errors that are passed on, on their way: what is due, what became of it, and the history of both.

use std::collections::{HashMap, HashSet};

use alerts::Notice;
use alerts::backoff::{Attempt, Next};
use event::{Level, Timestamp, Value};
use serde::{Deserialize, Serialize};
use store::StoreError;
use store::catalog::{DeliveryRow, Reaction};

use super::passing::PassedError;
use crate::Engine;

/// After so many attempts a notice holds up later ones no longer: a quarter of an hour.
const ALONE_AFTER: u32 = 10;

/// Notices that are kept as history; those that still wait stay beyond it.
pub(super) const HISTORY_MAX: u64 = 10_000;

/// Deliveries that are handed out at a time.
const DUE_MAX: usize = 64;

/// How long the reasons are that are kept, in characters.
const REASON_MAX: usize = 500;

/// What is sent.
#[derive(Clone, Debug)]
pub enum Posted {
    /// A notice.
    Notice(Box<Notice>),
    /// An error itself.
    Error(PassedError),
}

/// Something that is to be sent now.
#[derive(Clone, Debug)]
pub struct Due {
    /// The number of the delivery.
    pub id: u64,
    /// To which channel.
    pub channel: String,
    /// What is sent.
    pub what: Posted,
    /// Those of the channel who are still to get it; all when it is empty.
    pub only: Vec<String>,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It is there.
    Sent {
        /// What the other side said.
        answer: String,
    },
    /// Some did not get it, and may with another attempt.
    Partly {
        /// Who.
        missed: Vec<String>,
        /// Why.
        reason: String,
    },
    /// It did not arrive.
    Failed {
        /// Whether another attempt is useless.
        permanent: bool,
        /// Why.
        reason: String,
        /// How long the other side asks to be left alone.
        wait: Option<std::time::Duration>,
        /// Whether that says nothing of the channel, so that others need not wait behind it.
        alone: bool,
    },
}

/// What is kept of a delivery.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    attempts: u32,
    since: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    answer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    only: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<PassedError>,
    /// There if what failed last was its own failure: others for the channel do not wait behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    alone: Option<bool>,
}

/// A notice of the past, with what became of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its number: what to give as `before` for those before it.
    pub number: u64,
    /// What was told.
    pub notice: Notice,
    /// To whom: channel, state, when it is tried next or ended, and what is known of it.
    pub deliveries: Vec<DeliveryRow>,
}

/// What a channel has with what it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// Whether it refused for good, with these settings.
    pub is_broken: bool,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// When a channel was set or tried: what it refused before says nothing any more.
const MENDED: &str = "mended/";

pub(super) fn mended(channel: &str, now: Timestamp) -> (String, Option<String>) {
    (format!("{MENDED}{channel}"), Some(now.to_string()))
}

impl Engine {
    /// Whether what is sent to a channel gets there: by what became of the last.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn channel_trouble(&self, channel: &str) -> Result<Option<Trouble>, StoreError> {
        let Some(row) = self.store.catalog().delivery_tried_last(channel)? else { return Ok(None) };
        let kept: Kept = serde_json::from_str(&row.body).unwrap_or_default();
        let is_broken = row.state == "failed";
        if row.state == "sent" {
            return Ok(None);
        }
        let since = Timestamp::parse(&kept.since).map_or(row.due, |(time, _)| time);
        let since = if is_broken { row.due } else { since };
        let mended = self.store.catalog().memories(&format!("{MENDED}{channel}"))?;
        let mended = mended.iter().find(|(name, _)| name[MENDED.len()..] == *channel);
        let mended = mended.and_then(|(_, text)| Timestamp::parse(text)).map(|(time, _)| time);
        if is_broken && mended.is_some_and(|mended| mended >= since) {
            return Ok(None);
        }
        Ok(Some(Trouble { is_broken, since, reason: kept.reason }))
    }

    /// A channel took what it was tried with.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn channel_mended(&self, channel: &str) -> Result<(), StoreError> {
        let memories = vec![mended(channel, self.clock.now())];
        self.store.catalog().react(&Reaction { memories, ..Reaction::default() })
    }

    /// Deliveries that are due, in the order in which they were posted, and none for these channels. All others of a channel
    /// wait behind one that the channel did not take, so that nobody hears that something is over before it began.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn deliveries_due(&self, busy: &HashSet<String>) -> Result<Vec<Due>, StoreError> {
        let now = self.clock.now();
        let mut found = Vec::new();
        for row in self.store.catalog().deliveries_due(now, busy, DUE_MAX)? {
            let kept: Kept = serde_json::from_str(&row.body).unwrap_or_default();
            let what = match kept.error {
                Some(error) => Some(Posted::Error(error)),
                None => {
                    let notice = self.store.catalog().notice(row.notice)?;
                    notice.and_then(|row| serde_json::from_str(&row.body).ok()).map(Posted::Notice)
                }
            };
            match what {
                Some(what) => found.push(Due { id: row.id, channel: row.channel, what, only: kept.only }),
                // Its notice went, or a later version wrote it: nobody can send it.
                None => self.close_delivery(row, now, "its notice cannot be read any more")?,
            }
        }
        Ok(found)
    }

    fn close_delivery(&self, mut row: DeliveryRow, now: Timestamp, reason: &str) -> Result<(), StoreError> {
        let mut kept: Kept = serde_json::from_str(&row.body).unwrap_or_default();
        reason.clone_into(&mut kept.reason);
        row.body = serde_json::to_string(&kept).unwrap_or_default();
        "failed".clone_into(&mut row.state);
        row.due = now;
        self.store.catalog().react(&Reaction { deliveries: vec![row], ..Reaction::default() })
    }

    /// When the next delivery is due, and how many wait.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn deliveries_waiting(&self) -> Result<(Option<Timestamp>, u64), StoreError> {
        self.store.catalog().deliveries_waiting()
    }

    /// Keeps what became of a delivery. `chance`, from 0 to 1, spreads attempts that failed together.
    ///
    /// # Errors
    /// When the catalog refuses: it is sent again then.
    pub fn delivery_settled(&self, id: u64, settled: &Settled, chance: f64) -> Result<(), StoreError> {
        let now = self.clock.now();
        let Some(mut row) = self.store.catalog().delivery(id)?.filter(|row| row.state == "waiting") else {
            return Ok(());
        };
        let mut kept: Kept = serde_json::from_str(&row.body).unwrap_or_default();
        kept.attempts += 1;
        let since = Timestamp::parse(&kept.since).map_or(now, |(time, _)| time);
        let retry_after = match settled {
            Settled::Failed { wait, .. } => *wait,
            _ => None,
        };
        let next = Attempt { failed: kept.attempts, since, retry_after, jitter: chance }.next(now);
        let again = match (settled, next) {
            (Settled::Sent { .. } | Settled::Failed { permanent: true, .. }, _) | (_, Next::Dead) => None,
            (_, Next::At(time)) => Some(time),
        };
        match settled {
            Settled::Sent { answer } => {
                kept.answer = cut(answer);
                kept.reason.clear();
                kept.only.clear();
            }
            Settled::Partly { missed, reason } => {
                kept.only.clone_from(missed);
                kept.reason = cut(reason);
            }
            Settled::Failed { reason, .. } => kept.reason = cut(reason),
        }
        // Errors have no order, and what fails again and again may do so by what it says.
        let is_alone = matches!(settled, Settled::Partly { .. } | Settled::Failed { alone: true, .. })
            || kept.error.is_some()
            || kept.attempts >= ALONE_AFTER;
        kept.alone = is_alone.then_some(true);
        row.state = match (settled, again) {
            (Settled::Sent { .. }, _) => "sent",
            (_, Some(_)) => "waiting",
            (_, None) => "failed",
        }
        .to_owned();
        row.due = again.unwrap_or(now);
        row.body = serde_json::to_string(&kept).unwrap_or_default();
        let (channel, is_over) = (row.channel.clone(), row.state == "failed");
        let what = if kept.error.is_some() { "an error" } else { "a notice" };
        self.store.catalog().react(&Reaction { deliveries: vec![row], ..Reaction::default() })?;
        self.reacting.note_delivery(&channel, !matches!(settled, Settled::Failed { .. }), self.clock.now());
        if is_over {
            let message = format!("{what} for the channel {channel} is given up: {}", kept.reason);
            let fields = [("channel", Value::Str(&channel)), ("reason", Value::Str(&kept.reason))];
            self.internal(Level::Error, "notice_failed", &message, &fields);
        }
        Ok(())
    }

    /// The latest notices before one of this number, newest first, with what became of them.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn notices(&self, before: Option<u64>, limit: usize) -> Result<Vec<Told>, StoreError> {
        let rows = self.store.catalog().notices(before.unwrap_or(u64::MAX), limit)?;
        let mut found = Vec::with_capacity(rows.len());
        let mut in_front: HashMap<String, Option<DeliveryRow>> = HashMap::new();
        for row in rows {
            let Ok(notice) = serde_json::from_str(&row.body) else { continue };
            let mut deliveries = self.store.catalog().deliveries_of(row.id)?;
            for delivery in deliveries.iter_mut().filter(|delivery| delivery.state == "waiting") {
                if !in_front.contains_key(&delivery.channel) {
                    let first = self.store.catalog().delivery_in_front(&delivery.channel)?;
                    in_front.insert(delivery.channel.clone(), first);
                }
                if let Some(Some(first)) = in_front.get(&delivery.channel) {
                    say_behind(delivery, first);
                }
            }
            found.push(Told { number: row.id, notice, deliveries });
        }
        Ok(found)
    }
}

/// Says of a delivery that was not tried yet what it waits behind.
fn say_behind(delivery: &mut DeliveryRow, first: &DeliveryRow) {
    let Ok(mut kept) = serde_json::from_str::<Kept>(&delivery.body) else { return };
    if kept.attempts == 0 && first.id < delivery.id {
        kept.reason = format!("behind notice {}", first.notice);
        delivery.body = serde_json::to_string(&kept).unwrap_or_default();
    }
}

fn cut(text: &str) -> String {
    text.chars().take(REASON_MAX).collect()
}
