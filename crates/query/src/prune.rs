//! Which blocks of a segment may hold rows that pass a filter: never too few.

use std::borrow::Cow;

use event::{Level, Timestamp, logical_name, parse_uuid};
use store::columns::{Kind, TIMESTAMP, key_columns};
use store::index::{BlockSet, Index, RARE_KEYS, Token, is_id_like};

use crate::filter::{Comparison, Filter, Scalar, Test, Text};

/// The blocks of a segment that have to be looked at.
pub(crate) fn blocks(filter: &Filter, index: &Index, schema: &arrow::datatypes::Schema) -> BlockSet {
    Pruner { index, schema, ids_apart: false, by_row: false }.filter(filter)
}

/// The same in two parts when a UUID is looked for anywhere: the blocks that may hold it under any key but `id`, and
/// for all others the filter that only compares ids, which takes a small column instead of all texts.
pub(crate) fn passes<'a>(
    filter: &'a Filter,
    index: &Index,
    schema: &arrow::datatypes::Schema,
) -> Vec<(Cow<'a, Filter>, BlockSet)> {
    let Some(by_id) = by_id(filter) else { return vec![(Cow::Borrowed(filter), blocks(filter, index, schema))] };
    let near = Pruner { index, schema, ids_apart: true, by_row: false }.filter(filter);
    let mut far = BlockSet::none(index.blocks());
    blocks(&by_id, index, schema).iter().filter(|block| !near.contains(*block)).for_each(|block| far.insert(block));
    vec![(Cow::Borrowed(filter), near), (Cow::Owned(by_id), far)]
}

/// The filter with a UUID looked for anywhere turned into one compared with the id.
fn by_id(filter: &Filter) -> Option<Filter> {
    match filter {
        Filter::Anywhere(text) if !text.prefix => {
            let uuid = text.typed.trim().to_ascii_lowercase();
            parse_uuid(&uuid)?;
            Some(Filter::field("id", Test::equal(uuid)))
        }
        Filter::And(parts) => {
            let turned: Vec<Option<Filter>> = parts.iter().map(by_id).collect();
            let any = turned.iter().any(Option::is_some);
            any.then(|| {
                Filter::and(turned.into_iter().zip(parts).map(|(turned, part)| turned.unwrap_or_else(|| part.clone())))
            })
        }
        _ => None,
    }
}

/// The words of a text that are not only begun.
fn whole_words(text: &Text) -> &[String] {
    &text.words[..text.words.len() - usize::from(text.prefix && !text.words.is_empty())]
}

/// A value in the one form in which its key has it.
fn canonical<'t>(field: &str, text: &'t str) -> &'t str {
    match field {
        "level" => Level::parse(text).map_or(text, |level| level.name()),
        "stream" => event::shared::stream_name(text),
        _ => text,
    }
}

/// Whether a text or a number is meant that may be written in other ways than it was typed.
fn has_other_spellings(scalar: &Scalar) -> bool {
    scalar.as_number().is_some() && scalar.as_integer().is_none_or(|integer| integer.to_string() != scalar.text)
}

#[derive(Clone, Copy)]
struct Pruner<'a> {
    index: &'a Index,
    schema: &'a arrow::datatypes::Schema,
    /// Whether the ids of events are looked at apart.
    ids_apart: bool,
    /// Whether it is about the rare rows of the segment, one by one, and not about its blocks.
    by_row: bool,
}

