//! The search language: what is typed into the console's box, after `everlog query`, and into rules.
//!
//! ```text
//! any    = all ("OR" all)*                      all   = not ("AND"? not)*
//! not    = ("NOT" | "-" | "!")* one             one   = "(" any ")" | key ":" test | text
//! test   = "*" | op? value | op? "(" (value "OR"?)+ ")" | ("[" | "{") value "TO" value ("]" | "}")
//! op     = "=" | "=~" | ">" | ">=" | "<" | "<=" | "~" | "~*" | "@@"
//! value  = "quoted" "*"? | bare                 text  = "quoted" "*"? | bare
//! ```
//!
//! Read by hand and by recursion: each error can then say what stood where, and what to write instead.

mod atom;
mod error;

use jiff::Timestamp;

use self::atom::Atom;
pub use self::error::ParseError;
use self::error::Span;
use crate::filter::{Comparison, DEPTH_MAX, Filter, Pattern, Scalar, TERMS_MAX, Test, Text, is_text_key};
use crate::time::{self, TIME_FORMS, is_time_key};

/// Longest text read, in bytes. A list of a few hundred ids fits.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Reads a search. An empty text, or `*`, finds everything; relative times count from `now`.
///
/// # Errors
///
/// When the text is not in the language, or longer, deeper or of more terms than the limits allow.
pub fn parse(text: &str, now: Timestamp) -> Result<Filter, ParseError> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the search is {} bytes long, the limit is {TEXT_BYTES_MAX}", text.len());
        return Err(ParseError::new(Span { start: 0, end: 0 }, message).help("ask in several searches"));
    }
    let mut parser = Parser { text, at: 0, depth: 0, terms: 0, now };
    parser.skip_spaces();
    if parser.peek().is_none() {
        return Ok(Filter::All);
    }
    let filter = parser.any()?;
    if parser.peek().is_some() {
        let here = Span { start: parser.at, end: parser.at + 1 };
        return Err(ParseError::new(here, "this `)` closes nothing").help("leave it out, or put it in quotes"));
    }
    let whole = Span { start: 0, end: text.len() };
    if filter.depth() > DEPTH_MAX {
        return Err(too_deep(whole));
    }
    // Counted again, because a range is two terms.
    if filter.terms() > TERMS_MAX {
        return Err(too_many(whole));
    }
    Ok(filter)
}

/// What stands between the colon and the value.
#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Plain,
    Exact,
    Compare(Comparison),
    Contains { ignore_case: bool },
    Words,
    Regex,
}

