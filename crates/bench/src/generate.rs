//! A made-up day of a web API: the events that the benchmark sends.
//!
//! The same seed and number of events give the same bytes on every machine: chance comes from one integer generator, and
//! floating point is used only for sums, products and quotients, which are exact everywhere. The shape is that of a busy
//! API: few users make most of the calls, an error is rare, a word is either everywhere or nowhere.

mod chance;
mod lists;
mod words;

use self::chance::{Chooser, Dice, mix};
use self::lists::{
    AGENTS, AUDIT, ERROR, GIVEN_NAMES, LOGGER_AREAS, LOGGER_PARTS, MAIL_HOSTS, METHOD_SHARES, METHODS, OBJECT_TYPES,
    PATH_FORMS, PLATFORMS, RESOURCES, STATUS_SHARES, STATUS_SHARES_OF_ERRORS, STATUSES, STREAMS, Stream,
};
use self::words::{Word, vocabulary};
use crate::facts::{Durations, Facts};
use crate::{NEEDLE, PART, PATH_START, TWO_WORDS};

/// So many words `needle_1`, `needle_2`… are hidden in the messages, each in one event of the day.
const NEEDLES: u64 = 50;

/// The first moment of the day, 2026-01-01T00:00:00Z, in microseconds since 1970.
const DAY_START_US: u64 = 1_767_225_600_000_000;
const DAY_US: u64 = 86_400_000_000;

/// Events come up to this much before or after their turn, as they do from many machines.
const DISORDER_US: u64 = 50_000;

const USERS: usize = 100_000;
const HOMES: u64 = 50_000;
const EVENTS_PER_REQUEST_MAX: u64 = 5;

/// How often the rare user is planted, whatever the number of events.
const RARE_TIMES: u64 = 11;

/// Makes the events of one day, one line of JSON at a time.
#[derive(Debug)]
pub struct Generator {
    seed: u64,
    events: u64,
    made: u64,
    requests: u64,
    left_in_request: u64,
    dice: Dice,
    choosers: Choosers,
    words: Vec<Word>,
    durations_us: Vec<u64>,
    request: Request,
    heavy_user: String,
    rare_user: String,
    some_request: String,
    days_later: u64,
    facts: Facts,
    now: Now,
}

/// What is known of the event that is being made.
#[derive(Debug, Default)]
struct Now {
    of_day_us: u64,
    stream: usize,
    /// The place of its name among the names of all streams.
    name: usize,
    status: u64,
    duration: usize,
    has_needle: bool,
    /// Which of the words asked for the message has.
    words: u8,
}

#[derive(Debug)]
struct Choosers {
    stream: Chooser,
    events: Vec<Chooser>,
    status: Chooser,
    status_of_errors: Chooser,
    method: Chooser,
    path: Chooser,
    user: Chooser,
    word: Chooser,
}

/// What all events of one request share; the text is ready to be copied.
#[derive(Debug, Default)]
struct Request {
    number: u64,
    user: usize,
    text: Vec<u8>,
    agent: Vec<u8>,
    path: usize,
    object_id: u64,
}

impl Generator {
    /// A day of `events` events. Different seeds give different days with the same users and words.
    #[must_use]
    pub fn new(seed: u64, events: u64) -> Self {
        let mut some_request = Vec::new();
        push_uuid(&mut some_request, request_id(seed, middle_request(events)));
        let words = vocabulary();
        let choosers = Choosers {
            stream: Chooser::shares(&STREAMS.map(|stream| stream.share)),
            events: STREAMS.iter().map(|stream| Chooser::zipf(stream.events.len(), 0.5)).collect(),
            status: Chooser::shares(&STATUS_SHARES),
            status_of_errors: Chooser::shares(&STATUS_SHARES_OF_ERRORS),
            method: Chooser::shares(&METHOD_SHARES),
            path: Chooser::zipf(RESOURCES.len() * PATH_FORMS.len(), 12.0),
            user: Chooser::zipf(USERS, 0.0),
            word: Chooser::zipf(words.len(), 0.0),
        };
        Self {
            seed,
            events,
            made: 0,
            requests: 0,
            left_in_request: 0,
            dice: Dice(mix(seed)),
            choosers,
            words,
            durations_us: durations_us(),
            request: Request::default(),
            heavy_user: user_name(0),
            rare_user: user_name(USERS),
            some_request: String::from_utf8_lossy(&some_request).into_owned(),
            days_later: 0,
            facts: Facts::new(USERS + 1, names_with_durations()),
            now: Now::default(),
        }
    }