impl Pruner<'_> {
    fn places(&self) -> usize {
        if self.by_row { self.index.rare_rows() } else { self.index.blocks() }
    }

    fn all(&self) -> BlockSet {
        BlockSet::all(self.places())
    }

    fn filter(&self, filter: &Filter) -> BlockSet {
        match filter {
            Filter::All | Filter::Not(_) => self.all(),
            Filter::And(parts) => self.all_of(parts),
            Filter::Or(parts) => {
                let mut found = BlockSet::none(self.places());
                parts.iter().for_each(|part| found.unite(&self.filter(part)));
                found
            }
            Filter::Anywhere(text) => self.text(None, text),
            Filter::Field { field, test } if field == TIMESTAMP => self.time(test),
            Filter::Field { field, test } => self.field(field, test),
        }
    }

    fn all_of(&self, parts: &[Filter]) -> BlockSet {
        let mut found = self.all();
        for part in parts {
            if found.is_empty() {
                return found;
            }
            found.intersect(&self.filter(part));
        }
        if !self.by_row
            && !found.is_empty()
            && parts.len() > 1
            && let Some(ruled_out) = self.ruled_out_by_row(parts)
        {
            found.subtract(&ruled_out);
        }
        found
    }

    /// Where one of the parts asks for a stream or level: the blocks in which all such rows are listed one by one, and
    /// none of them passes all parts.
    fn ruled_out_by_row(&self, parts: &[Filter]) -> Option<BlockSet> {
        let (key, word) = parts.iter().find_map(|part| self.scope(part))?;
        let mut ruled_out = self.index.blocks_by_row(key, &word)?.clone();
        let rows = Pruner { by_row: true, ..*self }.all_of(parts);
        ruled_out.subtract(&self.index.blocks_of_rare_rows(&rows));
        Some(ruled_out)
    }

    /// A word that the stream or the level of every row that passes has in it.
    fn scope(&self, part: &Filter) -> Option<(&'static str, String)> {
        let Filter::Field { field, test } = part else { return None };
        let key = RARE_KEYS.into_iter().find(|key| *key == field)?;
        if !self.is_one_text(key) {
            return None;
        }
        match test {
            Test::Equal(scalars) => match &scalars[..] {
                [scalar] if scalar.as_number().is_none() => {
                    event::text::words(canonical(key, &scalar.text)).next().map(|word| (key, word.to_owned()))
                }
                _ => None,
            },
            Test::Words(text) => whole_words(text).first().map(|word| (key, word.clone())),
            Test::Present | Test::Compare(..) | Test::Contains { .. } | Test::Wildcard(_) | Test::Regex(_) => None,
        }
    }

    /// Whether all values of a key that a question looks at are in one column of texts.
    fn is_one_text(&self, key: &str) -> bool {
        let mut columns = key_columns(self.schema).filter(|(_, path, _)| logical_name(path) == key);
        columns.next().is_some_and(|(_, path, kind)| path == key && kind == Kind::Str) && columns.next().is_none()
    }

    /// Where a word is. The words of streams and levels are apart from the others among the rare rows; `field` says
    /// where it is looked for.
    fn word(&self, field: Option<&str>, word: &str) -> BlockSet {
        let token = Token::word(word);
        if !self.by_row {
            return self.index.blocks_with(token);
        }
        let scopes = RARE_KEYS.into_iter().filter(|key| field.is_none_or(|field| field == *key));
        let is_apart = field.is_some_and(|field| RARE_KEYS.contains(&field) && self.is_one_text(field));
        let mut found = if is_apart {
            BlockSet::none(self.places())
        } else if self.index.blocks_with(token).len() > self.index.rare_from() {
            self.index.rare_rows_with(token)
        } else {
            // Few blocks have it, and it is not listed.
            return self.all();
        };
        scopes.for_each(|key| found.unite(&self.index.rare_rows_with(Token::scope(key, word))));
        found
    }

    /// Where a whole value is. The rare rows are only listed by words.
    fn value(&self, token: Token) -> BlockSet {
        if self.by_row { self.all() } else { self.index.blocks_with(token) }
    }

    fn words<'w>(&self, field: Option<&str>, words: impl Iterator<Item = &'w str>) -> BlockSet {
        let mut found = self.all();
        for word in words {
            if found.is_empty() {
                break;
            }
            found.intersect(&self.word(field, word));
        }
        found
    }

    fn text(&self, field: Option<&str>, text: &Text) -> BlockSet {
        let mut found = self.words(field, whole_words(text).iter().map(String::as_str));
        if let Some(uuid) = parse_uuid(&text.typed.trim().to_ascii_lowercase()) {
            if !self.ids_apart && field.is_none_or(|field| field == "id") {
                found.unite(&self.id(&uuid));
            }
            found.unite(&self.value(Token::uuid(&uuid)));
        }
        found
    }

    /// Where an event with this id may be.
    fn id(&self, uuid: &[u8; 16]) -> BlockSet {
        if self.by_row { self.all() } else { self.index.blocks_with_id(uuid) }
    }

    fn field(&self, field: &str, test: &Test) -> BlockSet {
        match test {
            Test::Equal(scalars) => {
                let mut found = BlockSet::none(self.places());
                scalars.iter().for_each(|scalar| found.unite(&self.equal(field, scalar)));
                found
            }
            Test::Words(text) => self.text(Some(field), text),
            Test::Present | Test::Compare(..) | Test::Contains { .. } | Test::Wildcard(_) | Test::Regex(_) => {
                self.all()
            }
        }
    }

    fn equal(&self, field: &str, scalar: &Scalar) -> BlockSet {
        let kinds = || key_columns(self.schema).filter(|(_, path, _)| logical_name(path) == field);
        // Doubles and booleans are in no list.
        if kinds().any(|(.., kind)| matches!(kind, Kind::Float | Kind::Bool)) || has_other_spellings(scalar) {
            return self.all();
        }
        let text = canonical(field, &scalar.text);
        let exact = is_id_like(field) && kinds().all(|(_, path, _)| path == field);
        let mut found = if exact {
            self.value(Token::value(field, text))
        } else {
            self.words(Some(field), event::text::words(text))
        };
        if let Some(uuid) = parse_uuid(text) {
            found.unite(&self.value(Token::uuid(&uuid)));
            if field == "id" {
                found.unite(&self.id(&uuid));
            }
        }
        found
    }

    fn time(&self, test: &Test) -> BlockSet {
        let mut found = self.all();
        if !self.by_row
            && let Some(bound) = bound(test)
        {
            found = BlockSet::none(self.index.blocks());
            let may = (0..self.index.blocks()).filter(|block| may_pass(bound, self.index.times(*block)));
            may.for_each(|block| found.insert(block));
        }
        found
    }
}

/// Whether events between two times may pass a filter, as far as their times go.
pub(crate) fn times_may_pass(filter: &Filter, times: (i64, i64)) -> bool {
    match filter {
        Filter::And(parts) => parts.iter().all(|part| times_may_pass(part, times)),
        Filter::Field { field, test } if field == TIMESTAMP => bound(test).is_none_or(|bound| may_pass(bound, times)),
        _ => true,
    }
}

/// What a time is compared with.
fn bound(test: &Test) -> Option<(Comparison, i64)> {
    let Test::Compare(comparison, scalar) = test else { return None };
    Some((*comparison, Timestamp::parse(&scalar.text)?.0.as_micros()))
}

fn may_pass((comparison, bound): (Comparison, i64), (first, last): (i64, i64)) -> bool {
    match comparison {
        Comparison::Less => first < bound,
        Comparison::LessOrEqual => first <= bound,
        Comparison::Greater => last > bound,
        Comparison::GreaterOrEqual => last >= bound,
    }
}
