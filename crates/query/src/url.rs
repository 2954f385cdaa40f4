//! The URL grammar: what a browser's address bar and a plain HTML form can ask.
//!
//! After the grammar of Gramex FormHandler, where the operator stands at the end of the key: `status>=500` reaches a
//! server as the key `status>` and the value `500`. Unlike there, `>=` means at least and `>` means more.
//!
//! Nothing here knows which columns a log has; whoever does refuses the unknown ones, unless [`Question::strict`] is off.

mod condition;
mod question;

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use self::condition::{Condition, condition};
pub use self::question::{Aggregate, Columns, Format, Function, Having, Question, Sort};
use self::question::{FORMATS, FUNCTIONS};
use crate::filter::{Comparison, DEPTH_MAX, Filter, Scalar, TERMS_MAX, Test};
use crate::suggest::suggest;
use crate::time::{self, TIME_FORMS, is_time_key};

/// How many events are answered when `_limit` is not given.
pub const LIMIT_DEFAULT: usize = 100;

/// Largest `_limit`: an answer is built in memory.
pub const LIMIT_MAX: usize = 100_000;

/// Largest `_offset`: each skipped event is found and thrown away. A cursor goes on without.
pub const OFFSET_MAX: usize = 1_000_000;

/// Longest `_download`, in bytes: what file systems allow a name to be.
const DOWNLOAD_BYTES_MAX: usize = 255;

/// All parameters that are not columns.
pub const PARAMETERS: [&str; 15] = [
    "_q",
    "_sort",
    "_limit",
    "_offset",
    "_c",
    "_by",
    "_format",
    "_from",
    "_to",
    "_strict",
    "_meta",
    "_download",
    "_cursor",
    "_total",
    "_archive",
];

/// Why a query string is not a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {message}")]
pub struct UrlError {
    /// The parameter at fault, as it arrived.
    pub parameter: String,
    /// What was found, what was expected, and what to write instead.
    pub message: String,
}

impl UrlError {
    fn new(parameter: &str, message: impl Into<String>) -> Self {
        Self { parameter: parameter.to_owned(), message: message.into() }
    }
}

/// Reads the decoded pairs of a query string, in their order; relative times count from `now`.
///
/// # Errors
///
/// When a parameter is unknown, a value does not fit its parameter, or the filter is beyond its limits.
pub fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Question, UrlError> {
    let mut reading =
        Reading { now, question: Question::default(), parts: Vec::new(), asked: Vec::new(), chosen: Vec::new() };
    let mut once = BTreeSet::new();
    for (key, value) in pairs {
        if key.starts_with('_') {
            let again = !once.insert(key.as_str());
            reading.reserved(key, value, again)?;
        } else if !key.is_empty() || !value.is_empty() {
            reading.condition(key, value)?;
        }
    }
    reading.finish()
}

struct Reading {
    now: Timestamp,
    question: Question,
    /// Filters that stand for themselves: `_q`, `_from`, `_to`.
    parts: Vec<Filter>,
    asked: Vec<Asked>,
    /// The values of `_c`, to be judged when `_by` is known.
    chosen: Vec<String>,
}

impl Reading {
    fn reserved(&mut self, key: &str, value: &str, again: bool) -> Result<(), UrlError> {
        let question = &mut self.question;
        // An HTML form sends its empty inputs too: they ask for nothing.
        let given = !value.is_empty();
        match key {
            "_by" => question.by.get_or_insert_default().extend(given.then(|| value.to_owned())),
            "_strict" => question.strict = flag(key, value)?,
            "_meta" => question.meta = flag(key, value)?,
            "_total" => question.total = flag(key, value)?,
            "_archive" => question.archive = flag(key, value)?,
            "_download" => question.download = Some(download(value)?),
            known if !given && PARAMETERS.contains(&known) => {}
            "_q" => self.parts.push(search(value, self.now)?),
            "_sort" => question.sort.push(sort(value)),
            "_c" => self.chosen.push(value.to_owned()),
            // Of several limits all are kept to, as in Gramex.
            "_limit" => {
                let limit = number(key, value, LIMIT_MAX, "fetch the rest page by page with _cursor")?;
                question.limit = if again { limit.min(question.limit) } else { limit };
            }
            "_offset" => {
                let offset = number(key, value, OFFSET_MAX, "go further with _cursor")?;
                question.offset = if again { offset.min(question.offset) } else { offset };
            }
            "_format" => question.format = format(value)?,
            "_cursor" => question.cursor = Some(value.to_owned()),
            "_from" => self.parts.push(bound(key, Comparison::GreaterOrEqual, value, self.now)?),
            "_to" => self.parts.push(bound(key, Comparison::LessOrEqual, value, self.now)?),
            unknown => return Err(unknown_parameter(unknown)),
        }
        Ok(())
    }

