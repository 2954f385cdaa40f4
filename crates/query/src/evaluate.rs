//! Which rows of a batch pass a filter.
//!
//! A key may have several columns (one for each type, one for each way of writing a dotted key) and members in the
//! overflow; a test passes when one of its values does.

use std::cmp::Ordering;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, PrimitiveArray, RecordBatch, StringArray, UInt32Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int64Type, Schema, TimestampMicrosecondType};
use event::text::{fold, json_scalars, unescape, words};
use event::{Level, Timestamp, Value, format_uuid, logical_name, parse_uuid, rest_leaves};
use store::columns::{Kind, RECEIVED, REST, TIMESTAMP, key_columns};

use crate::filter::{Comparison, Filter, Pattern, Piece, Scalar, Test, Text, wildcard, wildcard_matches};

/// The rows of `batch` for which the filter is true. The batch has at least the columns that
/// [`crate::known::columns_of`] names.
#[must_use]
pub fn matches(filter: &Filter, batch: &RecordBatch) -> BooleanBuffer {
    let rows = batch.num_rows();
    match filter {
        Filter::All => BooleanBuffer::new_set(rows),
        Filter::And(parts) => all_of(parts, batch),
        Filter::Or(parts) => any_of(parts, batch),
        Filter::Not(part) => !&matches(part, batch),
        Filter::Anywhere(text) => anywhere(text, batch),
        Filter::Field { field, test } => field_test(field, test, batch),
    }
}

/// The rows of `left` for which the filter is true. Where they are few, no other row is looked at.
#[must_use]
pub(crate) fn matches_among(filter: &Filter, batch: &RecordBatch, left: &BooleanBuffer) -> BooleanBuffer {
    let rows = batch.num_rows();
    let few = left.count_set_bits();
    if few == 0 || *filter == Filter::All {
        return left.clone();
    }
    if few > rows / 4 {
        return left & &matches(filter, batch);
    }
    let indices: Vec<u32> = left.set_indices().filter_map(|row| u32::try_from(row).ok()).collect();
    let columns: Vec<usize> = (0..batch.num_columns()).filter(|at| is_needed(filter, &batch.schema(), *at)).collect();
    let kept =
        batch.project(&columns).and_then(|needed| take_record_batch(&needed, &UInt32Array::from(indices.clone())));
    match kept {
        Ok(kept) => {
            let passed = matches(filter, &kept);
            let mut all = BooleanBufferBuilder::new(rows);
            all.append_n(rows, false);
            passed.set_indices().for_each(|at| all.set_bit(indices[at] as usize, true));
            all.finish()
        }
        Err(_) => left & &matches(filter, batch),
    }
}

fn cheap_first(parts: &[Filter]) -> Vec<&Filter> {
    let mut order: Vec<&Filter> = parts.iter().collect();
    order.sort_by_key(|part| cost(part));
    order
}

/// Each part looks at the rows that passed the cheaper ones.
fn all_of(parts: &[Filter], batch: &RecordBatch) -> BooleanBuffer {
    let all = BooleanBuffer::new_set(batch.num_rows());
    cheap_first(parts).into_iter().fold(all, |found, part| matches_among(part, batch, &found))
}

/// Each part looks at the rows that passed none of the cheaper ones.
fn any_of(parts: &[Filter], batch: &RecordBatch) -> BooleanBuffer {
    let none = BooleanBuffer::new_unset(batch.num_rows());
    cheap_first(parts).into_iter().fold(none, |found, part| &found | &matches_among(part, batch, &!&found))
}

/// How much work a filter is for a row, roughly.
fn cost(filter: &Filter) -> u32 {
    match filter {
        Filter::All => 0,
        Filter::Field { test, .. } => match test {
            Test::Present => 1,
            Test::Compare(..) => 2,
            Test::Equal(_) => 3,
            Test::Wildcard(_) => 6,
            Test::Regex(_) => 9,
            Test::Contains { ignore_case: false, .. } => 8,
            Test::Contains { .. } | Test::Words(_) => 10,
        },
        Filter::Not(part) => cost(part),
        Filter::And(parts) | Filter::Or(parts) => parts.iter().map(cost).sum(),
        Filter::Anywhere(_) => 100,
    }
}

