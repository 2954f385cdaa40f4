//! `cargo xtask kill9`: the real server, killed ten times under load, has every event that it acknowledged.
//!
//! Senders write batches of events with known ids and remember what was acknowledged. After the restart they send again
//! what a client would: the last batch, whose acknowledgement the client may have lost, and every other time the batch
//! that was not answered. Each of their events must then be there once. At the end all events are read back and compared
//! with the ledger.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::http::{Answer, Connection, Request};
use crate::server::{Server, Workplace, explain};
use crate::{cargo, options, wait};

const ROUNDS: u64 = 10;
const SENDERS: u64 = 4;
const BATCH: u64 = 50;
const ALIVE_MS: (u64, u64) = (150, 1500);
const PAGE: usize = 10_000;
/// More pages than any run can fill: a bound for a `next` link that leads in circles.
const PAGES_MAX: usize = 10_000;
const DOOR: &str = "/api/v1/logs/kill9/events";
/// 2026-01-01T00:00:00Z. Each event is a microsecond after the one before, so that their order is certain.
const FIRST_US: u64 = 1_767_225_600_000_000;

/// What the test knows about an event that it sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Sent, but the server was killed before it answered: it may be there or not.
    Open,
    Acknowledged,
}

/// Every event that was ever sent, by its number.
type Ledger = HashMap<u64, Fate>;

/// What all senders of one run share.
struct Run {
    seed: u64,
    token: String,
    ledger: Mutex<Ledger>,
    next_number: AtomicU64,
}

/// Builds the release, kills it ten times, and checks the ledger.
///
/// # Errors
///
/// If an acknowledged event is lost or any event is there twice or unknown, and if the server does not restart.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [seed] = options::numbers(arguments, [("--seed", 1)])?;
    let workplace = Workplace::new("kill9", cargo::build_release()?)?;
    explain(play(&workplace, seed), &workplace)?;
    workplace.clear()
}

fn play(workplace: &Workplace, seed: u64) -> anyhow::Result<()> {
    println!("seed {seed}: {ROUNDS} rounds, {SENDERS} senders, {BATCH} events a batch");
    let mut server = workplace.start()?;
    let token = workplace.token()?;
    let run = Run { seed, token, ledger: Mutex::default(), next_number: AtomicU64::new(0) };
    let mut dice = seed;
    let mut repeats = Vec::new();
    for round in 1..=ROUNDS {
        let alive = Duration::from_millis(ALIVE_MS.0 + roll(&mut dice) % (ALIVE_MS.1 - ALIVE_MS.0));
        repeats = run.round(&mut server, alive, repeats)?;
        let start = Instant::now();
        server = workplace.start()?;
        let (acknowledged, open) = count(&*run.ledger()?);
        println!(
            "round {round:2}: killed after {:4} ms, {acknowledged:8} acknowledged, {open:4} unanswered, back in {:4} ms",
            alive.as_millis(),
            start.elapsed().as_millis(),
        );
    }
    let found = run.read_all(&server)?;
    let ledger = run.ledger()?;
    let faults = compare(&ledger, &found, |id| run.number_of(id));
    let (acknowledged, open) = count(&ledger);
    println!("{acknowledged} acknowledged, {open} never answered, {} read back: {faults}", found.len());
    if faults != Faults::default() {
        bail!("the ledger and the server disagree: {faults}");
    }
    if acknowledged == 0 {
        bail!("no event was acknowledged, so nothing was tested");
    }
    Ok(())
}

impl Run {
    /// Lets the senders work until the server is killed; returns the batches that shall be sent again.
    fn round(&self, server: &mut Server, alive: Duration, again: Vec<u64>) -> anyhow::Result<Vec<u64>> {
        let address = server.address().to_owned();
        let killed = AtomicBool::new(false);
        let repeats = Mutex::new(again);
        thread::scope(|scope| {
            let send = || self.send(&address, &killed, &repeats);
            let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
            wait::rest(alive);
            // First the sign, so that an answer lost from now on is no fault of the server.
            killed.store(true, Ordering::SeqCst);
            let outcome = server.kill();
            let mut next_repeats = Vec::new();
            for sender in senders {
                let sent = sender.join().map_err(|_| options::refuse("a sender panicked"))?;
                next_repeats.extend(sent?);
            }
            outcome.map(|()| next_repeats)
        })
    }