    fn condition(&mut self, key: &str, value: &str) -> Result<(), UrlError> {
        let (column, operator, value) = split(key, value);
        if column.is_empty() {
            return Err(UrlError::new(key, "expected a column before the operator, like status>=500"));
        }
        let index = self.asked.iter().position(|asked| asked.column == column).unwrap_or(self.asked.len());
        if index == self.asked.len() {
            self.asked.push(Asked::new(column, key));
        }
        match self.asked.get_mut(index) {
            Some(asked) => asked.add(key, operator, value),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Question, UrlError> {
        for asked in std::mem::take(&mut self.asked) {
            if asked.column.contains('|') {
                self.question.having.extend(asked.having(self.now)?);
            } else {
                self.parts.push(asked.filter(self.now)?);
            }
        }
        let question = &mut self.question;
        question.filter = Filter::and(self.parts);
        let terms = question.filter.terms() + question.having.len();
        if terms > TERMS_MAX {
            return Err(UrlError::new("query", format!("{terms} conditions are more than the limit of {TERMS_MAX}")));
        }
        if question.filter.depth() > DEPTH_MAX {
            return Err(UrlError::new("_q", format!("nested deeper than the limit of {DEPTH_MAX} levels")));
        }
        match question.by.clone() {
            Some(by) => choose_aggregates(question, self.chosen, &by)?,
            None => choose_columns(question, self.chosen)?,
        }
        Ok(self.question)
    }
}

/// What stands between a column and a value.
#[derive(Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Compare(Comparison),
    Contains { ignore_case: bool },
    Lacks { ignore_case: bool },
}

/// What is left of an operator at the end of a key after the first `=` was taken as the separator. Longest first.
const ENDINGS: [(&str, Operator); 9] = [
    ("!~", Operator::Lacks { ignore_case: false }),
    ("!*", Operator::Lacks { ignore_case: true }),
    (">~", Operator::Compare(Comparison::GreaterOrEqual)),
    ("<~", Operator::Compare(Comparison::LessOrEqual)),
    (">", Operator::Compare(Comparison::GreaterOrEqual)),
    ("<", Operator::Compare(Comparison::LessOrEqual)),
    ("~", Operator::Contains { ignore_case: false }),
    ("*", Operator::Contains { ignore_case: true }),
    ("!", Operator::NotEqual),
];

/// Takes `status>`, `500` apart, and also `status>500`, which has no `=` to be split at.
fn split(key: &str, value: &str) -> (String, Operator, String) {
    for (ending, operator) in ENDINGS {
        if let Some(column) = key.strip_suffix(ending) {
            return (column.to_owned(), operator, value.to_owned());
        }
    }
    let Some((column, rest)) = key.find(['<', '>']).and_then(|at| key.split_at_checked(at)) else {
        return (key.to_owned(), Operator::Equal, value.to_owned());
    };
    let comparison = if rest.starts_with('>') { Comparison::Greater } else { Comparison::Less };
    // In `note>a=b` the `=` was the value's own.
    let tail = if value.is_empty() { String::new() } else { format!("={value}") };
    let value = format!("{}{tail}", rest.get(1..).unwrap_or_default());
    (column.to_owned(), Operator::Compare(comparison), value)
}

/// All that is asked of one column.
struct Asked {
    column: String,
    /// The first parameter that named it, for error messages.
    key: String,
    present: bool,
    absent: bool,
    equal: Vec<String>,
    unequal: Vec<String>,
    compared: Vec<(Comparison, String)>,
    contains: [Vec<String>; 2],
    lacks: [Vec<String>; 2],
}

impl Asked {
    fn new(column: String, key: &str) -> Self {
        let (equal, unequal, compared) = (Vec::new(), Vec::new(), Vec::new());
        let (contains, lacks) = Default::default();
        Self { column, key: key.to_owned(), present: false, absent: false, equal, unequal, compared, contains, lacks }
    }