/// Whether a filter looks at a column.
fn is_needed(filter: &Filter, schema: &Schema, at: usize) -> bool {
    let field = schema.field(at);
    let Some(path) = field.metadata().get("everlog.path") else { return true };
    let name = logical_name(path);
    let mut needed = false;
    filter.visit(&mut |part| {
        needed |= match part {
            Filter::Anywhere(_) => true,
            Filter::Field { field, .. } => name == *field || is_below(&name, field),
            _ => false,
        }
    });
    needed
}

fn anywhere(text: &Text, batch: &RecordBatch) -> BooleanBuffer {
    let mut found = BooleanBuffer::new_unset(batch.num_rows());
    let test = Words::new(text);
    for (index, _, kind) in key_columns(&batch.schema()) {
        let column = batch.column(index);
        if column.null_count() < column.len() && !matches!(kind, Kind::Float | Kind::Bool) {
            found = &found | &test.column(column, kind);
        }
    }
    if let Some(rest) = overflow(batch) {
        let scan = |row: usize| {
            rest.is_valid(row) && {
                let mut hit = false;
                rest_leaves(rest.value(row))
                    .for_each(|(_, json)| json_scalars(&json, &mut |scalar| hit |= test.text(scalar)));
                hit
            }
        };
        found = &found | &BooleanBuffer::collect_bool(batch.num_rows(), scan);
    }
    found
}

fn overflow(batch: &RecordBatch) -> Option<&arrow::array::StringArray> {
    let rest = batch.column_by_name(REST)?.as_string::<i32>();
    (rest.null_count() < rest.len()).then_some(rest)
}

fn field_test(field: &str, test: &Test, batch: &RecordBatch) -> BooleanBuffer {
    if matches!(field, TIMESTAMP | RECEIVED)
        && let Some(column) = batch.column_by_name(field)
    {
        return time_test(test, column.as_primitive::<TimestampMicrosecondType>());
    }
    let test = Prepared::new(field, test);
    let mut found = BooleanBuffer::new_unset(batch.num_rows());
    for (index, path, kind) in key_columns(&batch.schema()) {
        let name = logical_name(path);
        let below = matches!(test, Prepared::Present) && is_below(&name, field);
        if name == field || below {
            found = &found | &test.column(batch.column(index), kind);
        }
    }
    // What was sent beside these columns is another spelling of the same value.
    if !matches!(field, "level" | "stream")
        && let Some(rest) = overflow(batch)
    {
        let scan = |row: usize| {
            rest.is_valid(row) && rest_leaves(rest.value(row)).any(|(path, json)| rest_test(field, &test, &path, &json))
        };
        found = &found | &BooleanBuffer::collect_bool(batch.num_rows(), scan);
    }
    found
}

fn is_below(name: &str, field: &str) -> bool {
    name.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'))
}

fn rest_test(field: &str, test: &Prepared<'_>, path: &str, json: &str) -> bool {
    let name = logical_name(path);
    if is_below(field, &name) && json.starts_with(['[', '{']) {
        return within_list(&field[name.len() + 1..], test, json);
    }
    if matches!(test, Prepared::Present) {
        return (name == field || is_below(&name, field)) && holds_value(json);
    }
    if name != field {
        return false;
    }
    match json.as_bytes().first() {
        Some(b't' | b'f') => test.value(&Value::Bool(json == "true")),
        Some(b'"') => unescape(json).is_some_and(|text| test.value(&Value::Str(&text))),
        Some(b'n') | None => false,
        _ => {
            let mut hit = false;
            json_scalars(json, &mut |scalar| hit |= test.value(&Value::Str(scalar)));
            hit
        }
    }
}

/// Whether there is a value in a piece of JSON: not in null, and not in a list or an object of nothing else.
fn holds_value(json: &str) -> bool {
    fn any(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Null => false,
            serde_json::Value::Array(list) => list.iter().any(any),
            serde_json::Value::Object(members) => members.values().any(any),
            _ => true,
        }
    }
    if json.starts_with(['[', '{']) {
        serde_json::from_str(json).is_ok_and(|value| any(&value))
    } else {
        json != "null"
    }
}

