//! What the right answers are: counted while the events are made, without the code that is measured.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Ten minutes, the width of a bar of the histogram.
const BAR_US: u64 = 600_000_000;
const CLASSES: usize = 6;

/// The answers to the questions about the events made so far.
#[derive(Debug)]
pub struct Facts {
    events: u64,
    bytes: u64,
    pub(crate) users: Vec<u64>,
    /// By bar since the first moment, then by the first digit of the status.
    bars: Vec<[u64; CLASSES]>,
    /// By name of event, how often each duration of `durations_us` came.
    pub(crate) durations: Vec<Durations>,
    pub(crate) heavy_user: Newest,
    pub(crate) rare_user: Newest,
    pub(crate) some_request: Newest,
    pub(crate) needle: Newest,
    pub(crate) errors_with_two_words: Newest,
    pub(crate) message_part: Newest,
    pub(crate) failures_of_path: Newest,
}

/// How long the events of one name took.
#[derive(Debug)]
pub(crate) struct Durations {
    pub(crate) name: &'static str,
    /// Their durations are this much longer than those of the list.
    pub(crate) factor: u64,
    pub(crate) counts: Vec<u64>,
}

/// The events that pass one condition: how many, and when the newest were.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    count: u64,
    kept: BinaryHeap<Reverse<u64>>,
}

/// The longest page that is asked for.
const KEPT_MAX: usize = 100;

impl Newest {
    pub(crate) fn note(&mut self, passes: bool, time_us: u64) {
        if !passes {
            return;
        }
        self.count += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(Reverse(time_us));
        } else if self.kept.peek().is_some_and(|oldest| oldest.0 < time_us) {
            self.kept.pop();
            self.kept.push(Reverse(time_us));
        }
    }

    /// How many events pass.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The moments of the newest of them, at most a hundred, newest first, in microseconds since 1970.
    #[must_use]
    pub fn times_us(&self) -> Vec<u64> {
        self.kept.clone().into_sorted_vec().into_iter().map(|Reverse(time)| time).collect()
    }
}

impl Facts {
    pub(crate) fn new(users: usize, durations: Vec<Durations>) -> Self {
        Self {
            events: 0,
            bytes: 0,
            users: vec![0; users],
            bars: Vec::new(),
            durations,
            heavy_user: Newest::default(),
            rare_user: Newest::default(),
            some_request: Newest::default(),
            needle: Newest::default(),
            errors_with_two_words: Newest::default(),
            message_part: Newest::default(),
            failures_of_path: Newest::default(),
        }
    }

    pub(crate) fn count(&mut self, bytes: usize, of_day_us: u64, status: u64) {
        self.events += 1;
        self.bytes += bytes as u64;
        let bar = (of_day_us / BAR_US) as usize;
        if self.bars.len() <= bar {
            self.bars.resize(bar + 1, [0; CLASSES]);
        }
        self.bars[bar][(status / 100) as usize % CLASSES] += 1;
    }

    /// All events.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// All events as NDJSON, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The events of the user who has most.
    #[must_use]
    pub fn heavy_user(&self) -> &Newest {
        &self.heavy_user
    }

    /// The events of a user who has few.
    #[must_use]
    pub fn rare_user(&self) -> &Newest {
        &self.rare_user
    }

    /// The events of one request.
    #[must_use]
    pub fn some_request(&self) -> &Newest {
        &self.some_request
    }

    /// The event with [`crate::NEEDLE`].
    #[must_use]
    pub fn needle(&self) -> &Newest {
        &self.needle
    }

    /// The events of the stream ERROR with [`crate::TWO_WORDS`].
    #[must_use]
    pub fn errors_with_two_words(&self) -> &Newest {
        &self.errors_with_two_words
    }

    /// The events with [`crate::PART`] in their message.
    #[must_use]
    pub fn message_part(&self) -> &Newest {
        &self.message_part
    }

    /// The events with a status of 500 or more and a path that starts with [`crate::PATH_START`].
    #[must_use]
    pub fn failures_of_path(&self) -> &Newest {
        &self.failures_of_path
    }

    /// How many events each class of status has in each ten minutes of the day: (bar, class, events), in this order.
    pub fn histogram(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let classes = |(bar, classes): (usize, &[u64; CLASSES])| {
            let bar = bar as u64;
            let counts: Vec<_> = (0..).zip(*classes).map(|(class, count)| (bar, class, count)).collect();
            counts
        };
        self.bars.iter().enumerate().flat_map(classes).filter(|(_, _, count)| *count > 0)
    }

    /// The numbers of events of the users who have most, largest first.
    #[must_use]
    pub fn top_users(&self, places: usize) -> Vec<u64> {
        let mut counts = self.users.clone();
        counts.sort_unstable_by_key(|count| Reverse(*count));
        counts.truncate(places);
        counts.retain(|count| *count > 0);
        counts
    }

    /// The names that events have, sorted.
    #[must_use]
    pub fn event_names(&self) -> Vec<&'static str> {
        let with_events = self.durations.iter().filter(|durations| durations.counts.iter().any(|count| *count > 0));
        let mut names: Vec<_> = with_events.map(|durations| durations.name).collect();
        names.sort_unstable();
        names
    }
}