    /// The same events so many days later.
    #[must_use]
    pub fn days_later(self, days: u64) -> Self {
        // The text of the date has room for no more.
        Self { days_later: days.min(8), ..self }
    }

    /// The user with most events, about one in twelve.
    #[must_use]
    pub fn heavy_user(&self) -> &str {
        &self.heavy_user
    }

    /// A user with eleven events, spread over the day; fewer only if the day has fewer.
    #[must_use]
    pub fn rare_user(&self) -> &str {
        &self.rare_user
    }

    /// The id of a request with one to five events.
    #[must_use]
    pub fn some_request(&self) -> &str {
        &self.some_request
    }

    /// The right answers about all events made so far.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How many of its events a user has so far; nothing if the day has no such user.
    #[must_use]
    pub fn events_of(&self, user: &str) -> Option<u64> {
        let digits = user.split('@').next()?.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let rank: usize = digits.parse().ok()?;
        (rank <= USERS && user_name(rank) == user).then(|| self.facts.users[rank])
    }

    /// How many events have this name so far.
    #[must_use]
    pub fn events_named(&self, event: &str) -> u64 {
        let durations = self.facts.durations.iter().find(|durations| durations.name == event);
        durations.map_or(0, |durations| durations.counts.iter().sum())
    }

    /// The share of the events of this name that took less than `duration_ms`, and the share that took no more, both
    /// as exactly as durations are counted (half a percent of their length).
    #[must_use]
    pub fn shares_below(&self, event: &str, duration_ms: f64) -> Option<(f64, f64)> {
        let durations = self.facts.durations.iter().find(|durations| durations.name == event)?;
        let duration_us = duration_ms * 1000.0 / durations.factor as f64;
        // One place of tolerance: durations are whole microseconds.
        let end = self.durations_us.partition_point(|start| *start as f64 <= duration_us);
        let all: u64 = durations.counts.iter().sum();
        let below = |end: usize| durations.counts.iter().take(end).sum::<u64>() as f64 / all.max(1) as f64;
        Some((below(end.saturating_sub(2)), below(end + 1)))
    }