/// Whether a value of the objects in a list passes, by its path in them.
fn within_list(path: &str, test: &Prepared<'_>, json: &str) -> bool {
    let Ok(list) = serde_json::from_str(json) else { return false };
    let mut hit = false;
    crate::elastic::dig(&list, path, &mut |one| hit |= test.value(&one.value()));
    hit
}

fn time_test(test: &Test, times: &PrimitiveArray<TimestampMicrosecondType>) -> BooleanBuffer {
    let micros = |scalar: &Scalar| Timestamp::parse(&scalar.text).map(|(moment, _)| moment.as_micros());
    match test {
        Test::Present => BooleanBuffer::new_set(times.len()),
        Test::Equal(scalars) => {
            let wanted: Vec<i64> = scalars.iter().filter_map(micros).collect();
            primitive(times, |time| wanted.contains(&time))
        }
        Test::Compare(comparison, scalar) => match micros(scalar) {
            Some(bound) => primitive(times, |time| comparison.accepts(time.cmp(&bound))),
            None => BooleanBuffer::new_unset(times.len()),
        },
        Test::Contains { .. } | Test::Wildcard(_) | Test::Regex(_) | Test::Words(_) => {
            let test = Prepared::new(TIMESTAMP, test);
            primitive(times, |time| test.value(&Value::Str(&Timestamp::from_micros(time).to_string())))
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, test: impl Fn(T::Native) -> bool) -> BooleanBuffer {
    let values = array.values();
    let passed = BooleanBuffer::collect_bool(array.len(), |row| test(values[row]));
    match array.nulls() {
        Some(nulls) => &passed & nulls.inner(),
        None => passed,
    }
}

/// Applies a test to the texts of a column. Null slots are never looked at.
fn texts(column: &ArrayRef, test: impl Fn(&str) -> bool) -> BooleanBuffer {
    let array = column.as_string::<i32>();
    match array.nulls() {
        Some(nulls) => BooleanBuffer::collect_bool(array.len(), |row| nulls.is_valid(row) && test(array.value(row))),
        None => BooleanBuffer::collect_bool(array.len(), |row| test(array.value(row))),
    }
}

/// The rows of which `test` is true among those with a place that `places` finds: the next one from some byte on, in
/// the bytes of all rows, where `length` bytes stand that are looked for.
fn rows_with(
    column: &StringArray,
    length: usize,
    places: impl Fn(&[u8], usize) -> Option<usize>,
    test: impl Fn(&str) -> bool,
) -> BooleanBuffer {
    let offsets = column.value_offsets();
    let end = |row: usize| offsets.get(row + 1).map_or(0, |end| usize::try_from(*end).unwrap_or(0));
    let mut found = BooleanBufferBuilder::new(column.len());
    found.append_n(column.len(), false);
    let Some(last) = column.len().checked_sub(1) else { return found.finish() };
    let bytes = &column.value_data()[..end(last)];
    let mut row = 0;
    let mut from = usize::try_from(offsets[0]).unwrap_or(0);
    while let Some(at) = places(bytes, from) {
        row += offsets[row + 1..].partition_point(|end| usize::try_from(*end).is_ok_and(|end| end <= at));
        if at + length > end(row) {
            // It begins in one text and ends in another.
            from = at + 1;
            continue;
        }
        if column.is_valid(row) && test(column.value(row)) {
            found.set_bit(row, true);
        }
        from = end(row);
    }
    found.finish()
}

/// How often a byte is met in texts, by experience: letters by their frequency in English, digits among them.
fn frequency(byte: u8) -> usize {
    const RARE_TO_FREQUENT: &[u8] = b"_qjzxkvbywgpf98765munc4hld3r2s10inoate";
    let place = RARE_TO_FREQUENT.iter().position(|one| *one == byte.to_ascii_lowercase());
    place.unwrap_or(0)
}

fn uuids(column: &ArrayRef, test: impl Fn(&[u8]) -> bool) -> BooleanBuffer {
    let array = column.as_fixed_size_binary();
    BooleanBuffer::collect_bool(array.len(), |row| array.is_valid(row) && test(array.value(row)))
}

fn booleans(array: &BooleanArray, test: impl Fn(bool) -> bool) -> BooleanBuffer {
    BooleanBuffer::collect_bool(array.len(), |row| array.is_valid(row) && test(array.value(row)))
}

/// A test with everything worked out that does not depend on the row.
enum Prepared<'a> {
    Present,
    Equal(Vec<Operand>),
    Compare(Comparison, Operand),
    /// Levels are ordered by severity.
    CompareLevel(Comparison, Level),
    Contains(Box<memchr::memmem::Finder<'a>>),
    ContainsFolded(String),
    Wildcard(Vec<Piece>),
    Regex(&'a Pattern),
    Words(Words<'a>),
}

struct Operand {
    text: String,
    uuid: Option<[u8; 16]>,
    integer: Option<i64>,
    number: Option<f64>,
    boolean: Option<bool>,
}

impl Operand {
    fn new(field: &str, scalar: &Scalar) -> Self {
        let text = match field {
            "level" => Level::parse(&scalar.text).map_or_else(|| scalar.text.clone(), |level| level.name().to_owned()),
            "stream" => event::shared::stream_name(&scalar.text).to_owned(),
            _ => scalar.text.clone(),
        };
        Self {
            uuid: parse_uuid(&text),
            integer: scalar.as_integer(),
            number: scalar.as_number(),
            boolean: scalar.as_boolean(),
            text,
        }
    }

    fn equals_number(&self, value: f64) -> bool {
        self.number.is_some_and(|number| {
            number.to_bits() == value.to_bits() || number.partial_cmp(&value) == Some(Ordering::Equal)
        })
    }

    fn order(&self, value: &Value<'_>) -> Option<Ordering> {
        let number = |text: &str| Scalar::new(text).as_number();
        match value {
            Value::Int(stored) => match self.integer {
                Some(integer) => Some(stored.cmp(&integer)),
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "compared with a fraction, which a double holds as well"
                )]
                None => (*stored as f64).partial_cmp(&self.number?),
            },
            Value::Float(stored) => stored.partial_cmp(&self.number?),
            Value::Str(stored) => match self.number {
                Some(bound) => number(stored)?.partial_cmp(&bound),
                None => Some((*stored).cmp(self.text.as_str())),
            },
            Value::Uuid(bytes) => Some(format_uuid(bytes).as_str().cmp(self.text.as_str())),
            Value::Null | Value::Bool(_) | Value::Raw(_) => None,
        }
    }

    fn equals(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Str(text) => {
                *text == self.text
                    || (self.number.is_some() && Scalar::new(*text).as_number() == self.number && self.number.is_some())
            }
            Value::Uuid(bytes) => self.uuid.as_ref() == Some(bytes),
            Value::Int(stored) => self.order(&Value::Int(*stored)) == Some(Ordering::Equal),
            Value::Float(stored) => self.equals_number(*stored),
            Value::Bool(stored) => self.boolean == Some(*stored),
            Value::Null | Value::Raw(_) => false,
        }
    }
}

impl<'a> Prepared<'a> {
    fn new(field: &str, test: &'a Test) -> Self {
        match test {
            Test::Present => Self::Present,
            Test::Equal(scalars) => Self::Equal(scalars.iter().map(|scalar| Operand::new(field, scalar)).collect()),
            Test::Compare(comparison, scalar) => match Level::parse(&scalar.text) {
                Some(level) if field == "level" => Self::CompareLevel(*comparison, level),
                _ => Self::Compare(*comparison, Operand::new(field, scalar)),
            },
            Test::Contains { text, ignore_case: false } => Self::Contains(Box::new(memchr::memmem::Finder::new(text))),
            Test::Contains { text, ignore_case: true } => Self::ContainsFolded(text.to_lowercase()),
            Test::Wildcard(pattern) => Self::Wildcard(wildcard(pattern)),
            Test::Regex(pattern) => Self::Regex(pattern),
            Test::Words(text) => Self::Words(Words::new(text)),
        }
    }

    fn column(&self, column: &ArrayRef, kind: Kind) -> BooleanBuffer {
        match (self, kind) {
            (Self::Present, _) => {
                column.nulls().map_or_else(|| BooleanBuffer::new_set(column.len()), |nulls| nulls.inner().clone())
            }
            (Self::Words(test), _) => test.column(column, kind),
            (Self::Equal(operands), Kind::Str) => match &operands[..] {
                [one] if one.number.is_none() => texts(column, |text| text == one.text),
                _ => texts(column, |text| self.value(&Value::Str(text))),
            },
            (Self::Contains(finder), Kind::Str) if !finder.needle().is_empty() => {
                let places = |bytes: &[u8], from: usize| finder.find(&bytes[from..]).map(|at| from + at);
                rows_with(column.as_string(), finder.needle().len(), places, |_| true)
            }
            (_, Kind::Str) => texts(column, |text| self.value(&Value::Str(text))),
            (_, Kind::Uuid) => {
                uuids(column, |bytes| bytes.try_into().is_ok_and(|bytes| self.value(&Value::Uuid(bytes))))
            }
            (_, Kind::Int) => primitive(column.as_primitive::<Int64Type>(), |number| self.value(&Value::Int(number))),
            (_, Kind::Float) => {
                primitive(column.as_primitive::<Float64Type>(), |number| self.value(&Value::Float(number)))
            }
            (_, Kind::Bool) => booleans(column.as_boolean(), |truth| self.value(&Value::Bool(truth))),
        }
    }

    /// Whether one value passes.
    fn value(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Present => !matches!(value, Value::Null),
            Self::Equal(operands) => operands.iter().any(|operand| operand.equals(value)),
            Self::Compare(comparison, operand) => operand.order(value).is_some_and(|order| comparison.accepts(order)),
            Self::CompareLevel(comparison, bound) => match value {
                Value::Str(text) => Level::parse(text).is_some_and(|level| comparison.accepts(level.cmp(bound))),
                _ => false,
            },
            Self::Contains(_) | Self::ContainsFolded(_) | Self::Wildcard(_) | Self::Regex(_) | Self::Words(_) => {
                match value {
                    Value::Str(text) => self.text(text),
                    Value::Uuid(bytes) => self.text(&format_uuid(bytes)),
                    Value::Null | Value::Raw(_) => false,
                    other => {
                        let mut json = Vec::new();
                        other.write_json(&mut json);
                        std::str::from_utf8(&json).is_ok_and(|text| self.text(text))
                    }
                }
            }
        }
    }

    fn text(&self, text: &str) -> bool {
        match self {
            Self::Contains(finder) => finder.find(text.as_bytes()).is_some(),
            Self::ContainsFolded(folded) => text.to_lowercase().contains(folded),
            Self::Wildcard(pieces) => wildcard_matches(pieces, text),
            Self::Regex(pattern) => pattern.matches(text),
            Self::Words(test) => test.text(text),
            Self::Present | Self::Equal(_) | Self::Compare(..) | Self::CompareLevel(..) => false,
        }
    }
}