/// Longer signs first: the first that fits is taken.
const OPERATORS: [(&str, Operator); 9] = [
    ("=~", Operator::Regex),
    (">=", Operator::Compare(Comparison::GreaterOrEqual)),
    ("<=", Operator::Compare(Comparison::LessOrEqual)),
    (">", Operator::Compare(Comparison::Greater)),
    ("<", Operator::Compare(Comparison::Less)),
    ("~*", Operator::Contains { ignore_case: true }),
    ("~", Operator::Contains { ignore_case: false }),
    ("@@", Operator::Words),
    ("=", Operator::Exact),
];

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    terms: usize,
    now: Timestamp,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Filter, ParseError> {
        let mut parts = vec![self.all()?];
        while self.take_keyword("OR") {
            parts.push(self.all()?);
        }
        Ok(Filter::or(parts))
    }

    fn all(&mut self) -> Result<Filter, ParseError> {
        let mut parts = vec![self.not()?];
        loop {
            self.skip_spaces();
            let joined = self.take_keyword("AND");
            if !joined && (matches!(self.peek(), None | Some(')')) || self.at_keyword("OR")) {
                return Ok(Filter::and(parts));
            }
            parts.push(self.not()?);
        }
    }

    fn not(&mut self) -> Result<Filter, ParseError> {
        self.skip_spaces();
        let start = self.at;
        if self.take_keyword("NOT") {
            return self.deeper(start, Self::not).map(Filter::not);
        }
        if !self.take("-") && !self.take("!") {
            return self.one();
        }
        if self.peek().is_some_and(char::is_whitespace) {
            let sign = Span { start, end: self.at };
            let help = r#"write it without a space, -word, or in quotes, "-""#;
            return Err(ParseError::new(sign, format!("nothing stands behind `{}`", self.slice(sign))).help(help));
        }
        self.deeper(start, Self::not).map(Filter::not)
    }

    fn one(&mut self) -> Result<Filter, ParseError> {
        if matches!(self.peek(), None | Some(')')) || self.at_keyword("AND") || self.at_keyword("OR") {
            return Err(self.expected("a term"));
        }
        let start = self.at;
        if self.take("(") {
            let inner = self.deeper(start, Self::any)?;
            return if self.take(")") { Ok(inner) } else { Err(self.unclosed(start, ")")) };
        }
        let filter = self.term()?;
        match self.peek() {
            Some(next) if !next.is_whitespace() && next != ')' => {
                Err(self.expected("a space").help("or put the whole value in quotes"))
            }
            _ => Ok(filter),
        }
    }

    /// A key with its test, or a text.
    fn term(&mut self) -> Result<Filter, ParseError> {
        let atom = self.atom(ends_key)?;
        if self.take(":") {
            return self.field(&atom);
        }
        self.count_term(atom.span)?;
        if atom.is_star() {
            return Ok(Filter::All);
        }
        if atom.stars > 0 && !atom.is_start() {
            let message = "in a text without a key `*` may only be the last character";
            let help = "for a pattern inside one value write key:pattern";
            return Err(ParseError::new(atom.span, message).help(help));
        }
        text(&atom, None).map(Filter::Anywhere)
    }

    fn field(&mut self, key: &Atom) -> Result<Filter, ParseError> {
        if key.text.is_empty() && !key.quoted {
            let help = r#"write key:value, or the text in quotes, ":""#;
            return Err(ParseError::new(key.span, "expected a key before `:`").help(help));
        }
        if key.stars > 0 {
            let help = "to search all keys, write the word alone";
            return Err(ParseError::new(key.span, "a key cannot have `*` in it").help(help));
        }
        if key.text == "_exists_" && !key.quoted {
            let name = self.value()?;
            self.count_term(name.span)?;
            return Ok(Filter::field(name.text, Test::Present));
        }
        if matches!(self.peek(), Some('[' | '{')) {
            return self.range(&key.text);
        }
        let operator = self.operator();
        if self.peek() == Some('(') {
            return self.group(&key.text, operator);
        }
        let value = self.value()?;
        self.test(&key.text, operator, value)
    }

    fn operator(&mut self) -> Operator {
        OPERATORS.into_iter().find(|(sign, _)| self.take(sign)).map_or(Operator::Plain, |(_, operator)| operator)
    }

    /// `(a OR b)` or `(a b)` behind a key: any of these values.
    fn group(&mut self, key: &str, operator: Operator) -> Result<Filter, ParseError> {
        let start = self.at;
        self.take("(");
        let mut parts = Vec::new();
        loop {
            self.skip_spaces();
            if !parts.is_empty() && self.take(")") {
                return Ok(any_value(parts));
            }
            if !parts.is_empty() && self.take_keyword("OR") {
                self.skip_spaces();
            }
            match self.peek() {
                None => return Err(self.unclosed(start, ")")),
                Some('(' | ')') => return Err(self.expected("a value")),
                Some(_) if ["AND", "OR", "NOT"].into_iter().any(|word| self.at_keyword(word)) => {
                    let help = format!("write the key each time: {key}:a AND {key}:b");
                    return Err(self.expected("a value").help(help));
                }
                Some(_) => {}
            }
            let own = if operator == Operator::Plain { self.operator() } else { operator };
            let value = self.value()?;
            parts.push(self.test(key, own, value)?);
        }
    }

    /// `[a TO b]`, each bracket for its end: square includes it, curly excludes it; `*` leaves it open.
    fn range(&mut self, key: &str) -> Result<Filter, ParseError> {
        let start = self.at;
        let closed = self.advance() == Some('[');
        let lower = if closed { Comparison::GreaterOrEqual } else { Comparison::Greater };
        let from = self.range_end(start)?;
        self.skip_spaces();
        if !self.take_keyword("TO") {
            return Err(self.expected("`TO`").help(format!("a range is written {key}:[1 TO 5]")));
        }
        let to = self.range_end(start)?;
        self.skip_spaces();
        let upper = match self.peek() {
            Some(']') => Comparison::LessOrEqual,
            Some('}') => Comparison::Less,
            Some(_) => return Err(self.expected("`]` or `}`")),
            None => return Err(self.unclosed(start, "]")),
        };
        self.at += 1;
        let mut parts = Vec::new();
        for (comparison, end) in [(lower, from), (upper, to)] {
            if !end.is_star() {
                parts.push(self.test(key, Operator::Compare(comparison), end)?);
            }
        }
        Ok(if parts.is_empty() { Filter::field(key, Test::Present) } else { Filter::and(parts) })
    }

    fn range_end(&mut self, start: usize) -> Result<Atom, ParseError> {
        self.skip_spaces();
        match self.peek() {
            None => Err(self.unclosed(start, "]")),
            Some(']' | '}') => Err(self.expected("a value").help("write * to leave an end open")),
            Some(_) => self.atom(ends_range),
        }
    }

    fn value(&mut self) -> Result<Atom, ParseError> {
        match self.peek() {
            None | Some('(' | ')') => Err(self.expected("a value")),
            Some(space) if space.is_whitespace() => {
                Err(self.expected("a value").help("leave no space before it, or put it in quotes"))
            }
            Some(_) => self.atom(ends_value),
        }
    }

    fn test(&mut self, key: &str, operator: Operator, value: Atom) -> Result<Filter, ParseError> {
        self.count_term(value.span)?;
        let plain = matches!(operator, Operator::Plain | Operator::Exact);
        if plain && value.is_star() {
            return Ok(Filter::field(key, Test::Present));
        }
        if is_time_key(key) && (plain || matches!(operator, Operator::Compare(_))) {
            return self.time(key, operator, &value);
        }
        let literal = value.stars == 0 || value.is_start();
        let test = match operator {
            Operator::Compare(_) if value.stars > 0 => return Err(not_comparable(key, &value)),
            Operator::Compare(comparison) => Test::Compare(comparison, Scalar::new(value.text)),
            Operator::Contains { ignore_case } => Test::Contains { text: value.text, ignore_case },
            Operator::Words => Test::Words(text(&value, Some(key))?),
            Operator::Regex => Test::Regex(regex(key, &value)?),
            Operator::Plain if is_text_key(key) && literal => Test::Words(text(&value, Some(key))?),
            Operator::Plain if is_text_key(key) => Test::Wildcard(value.pattern),
            Operator::Plain | Operator::Exact if value.stars + value.marks > 0 => Test::Wildcard(value.pattern),
            Operator::Plain | Operator::Exact => Test::equal(value.text),
        };
        Ok(Filter::field(key, test))
    }

    fn time(&self, key: &str, operator: Operator, value: &Atom) -> Result<Filter, ParseError> {
        let read = match operator {
            Operator::Compare(comparison) => time::compare(key, comparison, &value.text, self.now),
            _ => time::at(key, &value.text, self.now),
        };
        let message = || format!("\"{}\" is not a time", shortened(&value.text));
        read.ok_or_else(|| ParseError::new(value.span, message()).help(TIME_FORMS))
    }

    // Reading characters.

    /// A quoted text, or a bare one up to a character that `ends` it.
    fn atom(&mut self, ends: fn(char) -> bool) -> Result<Atom, ParseError> {
        let start = self.at;
        let mut atom = Atom::at(start);
        if self.take("\"") {
            self.quoted(&mut atom)?;
            if self.peek() == Some('*') {
                self.at += 1;
                atom.wild('*');
                atom.open = true;
            }
        } else {
            self.bare(&mut atom, ends)?;
        }
        atom.span.end = self.at;
        Ok(atom)
    }

    /// Up to the closing quote. Only `\"` and `\\` are escapes, so that a pasted `C:\temp` stays what it is.
    fn quoted(&mut self, atom: &mut Atom) -> Result<(), ParseError> {
        atom.quoted = true;
        loop {
            match self.advance() {
                None => return Err(self.unclosed(atom.span.start, "\"")),
                Some('"') => return Ok(()),
                Some('\\') if self.take("\"") => atom.literal('"'),
                Some('\\') if self.take("\\") => atom.literal('\\'),
                Some(character) => atom.literal(character),
            }
        }
    }

    fn bare(&mut self, atom: &mut Atom, ends: fn(char) -> bool) -> Result<(), ParseError> {
        let mut ends = ends;
        while let Some(character) = self.peek() {
            // A pasted address is a text, not the value of a key named https.
            if character == ':' && is_web_scheme(&atom.text) && self.rest().starts_with("://") {
                ends = ends_value;
            }
            if ends(character) {
                break;
            }
            let start = self.at;
            self.at += character.len_utf8();
            atom.open = character == '*';
            match character {
                '*' | '?' => atom.wild(character),
                '\\' => match self.advance() {
                    Some(escaped) => atom.literal(escaped),
                    None => {
                        let here = Span { start, end: self.at };
                        let help = r"write \\ for the character itself";
                        return Err(ParseError::new(here, r"nothing follows this `\`").help(help));
                    }
                },
                plain => atom.literal(plain),
            }
        }
        Ok(())
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn take(&mut self, sign: &str) -> bool {
        let taken = self.rest().starts_with(sign);
        self.at += if taken { sign.len() } else { 0 };
        taken
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take_keyword(&mut self, word: &str) -> bool {
        self.at_keyword(word) && self.take(word)
    }

    /// Whether `word` stands here by itself: `OR` is a keyword, `ORDER` and `OR:x` are not.
    fn at_keyword(&self, word: &str) -> bool {
        let after = self.rest().strip_prefix(word).map(|rest| rest.chars().next());
        after.is_some_and(|next| next.is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')' | '"')))
    }

    // Limits and errors.

    fn deeper(
        &mut self,
        start: usize,
        read: fn(&mut Self) -> Result<Filter, ParseError>,
    ) -> Result<Filter, ParseError> {
        self.depth += 1;
        if self.depth >= DEPTH_MAX {
            return Err(too_deep(Span { start, end: self.at }));
        }
        let filter = read(self);
        self.depth -= 1;
        filter
    }

    fn count_term(&mut self, span: Span) -> Result<(), ParseError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(too_many(span));
        }
        Ok(())
    }

    fn unclosed(&self, start: usize, sign: &str) -> ParseError {
        let here = Span { start, end: start + 1 };
        let message = format!("this `{}` is never closed", self.slice(here));
        ParseError::new(here, message).help(format!("add the missing `{sign}`"))
    }

    /// "expected … after what stands before, found what stands here".
    fn expected(&self, what: &str) -> ParseError {
        let length = self.rest().find(char::is_whitespace).unwrap_or(self.rest().len());
        let here = Span { start: self.at, end: self.at + length };
        let before = self.text.get(..self.at).unwrap_or_default().split_whitespace().next_back();
        let after = before.map_or(String::new(), |last| format!(" after \"{}\"", shortened(last)));
        let found = if length > 0 { format!(", found \"{}\"", shortened(self.slice(here))) } else { String::new() };
        ParseError::new(here, format!("expected {what}{after}{found}"))
    }
}

