//! What is asked of an event: the tree that every language we read is turned into.
//!
//! Plain data, without IO and without opinions on types: a [`Scalar`] stays the text that was typed until it meets the
//! value it is compared with. A missing value fails every [`Test`], so [`Filter::Not`] finds the events without the key.
//! A filter prints itself in the search language, and reading that text back gives the same filter.

mod print;

use std::collections::BTreeSet;

// The index cuts and folds with the same two functions: a word asked for must be the word that was kept.
pub use event::text::{fold, words};

/// Most terms (words, values, patterns) in one filter: each costs a comparison per event.
pub const TERMS_MAX: usize = 512;

/// Deepest nesting of a filter: it is walked by recursion, and nobody reads deeper.
pub const DEPTH_MAX: usize = 64;

/// A question that each event answers with yes or no.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Filter {
    /// Every event.
    #[default]
    All,
    /// The events that pass every part.
    And(Vec<Self>),
    /// The events that pass some part.
    Or(Vec<Self>),
    /// The events that do not pass.
    Not(Box<Self>),
    /// Some string value (or whole number) of the event, whatever its key, has these words.
    Anywhere(Text),
    /// The value under a key passes a test.
    Field {
        /// The dotted path as typed. It names a literal dotted key and a nested one alike.
        field: String,
        /// What the value must be.
        test: Test,
    },
}

/// What is asked of one value. A missing value, or null, passes none.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// There is a value other than null.
    Present,
    /// Equal to one of these.
    Equal(Vec<Scalar>),
    /// Less or greater than this.
    Compare(Comparison, Scalar),
    /// A text that has this text somewhere in it.
    Contains {
        /// The text to find, literally.
        text: String,
        /// Whether `A` also finds `a`.
        ignore_case: bool,
    },
    /// A text that matches this pattern from end to end: `*` is any run, `?` one character, and a backslash makes the
    /// character after it an ordinary one. [`wildcard`] takes it apart.
    Wildcard(String),
    /// A text that matches this regular expression from end to end.
    Regex(Pattern),
    /// A text that has these words.
    Words(Text),
}

/// Longest regular expression, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1000;

/// Largest compiled regular expression, in bytes: a short text can ask for a very large one.
const PATTERN_PROGRAM_MAX: usize = 1 << 20;

/// A regular expression that was compiled; equal to another one of the same text. It is matched in linear time.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    compiled: regex::Regex,
}

impl Pattern {
    /// Reads a regular expression as the crate `regex` has it.
    ///
    /// # Errors
    /// What is wrong with it, in words, also when it is too long or grows too large.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("it is {} bytes long, the limit is {PATTERN_BYTES_MAX}", text.len()));
        }
        let whole = format!("^(?s:{text})$");
        let built = regex::RegexBuilder::new(&whole).size_limit(PATTERN_PROGRAM_MAX).nest_limit(50).build();
        // The wrapping must not give a sense to a text that has none by itself, as in `a)|(b`.
        regex_is_whole(text)
            .and(built.map_err(|error| said(&error)))
            .map(|compiled| Self { text: text.to_owned(), compiled })
    }

    /// As typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a value matches from end to end.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.compiled.is_match(value)
    }
}

fn regex_is_whole(text: &str) -> Result<(), String> {
    let built = regex::RegexBuilder::new(text).size_limit(PATTERN_PROGRAM_MAX).nest_limit(50).build();
    built.map(drop).map_err(|error| said(&error))
}

/// The last line of what the parser draws.
fn said(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Which side of the typed value is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value as typed. Whether it is a number, a boolean or a time depends on what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scalar {
    /// As typed, without quotes and escapes.
    pub text: String,
}

/// Words that must stand one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The words, [folded](fold). Never empty in a filter that was parsed.
    pub words: Vec<String>,
    /// As typed, without quotes, escapes and the final `*`.
    pub typed: String,
    /// Whether the last word may go on: `time*` finds `timeout`.
    pub prefix: bool,
}

/// A part of a [`Test::Wildcard`] pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These characters.
    Literal(String),
    /// Any run of characters, also none.
    Any,
    /// One character.
    One,
}