/// The test for words that follow one another.
struct Words<'a> {
    text: &'a Text,
    uuid: Option<[u8; 16]>,
}

impl<'a> Words<'a> {
    fn new(text: &'a Text) -> Self {
        Self { text, uuid: if text.prefix { None } else { parse_uuid(&text.typed.trim().to_ascii_lowercase()) } }
    }

    fn column(&self, column: &ArrayRef, kind: Kind) -> BooleanBuffer {
        match kind {
            Kind::Str => match self.text.words.first().filter(|first| first.is_ascii()) {
                Some(first) => self.rows_with_word(column.as_string(), first.as_bytes()),
                None => texts(column, |text| self.text(text)),
            },
            Kind::Uuid => match self.uuid {
                Some(wanted) => uuids(column, |bytes| bytes == wanted),
                None => BooleanBuffer::new_unset(column.len()),
            },
            Kind::Int => match &self.text.words[..] {
                [_] => primitive(column.as_primitive::<Int64Type>(), |number| self.text(&number.to_string())),
                _ => BooleanBuffer::new_unset(column.len()),
            },
            Kind::Float | Kind::Bool => BooleanBuffer::new_unset(column.len()),
        }
    }

    fn text(&self, text: &str) -> bool {
        let wanted = &self.text.words;
        let Some(first) = wanted.first() else {
            // Only punctuation was typed: then the characters themselves are meant.
            return text.contains(self.text.typed.trim());
        };
        if first.is_ascii() {
            return self.phrase_from_places(first.as_bytes(), text);
        }
        let mut candidates = words(text);
        loop {
            if self.follows(candidates.clone()) {
                return true;
            }
            if candidates.next().is_none() {
                return false;
            }
        }
    }

