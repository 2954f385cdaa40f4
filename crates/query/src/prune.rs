//! Which blocks of a segment may hold rows that pass a filter: never too few.

use std::borrow::Cow;

use event::{Level, Timestamp, logical_name, parse_uuid};
use store::columns::{Kind, TIMESTAMP, key_columns};
use store::index::{BlockSet, Index, Token, is_id_like};

use crate::filter::{Comparison, Filter, Scalar, Test, Text};

/// The blocks of a segment that have to be looked at.
pub(crate) fn blocks(filter: &Filter, index: &Index, schema: &arrow::datatypes::Schema) -> BlockSet {
    Pruner { index, schema, ids_apart: false }.filter(filter)
}

/// The same in two parts when a UUID is looked for anywhere: the blocks that may hold it under any key but `id`, and
/// for all others the filter that only compares ids, which takes a small column instead of all texts.
pub(crate) fn passes<'a>(
    filter: &'a Filter,
    index: &Index,
    schema: &arrow::datatypes::Schema,
) -> Vec<(Cow<'a, Filter>, BlockSet)> {
    let Some(by_id) = by_id(filter) else { return vec![(Cow::Borrowed(filter), blocks(filter, index, schema))] };
    let near = Pruner { index, schema, ids_apart: true }.filter(filter);
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

struct Pruner<'a> {
    index: &'a Index,
    schema: &'a arrow::datatypes::Schema,
    /// Whether the ids of events are looked at apart.
    ids_apart: bool,
}

impl Pruner<'_> {
    fn all(&self) -> BlockSet {
        BlockSet::all(self.index.blocks())
    }

    fn filter(&self, filter: &Filter) -> BlockSet {
        match filter {
            Filter::All | Filter::Not(_) => self.all(),
            Filter::And(parts) => {
                let mut found = self.all();
                for part in parts {
                    if found.is_empty() {
                        break;
                    }
                    found.intersect(&self.filter(part));
                }
                found
            }
            Filter::Or(parts) => {
                let mut found = BlockSet::none(self.index.blocks());
                parts.iter().for_each(|part| found.unite(&self.filter(part)));
                found
            }
            Filter::Anywhere(text) => self.text(text),
            Filter::Field { field, test } if field == TIMESTAMP => self.time(test),
            Filter::Field { field, test } => self.field(field, test),
        }
    }

    fn words<'w>(&self, words: impl Iterator<Item = &'w str>) -> BlockSet {
        let mut found = self.all();
        for word in words {
            if found.is_empty() {
                break;
            }
            found.intersect(&self.index.blocks_with(Token::word(word)));
        }
        found
    }

    fn text(&self, text: &Text) -> BlockSet {
        let whole = text.words.len() - usize::from(text.prefix && !text.words.is_empty());
        let mut found = self.words(text.words[..whole].iter().map(String::as_str));
        if let Some(uuid) = parse_uuid(&text.typed.trim().to_ascii_lowercase()) {
            // Under `id` it is in no list: ids are found by reading their column, which is small.
            if !self.ids_apart && self.has_uuid_ids() {
                return self.all();
            }
            found.unite(&self.index.blocks_with(Token::uuid(&uuid)));
        }
        found
    }

    fn has_uuid_ids(&self) -> bool {
        key_columns(self.schema).any(|(_, path, kind)| path == "id" && kind == Kind::Uuid)
    }

    fn field(&self, field: &str, test: &Test) -> BlockSet {
        match test {
            Test::Equal(scalars) => {
                let mut found = BlockSet::none(self.index.blocks());
                scalars.iter().for_each(|scalar| found.unite(&self.equal(field, scalar)));
                found
            }
            Test::Words(text) => self.text(text),
            Test::Present | Test::Compare(..) | Test::Contains { .. } | Test::Wildcard(_) => self.all(),
        }
    }

    fn equal(&self, field: &str, scalar: &Scalar) -> BlockSet {
        let kinds = || key_columns(self.schema).filter(|(_, path, _)| logical_name(path) == field);
        // Doubles and booleans are in no list; nor are the ids of events.
        if field == "id" || kinds().any(|(.., kind)| matches!(kind, Kind::Float | Kind::Bool)) {
            return self.all();
        }
        let text = match field {
            "level" => Level::parse(&scalar.text).map_or(scalar.text.as_str(), |level| level.name()),
            "stream" => event::shared::stream_name(&scalar.text),
            _ => &scalar.text,
        };
        // A number may be written in other ways than it was typed.
        if scalar.as_number().is_some() && scalar.as_integer().is_none_or(|integer| integer.to_string() != scalar.text)
        {
            return self.all();
        }
        let exact = is_id_like(field) && kinds().all(|(_, path, _)| path == field);
        let mut found = if exact {
            self.index.blocks_with(Token::value(field, text))
        } else {
            self.words(event::text::words(text))
        };
        if let Some(uuid) = parse_uuid(text) {
            found.unite(&self.index.blocks_with(Token::uuid(&uuid)));
        }
        found
    }

    fn time(&self, test: &Test) -> BlockSet {
        let Test::Compare(comparison, scalar) = test else { return self.all() };
        let Some((bound, _)) = Timestamp::parse(&scalar.text) else { return self.all() };
        let bound = bound.as_micros();
        let mut found = BlockSet::none(self.index.blocks());
        for block in 0..self.index.blocks() {
            let (first, last) = self.index.times(block);
            let may = match comparison {
                Comparison::Less => first < bound,
                Comparison::LessOrEqual => first <= bound,
                Comparison::Greater => last > bound,
                Comparison::GreaterOrEqual => last >= bound,
            };
            if may {
                found.insert(block);
            }
        }
        found
    }
}
