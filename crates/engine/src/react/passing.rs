//! Errors that nobody caught go on to trackers that teams have already, each to the channels of its environment.

use alerts::{Channel, TRACKER};
use event::{Level, Value};
use serde::{Deserialize, Serialize};
use store::LogId;

use super::Look;
use super::seen::Seen;
use crate::{AskError, DEFAULT_LOG, Engine};

/// Errors that wait for one channel: three hours of as many as there may be. What comes while so many wait is counted.
const WAITING_MAX: u64 = 10_000;

/// An error that is passed on, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedError {
    /// Its log.
    pub log: String,
    /// Its sequence number.
    pub sequence: u64,
    /// Its id.
    pub id: String,
}

/// Whether it is an error that nobody caught: one with an exception of which nobody says that it was handled.
fn is_uncaught(seen: &Seen) -> bool {
    let raised = seen.text("exception.type").is_some() || seen.text("exception.message").is_some();
    raised && level_of(seen) >= Level::Error && seen.flag("exception.handled") != Some(true)
}

fn level_of(seen: &Seen) -> Level {
    seen.level.unwrap_or(Level::Error)
}

impl Engine {
    /// Sends an error on its way to the channels that pass such errors on.
    pub(super) fn pass_on(&self, look: &mut Look<'_>, (log, name): (LogId, &str), seen: &Seen) -> Result<(), AskError> {
        let Look { memory, now, reaction, .. } = look;
        let fits = |channel: &&Channel| channel.passes_on(seen.text("environment"), level_of(seen));
        if !is_uncaught(seen) || !memory.calls.channels.iter().any(|channel| fits(&channel)) {
            return Ok(());
        }
        let fingerprint = seen.fingerprint.as_deref().unwrap_or("");
        // What is in the issue of all further errors shares its limit.
        let issue = memory.issue_of(self, log, fingerprint)?.unwrap_or(0);
        let error = PassedError { log: name.to_owned(), sequence: seen.sequence, id: seen.id.clone() };
        let channels: Vec<String> =
            memory.calls.channels.iter().filter(fits).map(|channel| channel.name.clone()).collect();
        for channel in channels {
            let passing = memory.passing.entry(channel.clone()).or_default();
            if passing.offer(issue, *now) {
                let waiting = self.store.catalog().deliveries_waiting_for(&channel).map_err(query::QueryError::from)?;
                if waiting < WAITING_MAX {
                    memory.calls.pass_on(&error, &channel, *now, reaction);
                } else {
                    passing.leave_out(*now);
                }
            }
            memory.touched.passing.insert(channel);
        }
        Ok(())
    }

    /// Tells how many errors were not passed on, once a minute for each channel.
    pub(super) fn tell_left_out(&self, look: &mut Look<'_>) -> Result<(), AskError> {
        let Look { memory, now, .. } = look;
        for (channel, passing) in &mut memory.passing {
            let Some((count, since)) = passing.told(*now) else { continue };
            let since = since.to_string();
            // The same after a crash before this look was kept: it is there once.
            let id = alerts::notice_id(&["errors_left_out", channel, &since]);
            let message = format!(
                "{count} errors were not passed on to the channel {channel}, which takes so many a minute and so many \
                 of one issue; all of them are kept and counted here"
            );
            let fields = [
                ("channel", Value::Str(channel)),
                ("kind", Value::Str(TRACKER)),
                ("count", Value::Int(i64::try_from(count).unwrap_or(i64::MAX))),
                ("since", Value::Str(&since)),
            ];
            let said = ("INTERNAL", Level::Warning, "errors_left_out");
            self.keep_alert(DEFAULT_LOG, said, &message, (&id, &fields, *now))?;
            memory.touched.passing.insert(channel.clone());
        }
        Ok(())
    }
}