/// The words of an atom, for a text key or for anywhere.
fn text(atom: &Atom, key: Option<&str>) -> Result<Text, ParseError> {
    let text = match atom.text.strip_suffix('*') {
        Some(start) if atom.is_start() => Text::starting(start),
        _ => Text::new(&atom.text),
    };
    if !text.words.is_empty() {
        return Ok(text);
    }
    let help = match (atom.text.as_str(), key) {
        ("&&", None) => "write AND".to_owned(),
        ("||", None) => "write OR".to_owned(),
        _ => format!("to find punctuation, write {}:~\"…\"", key.unwrap_or("message")),
    };
    let message = format!("\"{}\" has no letter or digit to search for", shortened(&atom.text));
    Err(ParseError::new(atom.span, message).help(help))
}

/// Any of the tests of one key; plain values become one list.
fn any_value(parts: Vec<Filter>) -> Filter {
    let mut key = "";
    let mut values = Vec::new();
    for part in &parts {
        let Filter::Field { field, test: Test::Equal(equal) } = part else { return Filter::or(parts) };
        key = field;
        values.extend_from_slice(equal);
    }
    Filter::field(key, Test::Equal(values))
}

fn too_deep(span: Span) -> ParseError {
    let message = format!("this is nested deeper than the limit of {DEPTH_MAX} levels");
    ParseError::new(span, message).help("ask in several searches")
}