    /// Appends the next event as one line of NDJSON; false, and nothing appended, when the day is over.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> bool {
        if self.made == self.events {
            return false;
        }
        let rare = self.made % self.rare_step() == self.rare_step() / 2;
        if rare || self.left_in_request == 0 {
            self.begin_request(rare);
        }
        self.left_in_request -= 1;
        let start = out.len();
        let stream = self.choosers.stream.choose(&mut self.dice);
        let event = self.choosers.events[stream].choose(&mut self.dice);
        self.now.stream = stream;
        self.now.name = event + STREAMS.iter().take(stream).map(|stream| stream.events.len()).sum::<usize>();
        self.push_head(out, stream, event);
        out.extend_from_slice(&self.request.text);
        self.push_outcome(out, stream);
        self.push_message(out);
        if stream == AUDIT {
            out.extend_from_slice(b",\"object_type\":\"");
            out.extend_from_slice(OBJECT_TYPES[self.request.path % OBJECT_TYPES.len()].as_bytes());
            out.extend_from_slice(b"\",\"object_id\":");
            push_number(out, self.request.object_id);
        }
        out.extend_from_slice(b"}\n");
        self.note(out.len() - start);
        self.made += 1;
        true
    }

    /// Counts the event that was just made.
    fn note(&mut self, bytes: usize) {
        let Now { of_day_us, stream, name, status, duration, has_needle, words } = self.now;
        let Request { user, number, path, .. } = self.request;
        let facts = &mut self.facts;
        facts.count(bytes, of_day_us, status);
        facts.users[user] += 1;
        facts.durations[name].counts[duration] += 1;
        let time_us = DAY_START_US + self.days_later * DAY_US + of_day_us;
        facts.heavy_user.note(user == 0, time_us);
        facts.rare_user.note(user == USERS, time_us);
        facts.some_request.note(number == middle_request(self.events), time_us);
        facts.needle.note(has_needle, time_us);
        facts.errors_with_two_words.note(stream == ERROR && words & 0b11 == 0b11, time_us);
        facts.message_part.note(words & 0b100 != 0, time_us);
        facts.failures_of_path.note(status >= 500 && path_starts_as_asked(path), time_us);
    }

    fn rare_step(&self) -> u64 {
        (self.events / RARE_TIMES).max(1)
    }

    fn begin_request(&mut self, rare: bool) {
        let dice = &mut self.dice;
        self.left_in_request = if rare { 1 } else { 1 + dice.below(EVENTS_PER_REQUEST_MAX) };
        let user = if rare { USERS } else { self.choosers.user.choose(dice) };
        // Everybody has a home address and a device of his own, and uses another now and then.
        let home = mix(user as u64);
        let address = if dice.below(8) == 0 { dice.below(HOMES) } else { home % HOMES };
        let agent = (if dice.below(4) == 0 { dice.roll() } else { home }) >> 32;
        let path = self.choosers.path.choose(dice);
        let ids = [1 + dice.below(1_000_000), 1 + dice.below(5_000)];
        let method = self.choosers.method.choose(dice);
        let id = request_id(self.seed, self.requests);
        self.request.number = self.requests;
        self.request.user = user;
        self.requests += 1;

        let Request { text, agent: agent_text, .. } = &mut self.request;
        text.clear();
        text.extend_from_slice(b",\"user\":\"");
        text.extend_from_slice(user_name(user).as_bytes());
        text.extend_from_slice(
            format!("\",\"ip\":\"10.{}.{}.{}", address / 2500, address / 250 % 10, address % 250 + 1).as_bytes(),
        );
        text.extend_from_slice(b"\",\"request_id\":\"");
        push_uuid(text, id);
        text.extend_from_slice(b"\",\"method\":\"");
        text.extend_from_slice(METHODS[method].as_bytes());
        text.extend_from_slice(b"\",\"path\":\"");
        push_path(text, path, ids);
        text.push(b'"');
        agent_text.clear();
        agent_text.extend_from_slice(AGENTS[agent as usize % AGENTS.len()].as_bytes());
        agent_text.extend_from_slice(PLATFORMS[agent as usize / AGENTS.len() % PLATFORMS.len()].as_bytes());
        self.request.path = path;
        self.request.object_id = ids[0];
    }

    fn push_head(&mut self, out: &mut Vec<u8>, stream: usize, event: usize) {
        // Widened, because a day in microseconds times many events does not fit into 64 bits.
        let turn_us = (u128::from(self.made) * u128::from(DAY_US) / u128::from(self.events)) as u64;
        let of_day_us = (turn_us + self.dice.below(2 * DISORDER_US)).saturating_sub(DISORDER_US).min(DAY_US - 1);
        self.now.of_day_us = of_day_us;
        let now_us = DAY_START_US + self.days_later * DAY_US + of_day_us;
        let high = ((now_us / 1000) << 16) | 0x7000 | (now_us % 1000);
        let low = (0b10 << 62) | ((self.dice.roll() >> 34) << 32) | (self.made & 0xFFFF_FFFF);
        out.extend_from_slice(b"{\"id\":\"");
        push_uuid(out, [high, low]);
        out.extend_from_slice(b"\",\"timestamp\":\"2026-01-0");
        push_number(out, 1 + self.days_later);
        out.push(b'T');
        let seconds = of_day_us / 1_000_000;
        let clock = [(seconds / 3600, b':'), (seconds / 60 % 60, b':'), (seconds % 60, b'.')];
        for (number, after) in clock {
            push_digits::<2>(out, number);
            out.push(after);
        }
        push_digits::<6>(out, of_day_us % 1_000_000);
        let Stream { name, level, events, .. } = &STREAMS[stream];
        let logger = stream * 11 + event * 3 + self.request.path;
        for (key, value) in
            [("Z\",\"stream\":\"", *name), ("\",\"level\":\"", *level), ("\",\"event\":\"", events[event])]
        {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b"\",\"logger\":\"");
        out.extend_from_slice(LOGGER_AREAS[logger % LOGGER_AREAS.len()].as_bytes());
        out.push(b'.');
        out.extend_from_slice(LOGGER_PARTS[logger / LOGGER_AREAS.len() % LOGGER_PARTS.len()].as_bytes());
        out.push(b'"');
    }

    fn push_outcome(&mut self, out: &mut Vec<u8>, stream: usize) {
        let Choosers { status, status_of_errors, .. } = &self.choosers;
        let status = STATUSES[if stream == ERROR { status_of_errors } else { status }.choose(&mut self.dice)];
        // Six random bytes add up to nearly a normal distribution, which the table bends into a log-normal one.
        let roll = self.dice.roll().to_le_bytes();
        let place: usize = roll[..6].iter().map(|byte| usize::from(*byte)).sum();
        let (shorter, longer) = (self.durations_us[place], self.durations_us[place + 1]);
        (self.now.status, self.now.duration) = (status, place);
        let within = shorter + (longer - shorter) * u64::from(roll[6]) / 256;
        let duration_us = within * duration_factor(stream);
        out.extend_from_slice(b",\"status\":");
        push_number(out, status);
        out.extend_from_slice(b",\"duration_ms\":");
        push_number(out, duration_us / 1000);
        out.push(b'.');
        push_digits::<3>(out, duration_us % 1000);
        out.extend_from_slice(b",\"user_agent\":\"");
        out.extend_from_slice(&self.request.agent);
        out.push(b'"');
    }

    fn push_message(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"message\":\"");
        // The smaller of two rolls: most messages are short.
        let count = 6 + self.dice.below(15).min(self.dice.below(15));
        self.now.words = 0;
        for _ in 0..count {
            let word = &self.words[self.choosers.word.choose(&mut self.dice)];
            self.now.words |= word.marks;
            word.push(out);
        }
        let step = (self.events / NEEDLES).max(1);
        self.now.has_needle = false;
        if (self.made + 1).is_multiple_of(step) {
            let start = out.len();
            out.extend_from_slice(b"needle_");
            push_number(out, (self.made + 1) / step);
            self.now.has_needle = &out[start..] == NEEDLE.as_bytes();
        } else {
            out.pop();
        }
        out.push(b'"');
    }
}

