//! Rules that count are asked on a thread of their own: a slow one holds up no look, and so no notice of a crash.
//!
//! A look says which rules are due, and takes in what those before it counted. What a crash leaves unanswered is asked
//! again after the start, as nothing of it was kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use alerts::Rule;
use event::Timestamp;
use parking_lot::Mutex;

use super::measure::micros;
use crate::Engine;
use crate::waking::Waking;

/// How often it looks for itself.
const ROUND: Duration = Duration::from_secs(1);

/// How long it may go on with a rule when the server stops.
const END_MAX: Duration = Duration::from_secs(3);

/// Rules that are asked.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    waking: Waking,
    desk: Mutex<Desk>,
}

/// Each rule that counts is here once at the most.
#[derive(Debug, Default)]
struct Desk {
    /// What is to be asked, and up to which moment it counts.
    due: VecDeque<(Rule, Timestamp)>,
    /// What is being asked.
    asked: Option<String>,
    answers: Vec<Counted>,
}

/// What a rule counted, by its groups.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) rule: Rule,
    pub(super) values: BTreeMap<String, f64>,
}

impl Asking {
    /// Has a rule asked, if it is not already.
    pub(super) fn ask(&self, rule: Rule, moment: Timestamp) {
        let mut desk = self.desk.lock();
        let is_here = desk.due.iter().any(|(due, _)| due.name == rule.name)
            || desk.asked.as_ref() == Some(&rule.name)
            || desk.answers.iter().any(|answer| answer.rule.name == rule.name);
        if !is_here {
            desk.due.push_back((rule, moment));
            drop(desk);
            self.waking.stored();
        }
    }

    /// Whether nothing is waited for any more, as the server stops.
    pub(super) fn is_over(&self) -> bool {
        self.waking.is_over()
    }

    /// What was counted since the last time.
    pub(super) fn answers(&self) -> Vec<Counted> {
        std::mem::take(&mut self.desk.lock().answers)
    }
}

impl Engine {
    /// Starts the thread.
    pub(super) fn begin_asking(self: &Arc<Self>) -> Result<(), std::io::Error> {
        let engine = Arc::clone(self);
        let thread = std::thread::Builder::new().name("rules".to_owned()).spawn(move || engine.keep_asking())?;
        *self.reacting.asking.waking.thread.lock() = Some(thread);
        Ok(())
    }

    pub(super) fn end_asking(&self) {
        self.reacting.asking.waking.end(END_MAX, "asks rules");
    }

    fn keep_asking(&self) {
        let waking = &self.reacting.asking.waking;
        while !waking.is_ending() {
            if !self.ask_next() {
                waking.wait_for_more(ROUND, Duration::ZERO);
            }
        }
    }

    /// Asks the rule that waited longest. False when none waits.
    fn ask_next(&self) -> bool {
        let desk = &self.reacting.asking.desk;
        let (rule, moment) = {
            let mut desk = desk.lock();
            let Some((rule, moment)) = desk.due.pop_front() else { return false };
            desk.asked = Some(rule.name.clone());
            (rule, moment)
        };
        let from = Timestamp::from_micros(moment.as_micros().saturating_sub(micros(rule.window)));
        let counted = self.counted(&rule, (from, moment));
        let mut desk = desk.lock();
        desk.asked = None;
        match counted {
            // It is only a part then.
            Ok(_) if self.reacting.asking.is_over() => return false,
            Ok(values) => desk.answers.push(Counted { rule, values }),
            Err(error) => tracing::warn!("the rule {} cannot be looked at: {error}", rule.name),
        }
        drop(desk);
        self.reacting.waking.stored();
        true
    }
}

#[cfg(test)]
mod tests {
    use event::{Level, SystemClock};
    use serde_json::json;

    use super::*;
    use crate::{AlertSettings, DEFAULT_LOG, Settings};

    /// The rules that told something, in order.
    fn told(engine: &Engine) -> Vec<String> {
        let mut told = engine.notices(None, 100).unwrap();
        told.reverse();
        told.into_iter().map(|told| told.notice.rule).collect()
    }

    #[test]
    fn a_crash_is_told_whatever_rules_count() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path(), Settings::default(), Arc::new(SystemClock)).unwrap().0;
        let rules = json!({ "many": { "search": "event:boom", "threshold": 1 }, "none": { "search": "event:bang", "threshold": 1 } });
        let rules = rules.as_object().unwrap().clone();
        engine.configure_alerts(AlertSettings { rules, ..AlertSettings::default() }).unwrap();
        let fail = |id: &str, message: &str| {
            let said = ("ERROR", Level::Error, "boom");
            engine.keep_alert(DEFAULT_LOG, said, message, (id, &[], engine.clock.now())).unwrap();
        };
        fail("1", "it broke");
        // Nobody asks the rules, as if each took for ever: the look has all the same what follows from the error.
        engine.look().unwrap();
        assert_eq!(told(&engine), ["new_issue"]);
        fail("2", "and something else burst");
        engine.look().unwrap();
        assert_eq!(told(&engine), ["new_issue", "new_issue"]);
        assert_eq!(engine.reacting.asking.desk.lock().due.len(), 2, "each waits once");
        // What they counted is there in the next look, and kept with it.
        while engine.ask_next() {}
        assert_eq!(told(&engine).len(), 2);
        engine.look().unwrap();
        assert_eq!(told(&engine), ["new_issue", "new_issue", "many"]);
        engine.close().unwrap();
    }
}