    /// Looks for the first word by its rarest byte in all texts at once, and at those texts that have it.
    fn rows_with_word(&self, column: &StringArray, word: &[u8]) -> BooleanBuffer {
        let rarest = (0..word.len()).min_by_key(|at| frequency(word[*at])).unwrap_or(0);
        let (low, high) = (word[rarest].to_ascii_lowercase(), word[rarest].to_ascii_uppercase());
        let places = |bytes: &[u8], from: usize| {
            let mut places = memchr::memchr2_iter(low, high, bytes.get(from + rarest..)?).map(|at| from + at);
            places.find(|at| bytes.get(*at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word)))
        };
        rows_with(column, word.len(), places, |text| self.text(text))
    }

    /// Looks for the first word by its first byte, which is quicker than taking the text apart.
    fn phrase_from_places(&self, first: &[u8], text: &str) -> bool {
        let bytes = text.as_bytes();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
        let mut places = memchr::memchr2_iter(first[0], first[0].to_ascii_uppercase(), bytes);
        places.any(|at| {
            let begins =
                at == 0 || !is_word(bytes[at - 1]) || (!bytes[at - 1].is_ascii() && self.begins_word(text, at));
            begins
                && bytes.len() - at >= first.len()
                && bytes[at..at + first.len()].eq_ignore_ascii_case(first)
                && self.follows(words(&text[at..]))
        })
    }

    /// Whether the character before `at`, which is not ASCII, is part of no word.
    fn begins_word(&self, text: &str, at: usize) -> bool {
        text[..at].chars().next_back().is_none_or(|character| !character.is_alphanumeric())
    }

    /// Whether the words are the wanted ones, one after the other.
    fn follows<'t>(&self, mut found: impl Iterator<Item = &'t str>) -> bool {
        let wanted = &self.text.words;
        wanted.iter().enumerate().all(|(at, word)| {
            let last_prefix = self.text.prefix && at + 1 == wanted.len();
            found.next().is_some_and(|found| same_word(found, word, last_prefix))
        })
    }
}