/// Durations by rank, 0.5 ms to 1 s, each the same factor longer than the one before; the middle one is 22 ms.
fn durations_us() -> Vec<u64> {
    let grow = |duration: &f64| Some(duration * 1.005);
    std::iter::successors(Some(490.0), grow).map(|duration| duration as u64).take(6 * 255 + 2).collect()
}

/// A request has at most five events, so the one with this number is begun in every day.
fn middle_request(events: u64) -> u64 {
    events / (EVENTS_PER_REQUEST_MAX + 1)
}

/// Errors take longer.
fn duration_factor(stream: usize) -> u64 {
    if stream == ERROR { 4 } else { 1 }
}

fn names_with_durations() -> Vec<Durations> {
    let of_stream = |(place, stream): (usize, &'static Stream)| {
        let counts = || vec![0; durations_us().len()];
        stream.events.iter().map(move |name| Durations { name, factor: duration_factor(place), counts: counts() })
    };
    STREAMS.iter().enumerate().flat_map(of_stream).collect()
}

fn path_starts_as_asked(path: usize) -> bool {
    let (form, resource) = (PATH_FORMS[path % PATH_FORMS.len()], RESOURCES[path / PATH_FORMS.len()]);
    let Some((before, _)) = form.split_once("{}") else { return false };
    PATH_START.strip_prefix(before).is_some_and(|start| resource.starts_with(start))
}

/// Which of the words that are asked for a word is, or has in it.
fn marks(word: &str) -> u8 {
    u8::from(word == TWO_WORDS[0]) | u8::from(word == TWO_WORDS[1]) << 1 | u8::from(word.contains(PART)) << 2
}

fn user_name(rank: usize) -> String {
    let name = GIVEN_NAMES[rank % GIVEN_NAMES.len()];
    format!("{name}{rank}@{}", MAIL_HOSTS[rank / GIVEN_NAMES.len() % MAIL_HOSTS.len()])
}

/// The id of the n-th request of a day, known without making the day.
fn request_id(seed: u64, number: u64) -> [u64; 2] {
    let high = mix(mix(seed) ^ number);
    let low = mix(high ^ number.rotate_left(32));
    [(high & !0xF000) | 0x4000, (low >> 2) | (0b10 << 62)]
}

fn push_path(out: &mut Vec<u8>, path: usize, ids: [u64; 2]) {
    let mut ids = ids.into_iter();
    for byte in PATH_FORMS[path % PATH_FORMS.len()].bytes() {
        match byte {
            b'{' => out.extend_from_slice(RESOURCES[path / PATH_FORMS.len()].as_bytes()),
            b'}' => {}
            b'#' => push_number(out, ids.next().unwrap_or(1)),
            plain => out.push(plain),
        }
    }
}