impl Filter {
    /// The events that pass all of `parts`: nested ands are flattened, `All` is dropped, one part stands for itself.
    pub fn and(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::All => {}
                Self::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Self::All,
            1 => flat.remove(0),
            _ => Self::And(flat),
        }
    }

    /// The events that pass some of `parts`: nested ors are flattened, one part stands for itself. Of nothing: no event.
    pub fn or(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Self::not(Self::All),
            1 => flat.remove(0),
            _ => Self::Or(flat),
        }
    }

    /// The events that do not pass `part`. Every event answers yes or no, so twice not is the thing itself.
    #[expect(
        clippy::should_implement_trait,
        reason = "a constructor beside `and` and `or`; `!filter` would read worse"
    )]
    pub fn not(part: Self) -> Self {
        match part {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// The events whose value under `field` passes `test`.
    pub fn field(field: impl Into<String>, test: Test) -> Self {
        Self::Field { field: field.into(), test }
    }

    /// Calls `see` with this filter, then with each part, parents first.
    pub fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.visit(see)),
            Self::Not(part) => part.visit(see),
            Self::All | Self::Anywhere(_) | Self::Field { .. } => {}
        }
    }

    /// The keys asked for, each once.
    pub fn fields(&self) -> BTreeSet<&str> {
        let mut fields = BTreeSet::new();
        self.visit(&mut |part| {
            if let Self::Field { field, .. } = part {
                fields.insert(field.as_str());
            }
        });
        fields
    }

    /// How many terms it has; a list of values counts each. Refuse more than [`TERMS_MAX`].
    pub fn terms(&self) -> usize {
        let mut terms = 0_usize;
        self.visit(&mut |part| {
            terms += match part {
                Self::Field { test: Test::Equal(values), .. } => values.len(),
                Self::Field { .. } | Self::Anywhere(_) => 1,
                Self::All | Self::And(_) | Self::Or(_) | Self::Not(_) => 0,
            };
        });
        terms
    }

    /// How many levels it has; a single term has one. Refuse more than [`DEPTH_MAX`].
    pub fn depth(&self) -> usize {
        match self {
            Self::And(parts) | Self::Or(parts) => 1 + parts.iter().map(Self::depth).max().unwrap_or(0),
            Self::Not(part) => 1 + part.depth(),
            Self::All | Self::Anywhere(_) | Self::Field { .. } => 1,
        }
    }
}

impl Test {
    /// Equal to this one value.
    pub fn equal(value: impl Into<Scalar>) -> Self {
        Self::Equal(vec![value.into()])
    }
}

