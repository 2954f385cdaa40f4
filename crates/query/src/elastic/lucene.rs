//! Lucene's query syntax, of `query_string`, `simple_query_string` and `?q=`, read into a filter.
//!
//! Clauses are joined as Lucene joins them: `AND` demands both its sides, `+` and `-` one clause, and of the others
//! one has to match unless something is demanded.

use super::dates::{self, Reading};
use super::{Context, ElasticError, dsl};
use crate::filter::{Comparison, DEPTH_MAX, Filter, Text, is_text_key};

/// Longest text read, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// How a text is read.
pub(crate) struct Lucene<'a> {
    /// Where words without a field are looked for; `*` is anywhere.
    pub(crate) fields: Vec<String>,
    /// Whether all clauses are demanded.
    pub(crate) all: bool,
    /// For dates that name no time zone.
    pub(crate) zone: Option<&'a str>,
    /// What `now` is, and which keys there are.
    pub(crate) context: &'a Context<'a>,
}

/// Reads the strict syntax.
///
/// # Errors
/// 400 that shows the text and says what was expected.
pub(crate) fn parse(text: &str, lucene: &Lucene<'_>) -> Result<Filter, ElasticError> {
    check_length(text)?;
    let mut parser = Parser { lucene, text, at: 0, depth: 0 };
    parser.spaces();
    if parser.rest().is_empty() {
        return Ok(Filter::not(Filter::All));
    }
    let filter = parser.clauses(None)?;
    if parser.rest().is_empty() { Ok(filter) } else { Err(parser.error("nothing is open that `)` could close")) }
}

