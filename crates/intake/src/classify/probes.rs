//! What nobody asks for but who looks for a way in: a list of patterns, all looked for in one pass.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// So much of a path or a query is looked at, in bytes: servers take no longer lines.
const TARGET_BYTES_MAX: usize = 8192;

/// How often escapes are read: `%252e` is `%2e` is `.`.
const ESCAPED_MAX: usize = 2;

/// Where a pattern ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With a segment.
    Segment,
    /// Anywhere but within a word.
    Word,
    /// With the path.
    Path,
    /// Anywhere, in the query too.
    Any,
}

#[derive(Debug)]
struct Pattern {
    class: Box<str>,
    from_root: bool,
    end: End,
}

/// A list of patterns.
#[derive(Debug)]
pub(super) struct Probes {
    patterns: Vec<Pattern>,
    finder: Option<AhoCorasick>,
}

impl Probes {
    /// The list that comes with the program.
    pub(super) fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<Probes> = LazyLock::new(|| Probes::new(lines()));
        &BUILT_IN
    }

    /// Of classes and patterns; what is no pattern is left out.
    pub(super) fn new<'p>(listed: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let (mut patterns, mut literals) = (Vec::new(), Vec::new());
        for (class, text) in listed {
            let (body, is_open) = text.strip_suffix('*').map_or((text, false), |body| (body, true));
            let (literal, end) = match (body.strip_prefix('*'), is_open) {
                (Some(body), true) => (body.to_owned(), End::Any),
                (Some(body), false) => (body.to_owned(), End::Path),
                (None, is_open) => {
                    let slash = if body.starts_with('/') { "" } else { "/" };
                    (format!("{slash}{body}"), if is_open { End::Word } else { End::Segment })
                }
            };
            if literal.trim_matches('/').is_empty() {
                continue;
            }
            patterns.push(Pattern { class: class.into(), from_root: text.starts_with('/'), end });
            literals.push(literal);
        }
        let build = || {
            let mut builder = AhoCorasick::builder();
            builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard).kind(Some(AhoCorasickKind::DFA));
            builder.build(&literals).ok()
        };
        let finder = if patterns.is_empty() { None } else { build() };
        Self { patterns, finder }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The class of the first pattern that a request fits; classes for which `is_none` holds are left out. What does
    /// not begin with a slash is no path.
    pub(super) fn find(&self, target: &str, query: Option<&str>, is_none: impl Fn(&str) -> bool) -> Option<&str> {
        let finder = self.finder.as_ref()?;
        let target = target_of_url(target)?.as_bytes();
        let target = &target[..target.len().min(TARGET_BYTES_MAX)];
        let path_bytes = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
        let query = query.map(|query| &query.as_bytes()[..query.len().min(TARGET_BYTES_MAX)]);
        let first = |text: &[u8], path_bytes: usize| {
            let found = finder.find_overlapping_iter(text).filter(|found| {
                let pattern = &self.patterns[found.pattern().as_usize()];
                pattern.fits(text, path_bytes, found.start(), found.end()) && !is_none(&pattern.class)
            });
            found.map(|found| found.pattern().as_usize()).min()
        };
        let place = first(target, path_bytes)
            .or_else(|| {
                let (path, path_bytes) = unescaped(target, path_bytes)?;
                first(&path, path_bytes)
            })
            .or_else(|| {
                let query = query?;
                first(query, 0).or_else(|| unescaped(query, 0).and_then(|(query, _)| first(&query, 0)))
            })?;
        Some(&*self.patterns[place].class)
    }
}

impl Pattern {
    fn fits(&self, text: &[u8], path_bytes: usize, start: usize, end: usize) -> bool {
        if self.end == End::Any {
            return true;
        }
        if end > path_bytes || (self.from_root && start > 0) {
            return false;
        }
        let next = text[..path_bytes].get(end);
        match self.end {
            End::Segment => next.is_none_or(|next| matches!(next, b'/' | b';')),
            End::Word => next.is_none_or(|next| !next.is_ascii_alphabetic()),
            End::Path => next.is_none(),
            End::Any => true,
        }
    }
}

/// The lines of the built-in list.
fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    let text = include_str!("../../data/probes.txt");
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
}

/// Whether the built-in list has a class.
pub(super) fn is_built_in(class: &str) -> bool {
    class == super::SCANNER || lines().any(|(known, _)| known == class)
}

/// The names of the classes of the built-in list.
pub(super) fn classes() -> Vec<&'static str> {
    let mut classes: Vec<&str> = lines().map(|(class, _)| class).collect();
    classes.dedup();
    classes.push(super::SCANNER);
    classes
}

/// The path, query and fragment of a URL of the web; a path stays as it is, and there is none in anything else.
pub(super) fn target_of_url(url: &str) -> Option<&str> {
    if url.starts_with('/') {
        return Some(url);
    }
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let start = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let target = &rest[start..];
    Some(if target.starts_with('/') { target } else { "/" })
}

/// The text with its escapes read and `/` in place of `\`, and how long its path is then; `None` when that changes nothing.
fn unescaped(text: &[u8], path_bytes: usize) -> Option<(Vec<u8>, usize)> {
    memchr::memchr2(b'%', b'\\', text)?;
    let (path, query) = text.split_at(path_bytes);
    let mut whole = read_escapes(path);
    let path_bytes = whole.len();
    whole.extend(read_escapes(query));
    Some((whole, path_bytes))
}

fn read_escapes(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..ESCAPED_MAX {
        if memchr::memchr(b'%', &text).is_none() {
            break;
        }
        let (mut read, mut at) = (Vec::with_capacity(text.len()), 0);
        while let Some(byte) = text.get(at) {
            let digit = |place: usize| text.get(place).and_then(|byte| char::from(*byte).to_digit(16));
            let escaped = if *byte == b'%' { digit(at + 1).zip(digit(at + 2)) } else { None };
            let value = escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            read.push(value.unwrap_or(*byte));
            at += if value.is_some() { 3 } else { 1 };
        }
        text = read;
    }
    text.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_takes_little_memory() {
        let bytes = Probes::built_in().finder.as_ref().map_or(0, AhoCorasick::memory_usage);
        assert!(bytes < 3 << 20, "{bytes} bytes");
    }

    #[test]
    fn every_line_of_the_data_is_a_pattern() {
        let text = include_str!("../../data/probes.txt");
        let count = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(Probes::built_in().patterns.len(), count);
        let mut seen = std::collections::HashSet::new();
        for (class, pattern) in lines() {
            assert!(seen.insert(pattern), "{pattern} stands there twice");
            assert_eq!(pattern, pattern.to_lowercase(), "{class}");
            assert!(pattern.trim_matches('*').len() > 1, "{pattern}");
        }
        assert!(is_built_in("wordpress") && is_built_in("scanner") && !is_built_in("zebra"));
    }
}
