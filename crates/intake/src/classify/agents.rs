//! What a user agent says of the client: its kind, its name and its system.
//!
//! Words that we know say the kind; names, versions and systems are read with the patterns of uap-core, which are loaded
//! when the first user agent comes: they take 12 MB.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};
use ua_parser::{os, user_agent};

use super::Kind;
use super::cache::Cache;

/// So much of a user agent is looked at, in bytes; true ones are shorter.
const AGENT_BYTES_MAX: usize = 512;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What was read from a user agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    text: Box<str>,
    kind: Kind,
    name: Box<str>,
    os: Box<str>,
}

impl Agent {
    /// The user agent, its beginning if it is long.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is; [`Kind::Probe`] for a scanner.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name, `Firefox 128`; of a crawler without a version.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        Some(&*self.name).filter(|name| !name.is_empty())
    }

    /// What it runs on, `Windows 10`; what a crawler pretends to run on is left out.
    #[must_use]
    pub fn os(&self) -> Option<&str> {
        Some(&*self.os).filter(|os| !os.is_empty())
    }
}

/// Reads a user agent, or remembers what was read from it.
#[must_use]
pub fn agent(text: &str) -> Arc<Agent> {
    static CACHE: LazyLock<Cache> = LazyLock::new(Cache::new);
    CACHE.get(&text[..text.floor_char_boundary(AGENT_BYTES_MAX)], read)
}

/// The domains in which the names of a crawler's addresses end, such as `.googlebot.com`, by the name of the crawler: an
/// address is a crawler's if its name ends so, and the name has that address again.
#[must_use]
pub fn domains_of_crawler(name: &str) -> &'static [&'static str] {
    let known = Words::get().lines.iter().find(|line| line.kind == Kind::Crawler && line.name == name);
    known.map_or(&[], |line| &line.domains)
}

/// A line of agents.txt.
struct Line {
    kind: Kind,
    name: &'static str,
    domains: Vec<&'static str>,
}

/// The words by which clients are known.
struct Words {
    lines: Vec<Line>,
    finder: AhoCorasick,
    /// For each word its line, and whether it must begin the text.
    words: Vec<(usize, bool)>,
}

impl Words {
    fn get() -> &'static Self {
        static WORDS: LazyLock<Words> = LazyLock::new(|| Words::new(include_str!("../../data/agents.txt")));
        &WORDS
    }

    fn new(text: &'static str) -> Self {
        let (mut lines, mut words, mut literals) = (Vec::new(), Vec::new(), Vec::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut parts = line.split('\t');
            let kind = parts.next().and_then(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name));
            let (Some(kind), Some(name), Some(listed)) = (kind, parts.next(), parts.next()) else { continue };
            for word in listed.split('|') {
                words.push((lines.len(), word.starts_with('^')));
                literals.push(word.trim_start_matches('^'));
            }
            let domains = parts.next().map(|list| list.split(',').collect()).unwrap_or_default();
            lines.push(Line { kind, name: if name == "-" { "" } else { name }, domains });
        }
        let finder =
            AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(literals);
        Self { lines, words, finder: finder.expect("the words are part of the program, and few") }
    }

    /// The first line that fits.
    fn find(&self, text: &str) -> Option<&Line> {
        let is_inside =
            |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_alphanumeric);
        let ends = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric);
        let fitting = self.finder.find_overlapping_iter(text).filter_map(|found| {
            let (line, begins) = self.words[found.pattern().as_usize()];
            let starts_well = if begins {
                found.start() == 0
            } else {
                !(ends(found.start()) && is_inside(found.start().checked_sub(1)))
            };
            let ends_well = !(is_inside(found.end().checked_sub(1)) && ends(found.end()));
            (starts_well && ends_well).then_some(line)
        });
        fitting.min().and_then(|line| self.lines.get(line))
    }
}

/// The patterns of uap-core.
struct Patterns {
    agents: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
}