fn check_length(text: &str) -> Result<(), ElasticError> {
    if text.len() > TEXT_BYTES_MAX {
        let reason = format!("Query string length exceeds max allowed length {TEXT_BYTES_MAX}");
        return Err(ElasticError::parsing(reason));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Occur {
    Should,
    Must,
    Not,
}

/// The clauses as one filter.
fn joined(clauses: Vec<(Occur, Filter)>) -> Filter {
    let (mut must, mut should) = (Vec::new(), Vec::new());
    for (occur, filter) in clauses {
        match occur {
            Occur::Must => must.push(filter),
            Occur::Should => should.push(filter),
            Occur::Not => must.push(Filter::not(filter)),
        }
    }
    let demanded = must.iter().any(|part| !matches!(part, Filter::Not(_)));
    if !should.is_empty() && !demanded {
        must.push(Filter::or(should));
    }
    Filter::and(must)
}

struct Parser<'a> {
    lucene: &'a Lucene<'a>,
    text: &'a str,
    at: usize,
    depth: usize,
}

/// A bare term: its characters as a pattern, and whether some of them stand for others.
struct Term {
    text: String,
    pattern: String,
    wild: bool,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, sign: &str) -> bool {
        let taken = self.rest().starts_with(sign);
        self.at += if taken { sign.len() } else { 0 };
        taken
    }

    /// A word of the language, which ends where a word ends.
    fn keyword(&mut self, word: &str) -> bool {
        let Some(after) = self.rest().strip_prefix(word) else { return false };
        let ends = after.chars().next().is_none_or(|next| next.is_whitespace() || next == '(' || next == ')');
        self.at += if ends { word.len() } else { 0 };
        ends
    }

    fn error(&self, message: &str) -> ElasticError {
        let reason = format!("Failed to parse query [{}]: {message} at character {}", self.text, self.at);
        ElasticError { status: 400, kind: "query_shard_exception", reason }
    }

    fn clauses(&mut self, field: Option<&str>) -> Result<Filter, ElasticError> {
        if self.depth > DEPTH_MAX {
            return Err(self.error("the parentheses are nested too deep"));
        }
        self.depth += 1;
        let mut clauses: Vec<(Occur, Filter)> = Vec::new();
        loop {
            self.spaces();
            if matches!(self.peek(), None | Some(')')) {
                break;
            }
            let and = !clauses.is_empty() && (self.keyword("AND") || self.take("&&"));
            let or = !and && !clauses.is_empty() && (self.keyword("OR") || self.take("||"));
            self.spaces();
            let not = self.keyword("NOT") || self.take("!") || self.take("-");
            let must = !not && self.take("+");
            self.spaces();
            if matches!(self.peek(), None | Some(')')) {
                return Err(self.error("a term is missing"));
            }
            let filter = self.clause(field)?;
            if let Some((before, _)) = clauses.last_mut()
                && *before != Occur::Not
            {
                match (and, or) {
                    (true, _) => *before = Occur::Must,
                    (_, true) if self.lucene.all => *before = Occur::Should,
                    _ => {}
                }
            }
            let occur = match (not, must || and || (self.lucene.all && !or)) {
                (true, _) => Occur::Not,
                (_, true) => Occur::Must,
                _ => Occur::Should,
            };
            clauses.push((occur, filter));
        }
        self.depth -= 1;
        Ok(joined(clauses))
    }

    fn clause(&mut self, field: Option<&str>) -> Result<Filter, ElasticError> {
        if self.take("(") {
            let inner = self.clauses(field)?;
            if !self.take(")") {
                return Err(self.error("`)` is missing"));
            }
            self.boost()?;
            return Ok(inner);
        }
        if self.peek() == Some('"') {
            let text = self.quoted()?;
            self.boost()?;
            return Ok(self.everywhere(field, |field, context| dsl::phrase(field, &text, false, context)));
        }
        if let Some(field) = field {
            return self.value(field);
        }
        let start = self.at;
        let term = self.term()?;
        if self.take(":") {
            if term.text == "*" {
                self.term()?;
                return Ok(Filter::All);
            }
            self.spaces();
            if term.text == "_exists_" {
                let name = if self.peek() == Some('"') { self.quoted()? } else { self.term()?.text };
                return Ok(dsl::exists(&name));
            }
            return if self.peek() == Some('(') { self.clause(Some(&term.text)) } else { self.value(&term.text) };
        }
        self.at = start;
        if term.text == "*" {
            self.at = start + 1;
            return Ok(Filter::All);
        }
        if matches!(self.peek(), Some('[' | '{' | '/' | '<' | '>'))
            && self.lucene.fields.iter().any(|field| field == "*")
        {
            return Err(self.error("a range or a regular expression needs a field before it"));
        }
        let term = self.term()?;
        self.boost()?;
        self.bare(&term)
    }

    /// A term without a field.
    fn bare(&self, term: &Term) -> Result<Filter, ElasticError> {
        let mut parts = Vec::new();
        for field in &self.lucene.fields {
            if field != "*" {
                parts.push(self.of_term(field, term));
                continue;
            }
            let prefix = term.pattern.strip_suffix('*').filter(|start| !start.contains(['*', '?', '\\']));
            match prefix {
                _ if !term.wild => parts.push(Filter::Anywhere(Text::new(&term.text))),
                Some(start) if crate::filter::words(start).count() == 1 => {
                    parts.push(Filter::Anywhere(Text::starting(start)));
                }
                _ => {
                    return Err(self.error("a pattern in the middle of a word needs a field before it, like path:*x*,"));
                }
            }
        }
        Ok(Filter::or(parts))
    }

    fn of_term(&self, field: &str, term: &Term) -> Filter {
        if term.wild {
            return dsl::pattern(field, &term.pattern, is_text_key(field));
        }
        if is_text_key(field) {
            dsl::phrase(field, &term.text, false, self.lucene.context)
        } else {
            dsl::equal(field, vec![term.text.clone()], self.lucene.context)
        }
    }

    fn everywhere(&self, field: Option<&str>, filter: impl Fn(&str, &Context<'_>) -> Filter) -> Filter {
        match field {
            Some(field) => filter(field, self.lucene.context),
            None => Filter::or(self.lucene.fields.iter().map(|field| filter(field, self.lucene.context))),
        }
    }

    /// What stands behind `field:`.
    fn value(&mut self, field: &str) -> Result<Filter, ElasticError> {
        let filter = match self.peek() {
            None => return Err(self.error("a value is missing")),
            Some('"') => {
                let text = self.quoted()?;
                let keyword = field.ends_with(".keyword");
                if keyword {
                    dsl::equal(field, vec![text], self.lucene.context)
                } else {
                    dsl::phrase(field, &text, false, self.lucene.context)
                }
            }
            Some('[' | '{') => self.range(field)?,
            Some('/') => self.regex(field)?,
            Some('>' | '<') => {
                let signs = [
                    (">=", Comparison::GreaterOrEqual),
                    ("<=", Comparison::LessOrEqual),
                    (">", Comparison::Greater),
                    ("<", Comparison::Less),
                ];
                let comparison = signs
                    .into_iter()
                    .find(|(sign, _)| self.take(sign))
                    .map_or(Comparison::Less, |(_, comparison)| comparison);
                let value = if self.peek() == Some('"') { self.quoted()? } else { self.term()?.text };
                self.compared(field, comparison, &value)?
            }
            Some(_) => {
                let term = self.term()?;
                if super::is_time(super::key_of(field)) && !term.wild {
                    self.at_time(field, &term.text)?
                } else {
                    self.of_term(field, &term)
                }
            }
        };
        self.boost()?;
        Ok(filter)
    }

    fn at_time(&self, field: &str, text: &str) -> Result<Filter, ElasticError> {
        Ok(Filter::and([
            self.compared(field, Comparison::GreaterOrEqual, text)?,
            self.compared(field, Comparison::LessOrEqual, text)?,
        ]))
    }

    fn compared(&self, field: &str, comparison: Comparison, text: &str) -> Result<Filter, ElasticError> {
        let zone = self.lucene.zone.map_or(Ok(jiff::tz::TimeZone::UTC), dates::zone)?;
        dsl::compared(field, comparison, text, &Reading { format: None, zone, now: self.lucene.context.now })
    }

    /// `[a TO b]`, `{a TO b}`, and one bracket of each.
    fn range(&mut self, field: &str) -> Result<Filter, ElasticError> {
        let lower = if self.take("[") { Comparison::GreaterOrEqual } else { Comparison::Greater };
        self.at += usize::from(lower == Comparison::Greater);
        let from = self.range_end()?;
        self.spaces();
        if !self.keyword("TO") {
            return Err(self.error("`TO` is missing"));
        }
        let to = self.range_end()?;
        self.spaces();
        let upper = if self.take("]") { Comparison::LessOrEqual } else { Comparison::Less };
        if upper == Comparison::Less && !self.take("}") {
            return Err(self.error("`]` or `}` is missing"));
        }
        let mut parts = Vec::new();
        for (comparison, end) in [(lower, from), (upper, to)] {
            if end != "*" {
                parts.push(self.compared(field, comparison, &end)?);
            }
        }
        Ok(if parts.is_empty() { dsl::exists(field) } else { Filter::and(parts) })
    }

    fn range_end(&mut self) -> Result<String, ElasticError> {
        self.spaces();
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let length = self
            .rest()
            .find(|next: char| next.is_whitespace() || matches!(next, ']' | '}'))
            .unwrap_or(self.rest().len());
        let end = self.rest()[..length].to_owned();
        self.at += length;
        if end.is_empty() {
            Err(self.error("an end of the range is missing; write * to leave it open"))
        } else {
            Ok(end)
        }
    }

    fn regex(&mut self, field: &str) -> Result<Filter, ElasticError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        while let Some(next) = self.peek() {
            if next == '/' && !escaped {
                let text = self.text[start..self.at].replace("\\/", "/");
                self.at += 1;
                return dsl::regexp(field, &text, false);
            }
            escaped = next == '\\' && !escaped;
            self.at += next.len_utf8();
        }
        Err(self.error("`/` is missing"))
    }

    fn quoted(&mut self) -> Result<String, ElasticError> {
        self.at += 1;
        let mut text = String::new();
        let mut characters = self.rest().char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        Err(self.error("the closing quote is missing"))
    }

    fn term(&mut self) -> Result<Term, ElasticError> {
        let mut term = Term { text: String::new(), pattern: String::new(), wild: false };
        while let Some(character) = self.peek() {
            if character.is_whitespace()
                || matches!(character, '(' | ')' | ':' | '"' | '[' | ']' | '{' | '}' | '^' | '~')
            {
                // A date has colons in it that end no field.
                let in_value = character == ':' && term.text.contains('T') && term.text.len() >= 13;
                if !in_value {
                    break;
                }
            }
            self.at += character.len_utf8();
            match character {
                '\\' => {
                    let Some(escaped) = self.peek() else { break };
                    self.at += escaped.len_utf8();
                    term.text.push(escaped);
                    term.pattern.push_str(&dsl::escaped(escaped.encode_utf8(&mut [0; 4])));
                }
                '*' | '?' => {
                    term.wild = true;
                    term.text.push(character);
                    term.pattern.push(character);
                }
                other => {
                    term.text.push(other);
                    term.pattern.push(other);
                }
            }
        }
        if term.text.is_empty() { Err(self.error("a term is missing")) } else { Ok(term) }
    }

    /// `^2` changes a score that nothing has; `~` asks for words that are only alike.
    fn boost(&mut self) -> Result<(), ElasticError> {
        if self.take("~") {
            return Err(self.error("`~` is not supported: words are compared as they are,"));
        }
        if self.take("^") {
            let digits = self.rest().bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
            self.at += digits;
        }
        Ok(())
    }
}