fn push_uuid(out: &mut Vec<u8>, halves: [u64; 2]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    const DASHED: [usize; 4] = [8, 13, 18, 23];
    let mut text = [b'-'; 36];
    let mut bits = (u128::from(halves[0]) << 64) | u128::from(halves[1]);
    for place in (0..36).rev().filter(|place| !DASHED.contains(place)) {
        text[place] = DIGITS[(bits & 15) as usize];
        bits >>= 4;
    }
    out.extend_from_slice(&text);
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut rest = number;
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Exactly `WIDTH` digits, with leading zeros.
fn push_digits<const WIDTH: usize>(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; WIDTH];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::{Generator, NEEDLE, PART, PATH_START, TWO_WORDS};
    use crate::Newest;

    fn day(seed: u64, events: u64) -> Vec<u8> {
        let mut generator = Generator::new(seed, events);
        let mut out = Vec::new();
        while generator.next_line(&mut out) {}
        out
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert!(day(7, 1000) == day(7, 1000));
        assert!(day(7, 1000) != day(8, 1000));
    }

    #[test]
    fn each_line_is_an_event_with_an_id_of_its_own() {
        let text = String::from_utf8(day(7, 1000)).unwrap();
        let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: std::collections::HashSet<String> = events.iter().map(|event| event["id"].to_string()).collect();
        assert_eq!((events.len(), ids.len()), (1000, 1000));
        assert!((420..520).contains(&(text.len() / events.len())));
    }

    #[test]
    fn the_right_answers_are_those_of_the_text() {
        let mut generator = Generator::new(7, 5000);
        let mut out = Vec::new();
        while generator.next_line(&mut out) {}
        let text = String::from_utf8(out).unwrap();
        let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let facts = generator.facts();
        let check = |name: &str, newest: &Newest, passes: &dyn Fn(&serde_json::Value) -> bool| {
            let mut times: Vec<&str> =
                events.iter().filter(|event| passes(event)).filter_map(|event| event["timestamp"].as_str()).collect();
            times.sort_unstable_by(|one, other| other.cmp(one));
            assert_eq!(newest.count(), times.len() as u64, "{name}");
            assert!(newest.count() > 0, "{name}");
            let of_day = |time: &str| {
                let part = |range: std::ops::Range<usize>| time[range].parse::<u64>().unwrap();
                (part(11..13) * 3600 + part(14..16) * 60 + part(17..19)) * 1_000_000 + part(20..26)
            };
            let expected: Vec<u64> = times.iter().take(100).map(|time| super::DAY_START_US + of_day(time)).collect();
            assert_eq!(newest.times_us(), expected, "{name}");
        };
        let has_word = |event: &serde_json::Value, word: &str| {
            event["message"].as_str().unwrap().split(' ').any(|found| found == word)
        };
        check("heavy", facts.heavy_user(), &|event| event["user"] == generator.heavy_user());
        check("rare", facts.rare_user(), &|event| event["user"] == generator.rare_user());
        check("request", facts.some_request(), &|event| event["request_id"] == generator.some_request());
        check("needle", facts.needle(), &|event| has_word(event, NEEDLE));
        check("part", facts.message_part(), &|event| event["message"].as_str().unwrap().contains(PART));
        check("path", facts.failures_of_path(), &|event| {
            event["status"].as_u64() >= Some(500) && event["path"].as_str().unwrap().starts_with(PATH_START)
        });
        let errors = events
            .iter()
            .filter(|event| event["stream"] == "ERROR" && TWO_WORDS.iter().all(|word| has_word(event, word)));
        assert_eq!(facts.errors_with_two_words().count(), errors.count() as u64);
        assert_eq!((facts.events(), facts.bytes()), (5000, text.len() as u64));
        assert_eq!(facts.histogram().map(|(_, _, count)| count).sum::<u64>(), 5000);
        assert_eq!(facts.top_users(20)[0], facts.heavy_user().count());
        assert_eq!(generator.events_of(generator.rare_user()), Some(11));
        assert_eq!(generator.events_of("nobody1@example.com"), None);
    }

    #[test]
    fn a_median_is_where_half_are_below() {
        let mut generator = Generator::new(7, 20_000);
        let mut out = Vec::new();
        let mut took = Vec::new();
        while generator.next_line(&mut out) {
            let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
            if event["event"] == "api.handled_exception" {
                took.push(event["duration_ms"].as_f64().unwrap());
            }
            out.clear();
        }
        took.sort_by(f64::total_cmp);
        let (below, up_to) = generator.shares_below("api.handled_exception", took[took.len() / 2]).unwrap();
        assert!(below <= 0.5 && 0.5 <= up_to && up_to - below < 0.1, "{below} {up_to}");
    }

    #[test]
    fn a_later_day_is_the_same_day() {
        let mut line = Vec::new();
        Generator::new(7, 10).days_later(1).next_line(&mut line);
        assert!(String::from_utf8(line).unwrap().contains("\"timestamp\":\"2026-01-02T00:00:00."));
    }
}