impl Patterns {
    fn get() -> &'static Self {
        static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
            Patterns::new(include_str!("../../data/user-agents.tsv"))
                .expect("the patterns are part of the program, and a test loads them")
        });
        &PATTERNS
    }

    fn new(text: &'static str) -> Result<Self, ua_parser::Error> {
        let (mut agents, mut systems) = (user_agent::Builder::new(), os::Builder::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut parts = line.split('\t');
            let (Some(what), Some(regex)) = (parts.next(), parts.next()) else { continue };
            let mut next = || parts.next().filter(|text| !text.is_empty()).map(Cow::Borrowed);
            if what == "A" {
                agents = agents.push(user_agent::Parser {
                    regex: regex.into(),
                    family_replacement: next(),
                    v1_replacement: next(),
                    v2_replacement: next(),
                    v3_replacement: next(),
                    v4_replacement: None,
                })?;
            } else {
                systems = systems.push(os::Parser {
                    regex: regex.into(),
                    os_replacement: next(),
                    os_v1_replacement: next(),
                    os_v2_replacement: next(),
                    os_v3_replacement: next(),
                    os_v4_replacement: next(),
                })?;
            }
        }
        Ok(Self { agents: agents.build()?, systems: systems.build()? })
    }

    /// Name and version.
    fn name(&self, text: &str) -> Option<(String, Option<String>)> {
        let found = self.agents.extract(text)?;
        let family = found.family.trim();
        (!family.is_empty()).then(|| (family.to_owned(), found.major.map(str::to_owned)))
    }

    fn system(&self, text: &str) -> Option<String> {
        let found = self.systems.extract(text)?;
        let versions = [Some(found.os), found.major, found.minor];
        let mut name = String::new();
        for (place, part) in versions.into_iter().map_while(|part| part.filter(|part| !part.is_empty())).enumerate() {
            name.push_str(["", " ", "."][place]);
            name.push_str(&part);
        }
        Some(name)
    }
}

/// Reads a user agent.
pub(super) fn read(text: &str) -> Agent {
    let line = Words::get().find(text);
    let patterns = Patterns::get();
    let found = patterns.name(text);
    let os = patterns.system(text).unwrap_or_default();
    let kind = line.map_or_else(|| guess(text, found.is_some() || !os.is_empty()), |line| line.kind);
    let name = match line.map(|line| line.name).filter(|name| !name.is_empty()) {
        Some(name) if matches!(kind, Kind::Crawler | Kind::Probe) => name.to_owned(),
        Some(name) => versioned(name, None),
        // Patterns take the view in which an application shows pages for its name.
        None => match if line.is_none() && kind == Kind::App {
            product(text).or(found)
        } else {
            found.or_else(|| product(text))
        } {
            Some((family, _)) if kind == Kind::Crawler => family,
            Some((family, version)) => versioned(&family, version.as_deref()),
            None => String::new(),
        },
    };
    let is_true = !matches!(kind, Kind::Crawler | Kind::Probe);
    Agent { text: text.into(), kind, name: cut(&name).into(), os: cut(if is_true { &os } else { "" }).into() }
}

fn versioned(name: &str, version: Option<&str>) -> String {
    match version.filter(|version| !version.is_empty()) {
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    }
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_BYTES_MAX)]
}

/// The kind of a client that none of the words names.
fn guess(text: &str, is_known: bool) -> Kind {
    let lower = text.to_ascii_lowercase();
    let is_crawler = lower.contains("+http")
        || lower.contains("spider")
        || lower.contains("crawl")
        || lower.match_indices("bot").any(|(at, _)| {
            let (before, after) = (&lower[..at], &lower[at + 3..]);
            // CUBOT makes telephones.
            !after.starts_with(|next: char| next.is_ascii_alphabetic()) && !before.ends_with("cu")
        });
    let is_browser = text.starts_with("Mozilla/") || text.starts_with("Opera/");
    let is_of_device = ["; ios ", "android", "darwin/", "scale/", "(iphone", "(ipad", "ios/"];
    if is_crawler {
        Kind::Crawler
    } else if is_browser {
        if is_known { Kind::Browser } else { Kind::Bot }
    } else if is_of_device.iter().any(|word| lower.contains(word)) {
        Kind::App
    } else {
        Kind::Bot
    }
}

/// What stands before the first slash, and the first number after it: `shop-sync/3.1 (linux)`.
fn product(text: &str) -> Option<(String, Option<String>)> {
    let end = text.find(['/', ' ', '(', ';']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let is_name = name.starts_with(|first: char| first.is_alphabetic()) && name != "Mozilla";
    let digits: String = rest.strip_prefix('/').unwrap_or("").chars().take_while(char::is_ascii_digit).collect();
    is_name.then(|| (name.to_owned(), Some(digits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_read() {
        let lines = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(Words::get().lines.len(), lines(include_str!("../../data/agents.txt")));
        assert!(Patterns::new(include_str!("../../data/user-agents.tsv")).is_ok());
        assert_eq!(domains_of_crawler("Googlebot"), [".googlebot.com", ".google.com"]);
        assert!(domains_of_crawler("GPTBot").is_empty());
    }
}
