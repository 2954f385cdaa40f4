//! Whether a crawler is the one it says it is, by the names of its address.
//!
//! Nobody waits for it: what is not known yet is asked of the domain name system behind the door, and holds for the events
//! that come after. What was answered is kept for a while, in bounds; who cannot be asked is no trouble worth telling.

mod names;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use intake::classify::{Known, domains_of_crawler};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::notify::privacy;
pub(crate) use names::NameServers;
use names::Unanswered;

/// How long an answer holds: that it is one of theirs, that it is not, and that nobody could say.
const TRUE_FOR: Duration = Duration::from_hours(24);
const FALSE_FOR: Duration = Duration::from_hours(1);
const UNANSWERED_FOR: Duration = Duration::from_mins(5);

/// Answers that are kept: some 4 MB. When there are more, those go first that vouch for nobody.
const KEPT_MAX: usize = 20_000;

/// Questions that wait, and that are asked at once. What has no place is asked with the next event of the address.
const WAITING_MAX: usize = 1000;
const AT_ONCE: usize = 8;

/// Names of one address that are looked at.
const NAMES_MAX: usize = 4;

/// An address, and the domains in which it says it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    ip: IpAddr,
    domains: &'static [&'static str],
}

/// What is known of a question, and when it is asked anew. While it is asked the answer of before holds.
#[derive(Clone, Copy, Debug)]
struct Answer {
    is_of: Option<bool>,
    until: Instant,
}

/// What was answered.
type Kept = Mutex<HashMap<Question, Answer>>;

/// All that is known of the addresses of crawlers.
#[derive(Debug)]
pub(crate) struct Crawlers {
    kept: Arc<Kept>,
    questions: mpsc::Sender<Question>,
}

impl Crawlers {
    /// Asks these from now on, as long as the runtime lives; nothing where nobody is to be asked.
    pub(crate) fn start(servers: &NameServers) -> Option<Arc<dyn Known>> {
        if *servers == NameServers::None {
            return None;
        }
        let (questions, asked) = mpsc::channel(WAITING_MAX);
        let kept = Arc::new(Kept::default());
        tokio::spawn(work(servers.clone(), ReceiverStream::new(asked), Arc::clone(&kept)));
        Some(Arc::new(Self { kept, questions }))
    }
}

impl Known for Crawlers {
    fn is_of(&self, crawler: &str, ip: IpAddr) -> Option<bool> {
        let domains = domains_of_crawler(crawler);
        // Names inside are nobody's business outside, and no crawler comes from there.
        if domains.is_empty() || privacy(ip).is_some() {
            return Some(false);
        }
        let question = Question { ip, domains };
        let now = Instant::now();
        let mut kept = lock(&self.kept);
        let known = kept.get(&question).copied();
        if let Some(answer) = known.filter(|answer| answer.until > now) {
            return answer.is_of;
        }
        let is_of = known.and_then(|answer| answer.is_of);
        if self.questions.try_send(question).is_ok() {
            make_room(&mut kept, now);
            kept.insert(question, Answer { is_of, until: now + UNANSWERED_FOR });
        }
        is_of
    }
}

fn lock(kept: &Kept) -> MutexGuard<'_, HashMap<Question, Answer>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what vouches for somebody if that makes room, as everybody else can come from new addresses without end.
fn make_room(kept: &mut HashMap<Question, Answer>, now: Instant) {
    if kept.len() < KEPT_MAX {
        return;
    }
    kept.retain(|_, answer| answer.is_of == Some(true) && answer.until > now);
    if kept.len() >= KEPT_MAX / 2 {
        kept.clear();
    }
}

/// Asks what comes, some at once.
async fn work(servers: NameServers, asked: ReceiverStream<Question>, kept: Arc<Kept>) {
    let answer = |question: Question| {
        let servers = servers.clone();
        // Each by itself: a mistake of ours in reading a stranger's answer is one answer less.
        let asking = tokio::spawn(async move { ask(&servers, question).await });
        async move { (question, asking.await.unwrap_or(Err(Unanswered))) }
    };
    let mut answers = asked.map(answer).buffer_unordered(AT_ONCE);
    while let Some((question, answer)) = answers.next().await {
        let (is_of, holds) = match answer {
            Ok(true) => (Some(true), TRUE_FOR),
            Ok(false) => (Some(false), FALSE_FOR),
            Err(Unanswered) => (None, UNANSWERED_FOR),
        };
        lock(&kept).insert(question, Answer { is_of, until: Instant::now() + holds });
    }
}

/// Whether the address has a name in these domains that has this address. Anybody can give his address any name; only the
/// owner of a domain says which addresses its names have.
async fn ask(servers: &NameServers, Question { ip, domains }: Question) -> Result<bool, Unanswered> {
    let names = servers.names_of(ip).await?;
    let fitting = names.iter().filter(|name| domains.iter().any(|domain| name.ends_with(domain))).take(NAMES_MAX);
    let mut found = Ok(false);
    for name in fitting {
        match servers.addresses_of(name, ip.is_ipv6()).await {
            Ok(addresses) if addresses.contains(&ip) => return Ok(true),
            Ok(_) => {}
            Err(Unanswered) => found = Err(Unanswered),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_bound() {
        let (questions, mut asked) = mpsc::channel(WAITING_MAX);
        let crawlers = Crawlers { kept: Arc::default(), questions };
        let address = |number: u32| IpAddr::from(u32::to_be_bytes((66 << 24) + number));
        for number in 0..100_000 {
            assert_eq!(crawlers.is_of("Googlebot", address(number)), None);
            if number % 500 == 0 {
                while asked.try_recv().is_ok() {}
            }
        }
        assert!((1..=KEPT_MAX).contains(&lock(&crawlers.kept).len()));
        // Who was vouched for is not forgotten for all those who were not.
        let question = Question { ip: address(7), domains: domains_of_crawler("Googlebot") };
        let (now, vouched) = (Instant::now(), Answer { is_of: Some(true), until: Instant::now() + TRUE_FOR });
        let mut kept = HashMap::from([(question, vouched)]);
        for number in 0..KEPT_MAX as u32 {
            let question = Question { ip: address(1000 + number), ..question };
            make_room(&mut kept, now);
            kept.insert(question, Answer { is_of: Some(false), ..vouched });
        }
        assert!(kept.len() < KEPT_MAX && kept.contains_key(&question), "{}", kept.len());
    }

    #[test]
    fn what_waits_has_a_bound_and_is_asked_once() {
        let (questions, mut asked) = mpsc::channel(2);
        let crawlers = Crawlers { kept: Arc::default(), questions };
        let check = |crawler: &str, ip: &str, expected| {
            assert_eq!(crawlers.is_of(crawler, ip.parse().unwrap()), expected, "{crawler} {ip}");
        };
        for ip in ["10.0.0.7", "192.168.1.1", "127.0.0.1", "::1", "fd00::1", "203.0.113.50"] {
            check("Googlebot", ip, Some(false));
        }
        check("Twitterbot", "66.249.66.1", Some(false));
        check("nobody", "66.249.66.1", Some(false));
        for ip in ["66.249.66.1", "66.249.66.1", "66.249.66.2", "66.249.66.3", "66.249.66.3"] {
            check("Googlebot", ip, None);
        }
        // The third had no place, and is asked with its next event.
        for expected in ["66.249.66.1", "66.249.66.2"] {
            assert_eq!(asked.try_recv().unwrap().ip.to_string(), expected);
        }
        assert!(asked.try_recv().is_err());
        check("Googlebot", "66.249.66.3", None);
        assert_eq!(asked.try_recv().unwrap().ip.to_string(), "66.249.66.3");
    }
}