/// Reads the forgiving syntax: `+` and, `|` or, `-` not, quotes, a final `*`, and parentheses.
pub(crate) fn simple(text: &str, lucene: &Lucene<'_>) -> Result<Filter, ElasticError> {
    check_length(text)?;
    let mut reader = Simple { lucene, rest: text };
    let mut parts = Vec::new();
    // What closes nothing is passed over.
    while !reader.rest.is_empty() {
        parts.extend(reader.any(0));
        reader.rest = reader.rest.strip_prefix(')').unwrap_or(reader.rest);
    }
    Ok(if parts.is_empty() { Filter::not(Filter::All) } else { simply_joined(parts, lucene.all) })
}

fn simply_joined(parts: Vec<Filter>, all: bool) -> Filter {
    if all { Filter::and(parts) } else { Filter::or(parts) }
}

struct Simple<'a> {
    lucene: &'a Lucene<'a>,
    rest: &'a str,
}

impl Simple<'_> {
    /// The clauses up to a closing parenthesis.
    fn any(&mut self, depth: usize) -> Option<Filter> {
        let mut all: Option<Filter> = None;
        let (mut and, mut or) = (false, false);
        loop {
            self.rest = self.rest.trim_start();
            let Some(first) = self.rest.chars().next().filter(|first| *first != ')') else { return all };
            match first {
                '+' | '|' => {
                    (and, or) = (first == '+', first == '|');
                    self.rest = &self.rest[1..];
                    continue;
                }
                _ => {}
            }
            let not = first == '-' && self.rest[1..].chars().next().is_some_and(|next| !next.is_whitespace());
            self.rest = if not { &self.rest[1..] } else { self.rest };
            let Some(mut one) = self.one(depth) else { continue };
            if not {
                one = Filter::not(one);
            }
            let demanded = and || (self.lucene.all && !or);
            all = Some(match all.take() {
                None => one,
                Some(before) if demanded => Filter::and([before, one]),
                Some(before) => Filter::or([before, one]),
            });
            (and, or) = (false, false);
        }
    }

    fn one(&mut self, depth: usize) -> Option<Filter> {
        if let Some(rest) = self.rest.strip_prefix('(').filter(|_| depth < DEPTH_MAX / 2) {
            self.rest = rest;
            let inner = self.any(depth + 1);
            self.rest = self.rest.strip_prefix(')').unwrap_or(self.rest);
            return inner;
        }
        if let Some((text, rest)) = self.rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            self.rest = rest;
            return (!text.is_empty()).then(|| self.phrase(text, false));
        }
        let length = self
            .rest
            .find(|next: char| next.is_whitespace() || matches!(next, '|' | ')' | '+'))
            .unwrap_or(self.rest.len());
        // A sign that begins nothing is passed over.
        let length = length.max(self.rest.chars().next().map_or(0, char::len_utf8));
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        let prefix = word.ends_with('*');
        let word = word.trim_end_matches('*').trim_start_matches('(');
        match word {
            "" if prefix => Some(Filter::All),
            "" => None,
            word => Some(self.phrase(word, prefix)),
        }
    }

    fn phrase(&self, text: &str, prefix: bool) -> Filter {
        let fields = self.lucene.fields.iter();
        Filter::or(fields.map(|field| dsl::phrase(field, text, prefix, self.lucene.context)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, all: bool) -> Result<String, ElasticError> {
        let context = Context::at("2026-01-31T12:00:00Z".parse().unwrap());
        let lucene = Lucene { fields: vec!["*".to_owned()], all, zone: None, context: &context };
        parse(text, &lucene).map(|filter| filter.to_string())
    }

    #[test]
    fn the_syntax_of_lucene() {
        for (text, printed) in [
            ("*", "*"),
            ("*:*", "*"),
            ("timeout", "timeout"),
            ("time*", "time*"),
            ("a b", "a OR b"),
            ("a AND b", "a b"),
            ("a AND b OR c", "a b"),
            ("+a b -c", "a -c"),
            ("a NOT b", "-b a"),
            ("status:500", "status:500"),
            ("status:(500 OR 502)", "status:500 OR status:502"),
            ("status:[400 TO 499]", "status:>=400 status:<=499"),
            ("status:{400 TO *]", "status:>400"),
            ("status:>=500 AND user.keyword:\"a b\"", "status:>=500 user:\"a b\""),
            ("path:\\/api\\/v*", "path:/api/v*"),
            ("path:/.*x/", "path:=~\".*x\""),
            ("_exists_:user.id", "user.id:*"),
            ("user.id:*", "user.id:*"),
            ("(a OR b) AND c^2", "(a OR b) c"),
            (
                "@timestamp:[2026-01-01 TO 2026-01-02]",
                "timestamp:>=\"2026-01-01T00:00:00.000000Z\" timestamp:<\"2026-01-03T00:00:00.000000Z\"",
            ),
        ] {
            assert_eq!(read(text, false).as_deref(), Ok(printed), "{text}");
        }
        assert_eq!(read("a b", true).as_deref(), Ok("a b"));
        assert_eq!(read("a OR b", true).as_deref(), Ok("a OR b"));
        for text in ["(a", "a)", "\"a", "a AND", "status:", "status:[1 TO", "a~2", "x:/a"] {
            assert!(read(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn the_forgiving_syntax() {
        let context = Context::at("2026-01-31T12:00:00Z".parse().unwrap());
        let lucene = Lucene { fields: vec!["*".to_owned()], all: false, zone: None, context: &context };
        for (text, printed) in [
            ("a + b", "a b"),
            ("a | b", "a OR b"),
            ("a -b", "a OR -b"),
            ("\"a b\" c*", "\"a b\" OR c*"),
            ("(a | b) + c", "(a OR b) c"),
            (")(", "-*"),
            ("", "-*"),
        ] {
            assert_eq!(simple(text, &lucene).map(|filter| filter.to_string()).as_deref(), Ok(printed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-c]|[-+|!&(): \"\\[\\]{}/*?<>=^~]|AND|OR|NOT|TO|é){0,40}") {
            let context = Context::at("2026-01-31T12:00:00Z".parse().unwrap());
            let lucene = Lucene { fields: vec!["*".to_owned(), "message".to_owned()], all: false, zone: None, context: &context };
            let _ = parse(&text, &lucene);
            prop_assert!(simple(&text, &lucene).is_ok());
        }
    }
}