fn too_many(span: Span) -> ParseError {
    let message = format!("these are more terms than the limit of {TERMS_MAX}");
    ParseError::new(span, message).help("ask in several searches")
}

fn regex(key: &str, value: &Atom) -> Result<Pattern, ParseError> {
    Pattern::new(&value.text).map_err(|message| {
        let help = format!("write it in quotes, like {key}:=~\"/api/v[0-9]+/.*\"; it has to match the whole value");
        ParseError::new(value.span, format!("this is no regular expression: {message}")).help(help)
    })
}

fn not_comparable(key: &str, value: &Atom) -> ParseError {
    let message = format!("\"{}\" has a `*`, which cannot be greater or less than anything", shortened(&value.text));
    ParseError::new(value.span, message).help(format!("write {key}:[5 TO *] for an open end, or put it in quotes"))
}

fn is_web_scheme(text: &str) -> bool {
    matches!(text, "http" | "https" | "ws" | "wss")
}

fn ends_value(character: char) -> bool {
    character.is_whitespace() || matches!(character, '(' | ')' | '"')
}

fn ends_key(character: char) -> bool {
    ends_value(character) || character == ':'
}

fn ends_range(character: char) -> bool {
    character.is_whitespace() || matches!(character, ']' | '}' | '"')
}

/// At most 40 characters, for messages.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    fn read(text: &str) -> Filter {
        parse(text, now()).unwrap_or_else(|error| panic!("{}", error.pointed(text)))
    }

    fn field(key: &str, test: Test) -> Filter {
        Filter::field(key, test)
    }

    fn anywhere(typed: &str) -> Filter {
        Filter::Anywhere(Text::new(typed))
    }

    #[test]
    fn each_form_becomes_its_test() {
        let contains = |text: &str, ignore_case| Test::Contains { text: text.into(), ignore_case };
        let cases = [
            ("", Filter::All),
            ("  ", Filter::All),
            ("*", Filter::All),
            ("Timeout", anywhere("Timeout")),
            ("tim*", Filter::Anywhere(Text::starting("tim"))),
            (r#""timed ou"*"#, Filter::Anywhere(Text::starting("timed ou"))),
            (r#""wor*""#, anywhere("wor*")),
            ("alice@example.com", anywhere("alice@example.com")),
            ("https://shop.example/cart?x=1", anywhere("https://shop.example/cart?x=1")),
            ("/search?q=1", anywhere("/search?q=1")),
            ("level:error", field("level", Test::equal("error"))),
            ("user.id:*", field("user.id", Test::Present)),
            ("_exists_:user.id", field("user.id", Test::Present)),
            (r#""_exists_":x"#, field("_exists_", Test::equal("x"))),
            (r#""odd key":x"#, field("odd key", Test::equal("x"))),
            (r"odd\ key\:a:x", field("odd key:a", Test::equal("x"))),
            (r#"path:"a \"b\" \\ C:\temp""#, field("path", Test::equal(r#"a "b" \ C:\temp"#))),
            ("status:>5", field("status", Test::Compare(Comparison::Greater, "5".into()))),
            ("status:>=500", field("status", Test::Compare(Comparison::GreaterOrEqual, "500".into()))),
            ("status:<-5", field("status", Test::Compare(Comparison::Less, "-5".into()))),
            ("level:<=warning", field("level", Test::Compare(Comparison::LessOrEqual, "warning".into()))),
            ("path:/wp-*", field("path", Test::Wildcard("/wp-*".into()))),
            (r"path:a\*b?", field("path", Test::Wildcard(r"a\*b?".into()))),
            (r"path:a\*b", field("path", Test::equal("a*b"))),
            (r#"path:"a*b""#, field("path", Test::equal("a*b"))),
            ("path:~wp", field("path", contains("wp", false))),
            ("path:~*WP", field("path", contains("WP", true))),
            (r#"path:~"*WP""#, field("path", contains("*WP", false))),
            ("url:http://a/b", field("url", Test::equal("http://a/b"))),
            ("message:timeout", field("message", Test::Words(Text::new("timeout")))),
            ("message:why?", field("message", Test::Words(Text::new("why?")))),
            ("message:tim*", field("message", Test::Words(Text::starting("tim")))),
            ("message:*out", field("message", Test::Wildcard("*out".into()))),
            ("message:=timeout", field("message", Test::equal("timeout"))),
            ("message:=tim*", field("message", Test::Wildcard("tim*".into()))),
            ("note:@@timeout", field("note", Test::Words(Text::new("timeout")))),
            ("status:(200 OR 404)", field("status", Test::Equal(vec!["200".into(), "404".into()]))),
            ("status:(200 404)", field("status", Test::Equal(vec!["200".into(), "404".into()]))),
            ("message:=(a b)", field("message", Test::Equal(vec!["a".into(), "b".into()]))),
            ("ORDER OR:x", Filter::and([anywhere("ORDER"), field("OR", Test::equal("x"))])),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    /// What is read, printed in the language itself, shows how it was understood.
    fn check(text: &str, printed: &str) {
        assert_eq!(read(text).to_string(), printed, "{text}");
    }

    #[test]
    fn terms_are_joined() {
        check("a b AND c", "a b c");
        check("a OR b c", "a OR (b c)");
        check("a (b OR (c OR d))", "a (b OR c OR d)");
        check("NOT a -b !c", "-a -b -c");
        check("-(a OR b)", "-(a OR b)");
        check("NOT NOT a", "a");
        check("a *", "a");
        check("-*", "-*");
        check(
            r#"level:error user:bob "timed out" status:>=500 -path:/health logger:api.*"#,
            r#"level:error user:bob "timed out" status:>=500 -path:/health logger:api.*"#,
        );
        check("message:(a OR b)", "message:a OR message:b");
        check("status:(>=500 404)", "status:>=500 OR status:404");
        check("path:~(a b)", "path:~a OR path:~b");
    }

    #[test]
    fn ranges_become_comparisons() {
        check("status:[400 TO 499]", "status:>=400 status:<=499");
        check("status:{400 TO 500}", "status:>400 status:<500");
        check("status:[400 TO 500}", "status:>=400 status:<500");
        check("status:[400 TO *]", "status:>=400");
        check("status:{* TO 400}", "status:<400");
        check("status:[* TO *]", "status:*");
        check(r#"user:["a b" TO c]"#, r#"user:>="a b" user:<=c"#);
    }

    #[test]
    fn times_are_completed_and_only_for_time_keys() {
        check("timestamp:>=-1h", r#"timestamp:>="2026-01-31T11:00:00.000000Z""#);
        check("received:<now", r#"received:<"2026-01-31T12:00:00.000000Z""#);
        check(
            "timestamp:2026-01-01",
            r#"timestamp:>="2026-01-01T00:00:00.000000Z" timestamp:<"2026-01-02T00:00:00.000000Z""#,
        );
        check(
            "timestamp:[2026-01-01 TO 2026-01-31]",
            r#"timestamp:>="2026-01-01T00:00:00.000000Z" timestamp:<"2026-02-01T00:00:00.000000Z""#,
        );
        check("timestamp:2026-01-01T10:00:00Z", r#"timestamp:"2026-01-01T10:00:00.000000Z""#);
        check("temperature:>=-1h", "temperature:>=-1h");
    }

    fn refused(text: &str) -> String {
        parse(text, now()).unwrap_err().to_string()
    }

    #[test]
    fn errors_say_what_to_write() {
        let cases = [
            ("status:>=", r#"expected a value after "status:>=" at position 10"#),
            (
                "status: 5",
                r#"expected a value after "status:" at position 8; leave no space before it, or put it in quotes"#,
            ),
            ("a OR", r#"expected a term after "OR" at position 5"#),
            ("AND a", r#"expected a term, found "AND" at position 1"#),
            ("()", r#"expected a term after "(", found ")" at position 2"#),
            ("(a b", "this `(` is never closed at position 1; add the missing `)`"),
            ("a) b", "this `)` closes nothing at position 2; leave it out, or put it in quotes"),
            (r#"a "b c"#, r#"this `"` is never closed at position 3; add the missing `"`"#),
            ("a - b", r#"nothing stands behind `-` at position 3; write it without a space, -word, or in quotes, "-""#),
            ("f(x)", r#"expected a space after "f", found "(x)" at position 2; or put the whole value in quotes"#),
            (":x", r#"expected a key before `:` at position 1; write key:value, or the text in quotes, ":""#),
            ("us*:x", "a key cannot have `*` in it at position 1; to search all keys, write the word alone"),
            (
                "a*b",
                "in a text without a key `*` may only be the last character at position 1; for a pattern inside one value write key:pattern",
            ),
            ("a && b", r#""&&" has no letter or digit to search for at position 3; write AND"#),
            (
                "message:!!",
                r#""!!" has no letter or digit to search for at position 9; to find punctuation, write message:~"…""#,
            ),
            ("x:[1 5]", r#"expected `TO` after "x:[1", found "5]" at position 6; a range is written x:[1 TO 5]"#),
            ("x:[1 TO 5", "this `[` is never closed at position 3; add the missing `]`"),
            (
                "x:(a AND b)",
                r#"expected a value after "x:(a", found "AND" at position 6; write the key each time: x:a AND x:b"#,
            ),
            (
                "x:>5*",
                r#""5*" has a `*`, which cannot be greater or less than anything at position 4; write x:[5 TO *] for an open end, or put it in quotes"#,
            ),
            ("timestamp:>soon", &format!(r#""soon" is not a time at position 12; {TIME_FORMS}"#)),
            ("a\\", r"nothing follows this `\` at position 2; write \\ for the character itself"),
        ];
        for (text, expected) in cases {
            assert_eq!(refused(text), expected, "{text}");
        }
    }

    #[test]
    fn the_place_is_pointed_at() {
        let pointed = |text: &str| parse(text, now()).unwrap_err().pointed(text);
        insta::assert_snapshot!(pointed("größe:5\ttimestamp:>soon b"), @r#"
        größe:5 timestamp:>soon b
                           ^^^^
        "soon" is not a time; write a time like 2026-01-31, 2026-01-31T10:00, 1767225600 (seconds since 1970), -1h, -7d or now
        "#);
        insta::assert_snapshot!(pointed(&format!("{} status:>= {}", "a".repeat(100), "b".repeat(100))), @r#"
        …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa status:>= bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…
                                                                     ^
        expected a value after "status:>="; leave no space before it, or put it in quotes
        "#);
    }

    #[test]
    fn limits_are_named() {
        assert!(refused(&"a ".repeat(TEXT_BYTES_MAX)).contains("the limit is 16384"));
        assert!(refused(&"a ".repeat(TERMS_MAX + 1)).contains("limit of 512"));
        assert!(refused(&format!("x:({})", "a ".repeat(TERMS_MAX + 1))).contains("limit of 512"));
        for deep in ["(".repeat(10_000), "-".repeat(10_000), "NOT ".repeat(4_000), "(a OR b ".repeat(40)] {
            let closed = format!("{deep}x{}", ")".repeat(deep.matches('(').count().min(40)));
            assert!(refused(&closed).contains("limit of 64"), "{closed}");
        }
        for ranges in ["timestamp:2026 ", "x:[1 TO 2] ", "x:[* TO *] "] {
            assert!(refused(&ranges.repeat(TERMS_MAX + 1)).contains("limit of 512"), "{ranges}");
        }
        assert!(refused(&"x:[1 TO 2] ".repeat(TERMS_MAX)).contains("limit of 512"));
        assert_eq!(read(&"a ".repeat(TERMS_MAX)).terms(), TERMS_MAX);
    }

    /// Characters that mean something in the language, and some that do not.
    const CHARACTERS: &str = r#"[ab_Zé9"\\*?:()\[\]{}<>=~@!. /\-	]"#;

    fn odd(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
        vec(CHARACTERS, length).prop_map(|characters| characters.concat())
    }

    fn keys() -> impl Strategy<Value = String> {
        prop_oneof!["message|status|user\\.id|_exists_|OR|-x|http", odd(0..6)]
    }

    fn values() -> impl Strategy<Value = String> {
        prop_oneof![odd(0..6), "AND|OR|NOT|TO|//a|-1h|now", any::<String>()]
    }

    fn texts() -> impl Strategy<Value = Text> {
        let texts = (odd(0..4), odd(0..4), any::<bool>());
        texts.prop_map(|(before, after, open)| {
            let typed = format!("{before}a{after}");
            if open { Text::starting(&typed) } else { Text::new(&typed) }
        })
    }

    fn patterns() -> impl Strategy<Value = String> {
        let escaped = |character: String| match character.as_str() {
            "*" | "?" | "\\" => format!("\\{character}"),
            _ => character,
        };
        let piece = prop_oneof![CHARACTERS.prop_map(escaped), Just("?".to_owned()), Just("*".to_owned())];
        vec(piece, 0..6).prop_map(|pieces| format!("{}?", pieces.concat()))
    }

    fn tests() -> impl Strategy<Value = Test> {
        let comparison = prop::sample::select(vec![
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
        ]);
        prop_oneof![
            Just(Test::Present),
            vec(values().prop_map(Scalar::new), 1..4).prop_map(Test::Equal),
            (comparison, values()).prop_map(|(comparison, value)| Test::Compare(comparison, value.into())),
            (values(), any::<bool>()).prop_map(|(text, ignore_case)| Test::Contains { text, ignore_case }),
            patterns().prop_map(Test::Wildcard),
            texts().prop_map(Test::Words),
        ]
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let leaf = prop_oneof![
            Just(Filter::All),
            texts().prop_map(Filter::Anywhere),
            (keys(), tests()).prop_map(|(key, test)| Filter::field(key, test)),
        ];
        leaf.prop_recursive(5, 24, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 1..4).prop_map(Filter::and),
                vec(inner.clone(), 1..4).prop_map(Filter::or),
                inner.prop_map(Filter::not),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            if let Err(error) = parse(&text, now()) {
                prop_assert!(text.is_char_boundary(error.position) && !error.pointed(&text).is_empty());
            }
        }

        #[test]
        fn no_nearly_right_text_makes_it_panic(
            words in vec("AND|OR|NOT|TO|x:|timestamp:|-1h|2026-01-01|[-!()\"*\\\\\\[\\]{}<>=~@?: aé§]", 0..20),
        ) {
            let text = words.concat();
            match parse(&text, now()) {
                Ok(filter) => prop_assert_eq!(parse(&filter.to_string(), now()), Ok(filter)),
                Err(error) => prop_assert!(!error.pointed(&text).is_empty()),
            }
        }

        #[test]
        fn what_is_printed_is_read_back(filter in filters()) {
            let printed = filter.to_string();
            prop_assert_eq!(parse(&printed, now()), Ok(filter), "{}", printed);
        }
    }
}