    /// Sends batches until the server is gone; returns the first number of each batch that shall be sent again.
    fn send(&self, address: &str, killed: &AtomicBool, repeats: &Mutex<Vec<u64>>) -> anyhow::Result<Vec<u64>> {
        let mut last_acknowledged = None;
        let Ok(mut connection) = Connection::open(address) else { return gone(killed, Vec::new()) };
        loop {
            let repeat = repeats.lock().ok().and_then(|mut repeats| repeats.pop());
            let first = repeat.unwrap_or_else(|| self.next_number.fetch_add(BATCH, Ordering::SeqCst));
            let numbers = first..first + BATCH;
            self.mark(numbers.clone(), Fate::Open)?;
            let body: String = numbers.clone().map(|number| self.line(number)).collect();
            let content_type = "application/x-ndjson";
            let request = Request { method: "POST", content_type, body: body.as_bytes(), ..self.request(DOOR) };
            let Ok(answer) = connection.ask(request) else {
                let unanswered = (first / BATCH).is_multiple_of(2).then_some(first);
                return gone(killed, last_acknowledged.into_iter().chain(unanswered).collect());
            };
            match answer.status {
                200..300 => check_receipt(&answer)?,
                // Too much at once: the batch stays open and is not sent again.
                429 | 503 => {
                    wait::rest(Duration::from_millis(20));
                    continue;
                }
                status => bail!("the server refuses a batch with {status}: {}", answer.excerpt()),
            }
            self.mark(numbers, Fate::Acknowledged)?;
            last_acknowledged = Some(first);
        }
    }

    fn mark(&self, numbers: std::ops::Range<u64>, fate: Fate) -> anyhow::Result<()> {
        let mut ledger = self.ledger()?;
        for number in numbers {
            // What was acknowledged once stays so when it is sent again.
            let known = ledger.entry(number).or_insert(fate);
            if fate == Fate::Acknowledged {
                *known = fate;
            }
        }
        Ok(())
    }

    fn ledger(&self) -> anyhow::Result<std::sync::MutexGuard<'_, Ledger>> {
        self.ledger.lock().map_err(|_| options::refuse("a sender panicked"))
    }

    fn request<'a>(&'a self, target: &'a str) -> Request<'a> {
        Request { token: Some(&self.token), ..Request::get(target) }
    }

    /// The id is a UUID that holds the seed of the run and the number of the event.
    fn id(&self, number: u64) -> String {
        format!("{:08x}-0000-7000-8000-{number:012x}", self.seed & 0xFFFF_FFFF)
    }

    fn number_of(&self, id: &str) -> Option<u64> {
        let number = u64::from_str_radix(id.rsplit('-').next()?, 16).ok()?;
        (self.id(number) == id).then_some(number)
    }

    fn line(&self, number: u64) -> String {
        let (id, time) = (self.id(number), FIRST_US + number);
        let message = "work goes on while the power may fail at any moment";
        format!(
            "{{\"id\":\"{id}\",\"timestamp\":{time},\"user\":\"sender\",\"message\":\"{message}\",\"n\":{number}}}\n"
        )
    }

    /// The ids of all events in the log, page by page.
    fn read_all(&self, server: &Server) -> anyhow::Result<Vec<String>> {
        let mut connection = Connection::open(server.address())?;
        let mut target = format!("{DOOR}?_format=ndjson&_limit={PAGE}&_sort=timestamp&_c=id");
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = connection.ask(self.request(&target))?;
            if answer.status != 200 {
                bail!("reading back: {} {}", answer.status, answer.excerpt());
            }
            for line in answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let event: serde_json::Value = serde_json::from_slice(line).context("reading back: not JSON")?;
                found.push(event["id"].as_str().context("reading back: an event without id")?.to_owned());
            }
            match answer.next_target() {
                Some(next) => next.clone_into(&mut target),
                None => return Ok(found),
            }
        }
        bail!("reading back does not end after {PAGES_MAX} pages")
    }
}