    fn add(&mut self, key: &str, operator: Operator, value: String) -> Result<(), UrlError> {
        let empty = value.is_empty();
        match operator {
            Operator::Equal if empty => self.present = true,
            Operator::NotEqual if empty => self.absent = true,
            _ if empty => return Err(UrlError::new(key, "expected a value after the operator, like status>=500")),
            Operator::Equal => self.equal.push(value),
            Operator::NotEqual => self.unequal.push(value),
            Operator::Compare(comparison) => self.compared.push((comparison, value)),
            Operator::Contains { ignore_case } => self.contains[usize::from(ignore_case)].push(value),
            Operator::Lacks { ignore_case } => self.lacks[usize::from(ignore_case)].push(value),
        }
        Ok(())
    }

    fn filter(self, now: Timestamp) -> Result<Filter, UrlError> {
        let field = |test| Filter::field(self.column.clone(), test);
        let mut parts = Vec::new();
        if self.present {
            parts.push(field(Test::Present));
        }
        if self.absent {
            parts.push(Filter::not(field(Test::Present)));
        }
        if !self.equal.is_empty() {
            parts.push(self.any_of(&self.equal, now)?);
        }
        if !self.unequal.is_empty() {
            parts.push(Filter::not(self.any_of(&self.unequal, now)?));
        }
        for (comparison, value) in &self.compared {
            parts.push(if is_time_key(&self.column) {
                time::compare(&self.column, *comparison, value, now).ok_or_else(|| not_a_time(&self.key, value))?
            } else {
                field(Test::Compare(*comparison, value.as_str().into()))
            });
        }
        for ignore_case in [false, true] {
            let contains = |text: &String| field(Test::Contains { text: text.clone(), ignore_case });
            let (wanted, unwanted) = (&self.contains[usize::from(ignore_case)], &self.lacks[usize::from(ignore_case)]);
            if !wanted.is_empty() {
                parts.push(Filter::or(wanted.iter().map(contains)));
            }
            parts.extend(unwanted.iter().map(contains).map(Filter::not));
        }
        Ok(Filter::and(parts))
    }

    fn any_of(&self, values: &[String], now: Timestamp) -> Result<Filter, UrlError> {
        if !is_time_key(&self.column) {
            let values = values.iter().map(|value| Scalar::new(value.as_str())).collect();
            return Ok(Filter::field(self.column.clone(), Test::Equal(values)));
        }
        let at = |value: &String| time::at(&self.column, value, now).ok_or_else(|| not_a_time(&self.key, value));
        Ok(Filter::or(values.iter().map(at).collect::<Result<Vec<_>, _>>()?))
    }