fn same_word(found: &str, wanted: &str, prefix: bool) -> bool {
    if found.is_ascii() && wanted.is_ascii() {
        let (found, wanted) = (found.as_bytes(), wanted.as_bytes());
        return if prefix {
            found.len() >= wanted.len() && found[..wanted.len()].eq_ignore_ascii_case(wanted)
        } else {
            found.eq_ignore_ascii_case(wanted)
        };
    }
    let found = fold(found);
    if prefix { found.starts_with(wanted) } else { found == wanted }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_texts_at_once_are_as_each_by_itself(
            texts in proptest::collection::vec(proptest::option::of("((foo|Foo_|oof|f|o|7| |é|ß|-){0,6})"), 0..40),
            skipped in 0_usize..5,
            typed in "(foo|FOO|f o|7|foo 7|é foo|foo-foo|o)",
            prefix: bool,
        ) {
            let column: ArrayRef = Arc::new(StringArray::from(texts.iter().map(|text| text.as_deref()).collect::<Vec<_>>()));
            let skipped = skipped.min(column.len());
            let column = column.slice(skipped, column.len() - skipped);
            let each = |test: &dyn Fn(&str) -> bool| -> Vec<bool> {
                texts[skipped..].iter().map(|text| text.as_deref().is_some_and(test)).collect()
            };
            let text = if prefix { Text::starting(&typed) } else { Text::new(&typed) };
            let words = Words::new(&text);
            prop_assert_eq!(words.column(&column, Kind::Str).iter().collect::<Vec<_>>(), each(&|text| words.text(text)));
            let contains = Test::Contains { text: typed.clone(), ignore_case: false };
            let found = Prepared::new("message", &contains).column(&column, Kind::Str);
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), each(&|text| text.contains(&typed)));
        }
    }
}