/// A connection broke. That is expected of a killed server, and of no other.
fn gone(killed: &AtomicBool, repeats: Vec<u64>) -> anyhow::Result<Vec<u64>> {
    if !killed.load(Ordering::SeqCst) {
        bail!("the connection broke although the server was not killed");
    }
    Ok(repeats)
}

fn check_receipt(answer: &Answer) -> anyhow::Result<()> {
    let receipt: serde_json::Value = serde_json::from_slice(&answer.body).context("the receipt is not JSON")?;
    let refused = receipt["refused"].as_array().map_or(0, Vec::len);
    if refused > 0 || !receipt["accepted"].is_u64() {
        bail!("the server does not accept the whole batch: {}", answer.excerpt());
    }
    Ok(())
}

/// How many events are acknowledged, and how many are open.
fn count(ledger: &Ledger) -> (usize, usize) {
    let acknowledged = ledger.values().filter(|fate| **fate == Fate::Acknowledged).count();
    (acknowledged, ledger.len() - acknowledged)
}

/// What is wrong, in events.
#[derive(Default, PartialEq, Eq, Debug)]
struct Faults {
    lost: usize,
    twice: usize,
    unknown: usize,
}

impl std::fmt::Display for Faults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} lost, {} more than once, {} unknown", self.lost, self.twice, self.unknown)
    }
}

fn compare(ledger: &Ledger, found: &[String], number_of: impl Fn(&str) -> Option<u64>) -> Faults {
    let mut times: HashMap<u64, usize> = HashMap::new();
    let mut faults = Faults::default();
    for id in found {
        match number_of(id).filter(|number| ledger.contains_key(number)) {
            Some(number) => *times.entry(number).or_default() += 1,
            None => faults.unknown += 1,
        }
    }
    faults.twice = times.values().filter(|times| **times > 1).count();
    let acknowledged = ledger.iter().filter(|(_, fate)| **fate == Fate::Acknowledged);
    faults.lost = acknowledged.filter(|(number, _)| !times.contains_key(number)).count();
    faults
}

/// The next number of a simple generator (SplitMix64).
fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let first = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let second = (first ^ (first >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    second ^ (second >> 31)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU64;

    use super::{Fate, Faults, Ledger, Run, compare};

    fn check(found: &[&str]) -> Faults {
        let ledger = Ledger::from([(1, Fate::Acknowledged), (2, Fate::Acknowledged), (3, Fate::Open)]);
        let found: Vec<String> = found.iter().map(|id| (*id).to_owned()).collect();
        compare(&ledger, &found, |id| id.parse().ok())
    }

    #[test]
    fn what_was_acknowledged_is_there_once_and_nothing_else() {
        assert_eq!(check(&["1", "2"]), Faults::default());
        assert_eq!(check(&["1", "2", "3"]), Faults::default());
        assert_eq!(check(&["1", "3"]), Faults { lost: 1, ..Faults::default() });
        assert_eq!(check(&["1", "2", "3", "3"]), Faults { twice: 1, ..Faults::default() });
        assert_eq!(check(&["1", "2", "4", "x"]), Faults { unknown: 2, ..Faults::default() });
    }

    #[test]
    fn an_id_is_known_by_its_run() {
        let run = |seed| Run { seed, token: String::new(), ledger: Mutex::default(), next_number: AtomicU64::new(0) };
        assert_eq!(run(7).number_of(&run(7).id(258)), Some(258));
        assert_eq!(run(7).number_of(&run(8).id(258)), None);
        assert_eq!(run(7).number_of("x"), None);
    }
}