    fn having(self, now: Timestamp) -> Result<Vec<Having>, UrlError> {
        let aggregate = aggregate(&self.key, &self.column)?;
        if self.contains.iter().chain(&self.lacks).any(|texts| !texts.is_empty()) {
            let message = format!("{} can be compared with =, !=, <, <=, > and >= only", aggregate.name);
            return Err(UrlError::new(&self.key, message));
        }
        // The latest time of a group is a time; how many there are is not.
        let counted = matches!(aggregate.function, Function::Count | Function::Distinct);
        let scalar = |text: &String| {
            if !is_time_key(&aggregate.column) || counted {
                return Ok(Scalar::new(text.as_str()));
            }
            time::time(text, now)
                .map(|time| Scalar::new(time::written(time)))
                .ok_or_else(|| not_a_time(&self.key, text))
        };
        let scalars = |texts: &[String]| texts.iter().map(scalar).collect::<Result<Vec<_>, _>>();
        let mut tests = Vec::new();
        if self.present || self.absent {
            tests.extend(self.present.then_some((Test::Present, false)));
            tests.extend(self.absent.then_some((Test::Present, true)));
        }
        if !self.equal.is_empty() {
            tests.push((Test::Equal(scalars(&self.equal)?), false));
        }
        if !self.unequal.is_empty() {
            tests.push((Test::Equal(scalars(&self.unequal)?), true));
        }
        for (comparison, value) in &self.compared {
            tests.push((Test::Compare(*comparison, scalar(value)?), false));
        }
        let having = |(test, negated)| Having { aggregate: aggregate.clone(), test, negated };
        Ok(tests.into_iter().map(having).collect())
    }
}

// Columns and groups.

fn choose_columns(question: &mut Question, chosen: Vec<String>) -> Result<(), UrlError> {
    let sorted = question.sort.iter().map(|sort| ("_sort", sort.column.as_str()));
    let having = question.having.iter().map(|having| (having.aggregate.name.as_str(), having.aggregate.name.as_str()));
    let chosen_pairs = chosen.iter().map(|column| ("_c", column.as_str()));
    if let Some((parameter, column)) = having.chain(chosen_pairs).chain(sorted).find(|(_, name)| name.contains('|')) {
        let message = format!("{column} is computed for a group: add _by=column, or _by= for one group of everything");
        return Err(UrlError::new(parameter, message));
    }
    question.columns = columns(chosen);
    Ok(())
}

/// `-name` drops a column; once one is chosen, only the chosen ones are shown.
fn columns(chosen: Vec<String>) -> Columns {
    let (dropped, mut kept): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|column| column.starts_with('-'));
    let dropped: Vec<String> = dropped.into_iter().map(|column| column.replacen('-', "", 1)).collect();
    if kept.is_empty() {
        return if dropped.is_empty() { Columns::All } else { Columns::Except(dropped) };
    }
    kept.retain(|column| !dropped.contains(column));
    Columns::Only(kept)
}

fn choose_aggregates(question: &mut Question, chosen: Vec<String>, by: &[String]) -> Result<(), UrlError> {
    if let Some(computed) = by.iter().find(|column| column.contains('|')) {
        return Err(UrlError::new(
            "_by",
            format!("{computed} is computed for a group, so nothing can be grouped by it"),
        ));
    }
    let mut dropped = Vec::new();
    for column in chosen {
        if column.starts_with('-') {
            dropped.push(column);
        } else if column == "count" || column.contains('|') {
            question.aggregates.push(aggregate("_c", &column)?);
        } else if !by.contains(&column) {
            let message =
                format!("a group has many values of {column}: write {column}|count, {column}|max, … or _by={column}");
            return Err(UrlError::new("_c", message));
        }
    }
    if question.aggregates.is_empty() {
        question.aggregates.push(aggregate("_c", "count")?);
    }
    question.columns = columns(dropped);
    let names = || by.iter().chain(question.aggregates.iter().map(|aggregate| &aggregate.name)).map(String::as_str);
    for sort in &question.sort {
        if !names().any(|name| name == sort.column) {
            let near = did_you_mean(&sort.column, names());
            let message = format!("{} is not in the answer{near}; add it with _c or _by", sort.column);
            return Err(UrlError::new("_sort", message));
        }
    }
    Ok(())
}

/// `duration|avg`; `count` alone, or `*|count`, counts the events.
fn aggregate(parameter: &str, name: &str) -> Result<Aggregate, UrlError> {
    let (column, function) = name.rsplit_once('|').unwrap_or(("*", name));
    let known = FUNCTIONS.into_iter().find(|(spelling, _)| *spelling == function);
    let Some((_, function)) = known else {
        let near = did_you_mean(function, FUNCTIONS.into_iter().map(|(name, _)| name));
        let all = FUNCTIONS.map(|(name, _)| name).join(", ");
        return Err(UrlError::new(parameter, format!("unknown aggregate \"{function}\"{near}; there are {all}")));
    };
    if column.is_empty() || (column == "*" && function != Function::Count) {
        return Err(UrlError::new(parameter, format!("{name} needs a column before the |, like duration|avg")));
    }
    Ok(Aggregate { column: column.to_owned(), function, name: name.to_owned() })
}

// Values of the reserved parameters.

fn search(value: &str, now: Timestamp) -> Result<Filter, UrlError> {
    crate::search::parse(value, now)
        .map_err(|error| UrlError::new("_q", format!("this is not a search:\n{}", error.pointed(value))))
}