impl Comparison {
    /// Whether a value that stands in this order to the typed one is wanted.
    pub fn accepts(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// The sign: `<`, `<=`, `>` or `>=`.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Scalar {
    /// The value as typed.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The finite number it spells, if it does. `inf` and `nan` are words.
    pub fn as_number(&self) -> Option<f64> {
        let spelled = self.text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        self.text.parse::<f64>().ok().filter(|number| spelled && number.is_finite())
    }

    /// The whole number it spells, exactly: a float loses the last digits of a long id.
    pub fn as_integer(&self) -> Option<i64> {
        self.text.parse().ok()
    }

    /// The boolean it spells: true yes y t 1, false no n f 0, in any case.
    pub fn as_boolean(&self) -> Option<bool> {
        match self.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "t" | "1" => Some(true),
            "false" | "no" | "n" | "f" | "0" => Some(false),
            _ => None,
        }
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl Text {
    /// The words of `typed`, whole.
    pub fn new(typed: &str) -> Self {
        let words = words(typed).map(|word| fold(word).into_owned()).collect();
        Self { words, typed: typed.to_owned(), prefix: false }
    }

    /// The words of `typed`, the last of which may go on. After a text that ends in punctuation nothing can go on.
    pub fn starting(typed: &str) -> Self {
        Self { prefix: typed.chars().next_back().is_some_and(is_word_character), ..Self::new(typed) }
    }
}

/// Whether `key:value` asks for words: keys that hold prose rather than a value.
pub fn is_text_key(key: &str) -> bool {
    matches!(key, "message" | "exception" | "exception.message" | "user_agent")
}

fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The parts of a [`Test::Wildcard`] pattern; neighbouring `*` are one.
pub fn wildcard(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '*' => {
                if pieces.last() != Some(&Piece::Any) {
                    pieces.push(Piece::Any);
                }
                continue;
            }
            '?' => {
                pieces.push(Piece::One);
                continue;
            }
            // A backslash at the very end stands for itself.
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(Piece::Literal(text)) = pieces.last_mut() {
            text.push(literal);
        } else {
            pieces.push(Piece::Literal(literal.to_string()));
        }
    }
    pieces
}

/// Whether `value` matches the pieces of a pattern from end to end. Never worse than their lengths multiplied.
pub fn wildcard_matches(pieces: &[Piece], value: &str) -> bool {
    let (mut rest, mut at) = (value, 0);
    // Where to go on after a mismatch: the piece behind the last `*`, and the text not yet swallowed by it.
    let mut retry: Option<(usize, &str)> = None;
    loop {
        let matched = match pieces.get(at) {
            Some(Piece::Any) => {
                retry = Some((at + 1, rest));
                Some(rest)
            }
            Some(Piece::One) => without_first(rest),
            Some(Piece::Literal(text)) => rest.strip_prefix(text.as_str()),
            None if rest.is_empty() => return true,
            None => None,
        };
        if let Some(after) = matched {
            (rest, at) = (after, at + 1);
            continue;
        }
        let Some((piece, swallowed)) = retry else { return false };
        let Some(shorter) = without_first(swallowed) else { return false };
        retry = Some((piece, shorter));
        (rest, at) = (shorter, piece);
    }
}

fn without_first(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    characters.next().map(|_| characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(typed: &str) -> Filter {
        Filter::Anywhere(Text::new(typed))
    }

    #[test]
    fn a_text_ending_in_punctuation_has_no_prefix() {
        assert!(Text::starting("time").prefix);
        assert!(!Text::starting("time-").prefix);
    }

    #[test]
    fn scalars_spell_numbers_and_booleans() {
        let number = |text: &str| Scalar::new(text).as_number();
        assert_eq!(number("1e3"), Some(1000.0));
        assert_eq!(number("-0.5"), Some(-0.5));
        for text in ["", "inf", "nan", "1e999", "5 ", "0x5", "e"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(Scalar::new("9007199254740993").as_integer(), Some(9_007_199_254_740_993));
        assert_eq!(Scalar::new("Yes").as_boolean(), Some(true));
        assert_eq!(Scalar::new("0").as_boolean(), Some(false));
        assert_eq!(Scalar::new("maybe").as_boolean(), None);
    }

    #[test]
    fn constructors_flatten_and_drop() {
        let (a, b, c) = (word("a"), word("b"), word("c"));
        assert_eq!(Filter::and([]), Filter::All);
        assert_eq!(Filter::and([Filter::All, a.clone()]), a);
        let nested = Filter::and([a.clone(), Filter::and([b.clone(), c.clone()])]);
        assert_eq!(nested, Filter::And(vec![a.clone(), b.clone(), c]));
        assert_eq!(Filter::or([a.clone(), Filter::or([b.clone()])]), Filter::Or(vec![a.clone(), b]));
        assert_eq!(Filter::or([]), Filter::Not(Box::new(Filter::All)));
        assert_eq!(Filter::not(Filter::not(a.clone())), a);
    }

    #[test]
    fn fields_terms_and_depth_are_counted() {
        let status = Filter::field("status", Test::Equal(vec!["200".into(), "404".into()]));
        let filter = Filter::and([status, Filter::not(Filter::field("user.id", Test::Present)), word("x")]);
        assert_eq!(filter.fields().into_iter().collect::<Vec<_>>(), ["status", "user.id"]);
        assert_eq!((filter.terms(), filter.depth()), (4, 3));
    }

    #[test]
    fn patterns_match_from_end_to_end() {
        let cases = [
            ("/wp-*", "/wp-login.php", true),
            ("/wp-*", "x/wp-login.php", false),
            ("*login*", "/wp-login.php", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?", "é", true),
            ("?", "", false),
            ("??*", "a", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            (r"5\*", "5*", true),
            (r"5\*", "55", false),
            (r"a\", r"a\", true),
        ];
        for (pattern, value, expected) in cases {
            assert_eq!(wildcard_matches(&wildcard(pattern), value), expected, "{pattern} {value}");
        }
        assert!(!wildcard_matches(&wildcard(&"*a".repeat(200)), &"a".repeat(199)));
    }
}