fn sort(value: &str) -> Sort {
    match value.strip_prefix('-') {
        Some(column) => Sort { column: column.to_owned(), descending: true },
        None => Sort { column: value.to_owned(), descending: false },
    }
}

fn number(key: &str, value: &str, max: usize, remedy: &str) -> Result<usize, UrlError> {
    let expected = || UrlError::new(key, format!("expected a whole number from 0 to {max}, found \"{value}\""));
    let number: usize = value.parse().map_err(|_| expected())?;
    if number > max {
        return Err(UrlError::new(key, format!("{number} is more than the limit of {max}; {remedy}")));
    }
    Ok(number)
}

/// `y` or `n` in any of their spellings; the parameter alone means yes.
fn flag(key: &str, value: &str) -> Result<bool, UrlError> {
    let known = if value.is_empty() { Some(true) } else { Scalar::new(value).as_boolean() };
    known.ok_or_else(|| UrlError::new(key, format!("expected y or n, found \"{value}\"")))
}

fn format(value: &str) -> Result<Format, UrlError> {
    if let Some((_, format)) = FORMATS.into_iter().find(|(name, _)| *name == value) {
        return Ok(format);
    }
    let names = FORMATS.map(|(name, _)| name);
    let near = did_you_mean(value, names.into_iter());
    Err(UrlError::new("_format", format!("unknown format \"{value}\"{near}; there are {}", names.join(", "))))
}

/// A file name, which will stand in a header and then on somebody's disk.
fn download(value: &str) -> Result<String, UrlError> {
    let unsafe_character = |character: char| character.is_control() || matches!(character, '/' | '\\' | '"' | ':');
    if value.len() > DOWNLOAD_BYTES_MAX || value.contains(unsafe_character) || value.starts_with('.') {
        let message =
            format!("expected a file name of at most {DOWNLOAD_BYTES_MAX} bytes without / \\ \" : or a dot in front");
        return Err(UrlError::new("_download", message));
    }
    Ok(if value.is_empty() { "data".to_owned() } else { value.to_owned() })
}

/// `_from` a time on, and up to the end of the day (or minute) that `_to` names; a `_to` with seconds is not included,
/// so that the events of two neighbouring spans add up.
fn bound(key: &str, comparison: Comparison, value: &str, now: Timestamp) -> Result<Filter, UrlError> {
    let moment = time::moment(value, now).ok_or_else(|| not_a_time(key, value))?;
    let (comparison, instant) = match comparison {
        Comparison::LessOrEqual | Comparison::Less => (Comparison::Less, moment.end.unwrap_or(moment.start)),
        from => (from, moment.start),
    };
    Ok(Filter::field("timestamp", Test::Compare(comparison, Scalar::new(time::written(instant)))))
}

fn not_a_time(parameter: &str, value: &str) -> UrlError {
    UrlError::new(parameter, format!("\"{value}\" is not a time; {TIME_FORMS}"))
}

fn unknown_parameter(key: &str) -> UrlError {
    let near = did_you_mean(key, PARAMETERS.into_iter());
    UrlError::new(key, format!("unknown parameter{near}; for a column whose name begins with _ write _q={key}:value"))
}

fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    suggest(wrong, known).map_or(String::new(), |name| format!(", did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    /// Splits as form decoding does: at `&`, then at the first `=`. The tests need no percent signs.
    fn pairs(query: &str) -> Vec<(String, String)> {
        let pair = |text: &str| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), value.to_owned())
        };
        query.split('&').map(pair).collect()
    }

    fn read(query: &str) -> Question {
        parse(&pairs(query), now()).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    fn refused(query: &str) -> String {
        parse(&pairs(query), now()).unwrap_err().to_string()
    }

    #[test]
    fn columns_become_a_filter() {
        let cases = [
            ("", "*"),
            ("&&", "*"),
            ("user.id=42", "user.id:42"),
            ("user.id", "user.id:*"),
            ("user.id=", "user.id:*"),
            ("user.id!", "-user.id:*"),
            ("user.id!=", "-user.id:*"),
            ("status=200&status=404", "status:(200 OR 404)"),
            ("status!=404&status!=500", "-status:(404 OR 500)"),
            ("status>=404", "status:>=404"),
            ("status<=404", "status:<=404"),
            ("status>404", "status:>404"),
            ("status<404", "status:<404"),
            ("status>~=404", "status:>=404"),
            ("status<~=404", "status:<=404"),
            ("duration>10&duration<50", "duration:>10 duration:<50"),
            ("note>a=b", r#"note:>"a=b""#),
            ("path~=wp", "path:~wp"),
            ("path*=WP", "path:~*WP"),
            ("path~=a&path~=b", "path:~a OR path:~b"),
            ("path!~=a&path!~=b", "-path:~a -path:~b"),
            ("path!*=a", "-path:~*a"),
            ("message=timed out", r#"message:="timed out""#),
            ("path=a*b", r#"path:"a*b""#),
            ("a=1&b=2&a=3", "a:(1 OR 3) b:2"),
            ("a=1&a=&a!=2", "a:* a:1 -a:2"),
            ("_q=a OR b&_q=c&level=error", "(a OR b) c level:error"),
            ("timestamp>=-1h", r#"timestamp:>="2026-01-31T11:00:00.000000Z""#),
            ("timestamp<=2026-01-01", r#"timestamp:<"2026-01-02T00:00:00.000000Z""#),
            (
                "_from=1767225600&_to=2026-01-01T10:00:00Z",
                r#"timestamp:>="2026-01-01T00:00:00.000000Z" timestamp:<"2026-01-01T10:00:00.000000Z""#,
            ),
            ("_to=2026-01-31", r#"timestamp:<"2026-02-01T00:00:00.000000Z""#),
        ];
        for (query, printed) in cases {
            assert_eq!(read(query).filter.to_string(), printed, "{query}");
        }
    }

    #[test]
    fn nothing_asked_is_the_default() {
        assert_eq!(read(""), Question::default());
        assert_eq!(read("_sort=&_limit=&_offset=&_c=&_q=&_format=&_from=&_to=&_cursor="), Question::default());
    }

    #[test]
    fn reserved_parameters_are_read() {
        let question = read(
            "_sort=-timestamp&_sort=path&_limit=50&_limit=20&_offset=5&_format=csv&_strict=n&_meta=y&_total=n&_archive&_cursor=abc&_download=a b.csv",
        );
        let sort = |column: &str, descending| Sort { column: column.into(), descending };
        let expected = Question {
            sort: vec![sort("timestamp", true), sort("path", false)],
            limit: 20,
            offset: 5,
            format: Format::Csv,
            strict: false,
            meta: true,
            total: false,
            archive: true,
            cursor: Some("abc".into()),
            download: Some("a b.csv".into()),
            ..Question::default()
        };
        assert_eq!(question, expected);
        assert_eq!(question.format.name(), "csv");
    }

    #[test]
    fn columns_are_chosen_or_dropped() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(read("_c=path&_c=status").columns, Columns::Only(list(&["path", "status"])));
        assert_eq!(read("_c=-path").columns, Columns::Except(list(&["path"])));
        assert_eq!(read("_c=path&_c=status&_c=-path").columns, Columns::Only(list(&["status"])));
    }

    #[test]
    fn groups_have_aggregates() {
        let question = read(
            "_by=status&_c=duration|avg&_c=count&_c=duration|median&_sort=-duration|avg&duration|count>1&*|count!=3&timestamp|max>=-1h",
        );
        let aggregate =
            |column: &str, function, name: &str| Aggregate { column: column.into(), function, name: name.into() };
        let count = aggregate("duration", Function::Count, "duration|count");
        assert_eq!(question.by, Some(vec!["status".into()]));
        let expected = [
            aggregate("duration", Function::Average, "duration|avg"),
            aggregate("*", Function::Count, "count"),
            aggregate("duration", Function::Percentile(50), "duration|median"),
        ];
        assert_eq!(question.aggregates, expected);
        let having = [
            (count, Test::Compare(Comparison::Greater, "1".into()), false),
            (aggregate("*", Function::Count, "*|count"), Test::equal("3"), true),
            (
                aggregate("timestamp", Function::Maximum, "timestamp|max"),
                Test::Compare(Comparison::GreaterOrEqual, "2026-01-31T11:00:00.000000Z".into()),
                false,
            ),
        ];
        let having = having.map(|(aggregate, test, negated)| Having { aggregate, test, negated });
        assert_eq!(question.having, having);
        assert_eq!(question.filter, Filter::All);
        assert_eq!(read("_by=").by, Some(vec![]));
        assert_eq!(read("_by=path").aggregates, [aggregate("*", Function::Count, "count")]);
    }

    #[test]
    fn errors_name_the_parameter_and_the_remedy() {
        let cases = [
            ("_limit=x", r#"_limit: expected a whole number from 0 to 100000, found "x""#),
            (
                "_limit=100001",
                "_limit: 100001 is more than the limit of 100000; fetch the rest page by page with _cursor",
            ),
            ("_offset=-1", r#"_offset: expected a whole number from 0 to 1000000, found "-1""#),
            (
                "_lmit=5",
                "_lmit: unknown parameter, did you mean _limit?; for a column whose name begins with _ write _q=_lmit:value",
            ),
            (
                "_limit>=5",
                "_limit>: unknown parameter, did you mean _limit?; for a column whose name begins with _ write _q=_limit>:value",
            ),
            (
                "_format=cvs",
                r#"_format: unknown format "cvs", did you mean csv?; there are json, ndjson, csv, xlsx, html, text, logbook, logfmt, parquet"#,
            ),
            ("_strict=maybe", r#"_strict: expected y or n, found "maybe""#),
            ("_from=soon", &format!(r#"_from: "soon" is not a time; {TIME_FORMS}"#)),
            ("timestamp>=soon", &format!(r#"timestamp>: "soon" is not a time; {TIME_FORMS}"#)),
            ("_q=status:>=", "_q: this is not a search:\nstatus:>=\n         ^\nexpected a value after \"status:>=\""),
            ("status>=", "status>: expected a value after the operator, like status>=500"),
            (">=5", ">: expected a column before the operator, like status>=500"),
            ("=5", ": expected a column before the operator, like status>=500"),
            (
                "_c=duration|avg",
                "_c: duration|avg is computed for a group: add _by=column, or _by= for one group of everything",
            ),
            (
                "duration|count>1",
                "duration|count: duration|count is computed for a group: add _by=column, or _by= for one group of everything",
            ),
            (
                "_by=status&_c=duration|agv",
                r#"_c: unknown aggregate "agv", did you mean avg?; there are count, min, max, avg, sum, first, last, distinct, median, p50, p90, p95, p99"#,
            ),
            ("_by=status&_c=path", "_c: a group has many values of path: write path|count, path|max, … or _by=path"),
            (
                "_by=status&_sort=stauts",
                "_sort: stauts is not in the answer, did you mean status?; add it with _c or _by",
            ),
            ("_by=a|count", "_by: a|count is computed for a group, so nothing can be grouped by it"),
            ("_by=a&_c=*|max", "_c: *|max needs a column before the |, like duration|avg"),
            ("_by=a&b|max~=5", "b|max~: b|max can be compared with =, !=, <, <=, > and >= only"),
            (
                "_download=../x",
                r#"_download: expected a file name of at most 255 bytes without / \ " : or a dot in front"#,
            ),
        ];
        for (query, expected) in cases {
            assert_eq!(refused(query), expected, "{query}");
        }
        assert_eq!(refused(&"a=1&".repeat(513)), "query: 513 conditions are more than the limit of 512");
        assert!(refused(&format!("b=1&_q=-{}c{}", "(x OR y ".repeat(31), ")".repeat(31))).contains("limit of 64"));
    }

    proptest! {
        #[test]
        fn no_parameters_make_it_panic(pairs in vec((any::<String>(), any::<String>()), 0..8)) {
            let _ = parse(&pairs, now());
        }

        #[test]
        fn what_is_asked_can_be_said_in_the_search_language(
            query in "((user\\.id|timestamp|a b|_q|_by|_c|a\\|max)[!<>~*]{0,2}=?[-a1é&\"*:() ]{0,5}&){0,5}",
        ) {
            if let Ok(question) = parse(&pairs(&query), now()) {
                prop_assert_eq!(crate::search::parse(&question.filter.to_string(), now()), Ok(question.filter));
            }
        }
    }
}
