//! Batches with what must not be kept replaced, and the quickest way past the rows that have nothing of it.

use event::{Batch, BatchBuilder, Field, KeyIndex, Part, Row, Value};

use super::names::Place;
use super::{Depth, Level, OfPath, Redact, Redacted, Tally, mark, numbers, plain, triggers};
use crate::vocabulary::{Role, role};

/// What becomes of a value that does not stay.
#[derive(Debug)]
enum Outcome {
    /// It goes whole.
    Secret,
    /// A mark takes its place that was counted with what it was filled from.
    Mark(String),
    New(String),
    /// Only the name of its key changes.
    Renamed,
}

/// The values of a row that do not stay, by their places in it.
type Outcomes = Vec<(usize, Outcome)>;

/// What becomes of the values under the keys of a batch.
struct Paths<'r> {
    all: Vec<OfPath<'r>>,
    /// The kinds of those that are looked at.
    places: Vec<Option<Place>>,
}

impl<'r> Paths<'r> {
    fn new(all: Vec<OfPath<'r>>) -> Self {
        let place = |of_path: &OfPath<'_>| match of_path {
            OfPath::Look(place) => Some(*place),
            OfPath::Secret(..) => None,
            OfPath::Ours => Some(Place::Text),
        };
        Self { places: all.iter().map(place).collect(), all }
    }
}

/// Where in a row something is that may have to go, found in one go over all its bytes.
#[derive(Clone, Copy, Debug)]
struct Signs<'a> {
    data: &'a [u8],
    /// The next trigger.
    trigger: usize,
    /// The next `@` or `%`.
    sign: usize,
    /// Whether there are enough digits for a card anywhere.
    has_card: bool,
}

impl<'a> Signs<'a> {
    fn new(data: &'a [u8]) -> Self {
        let mut signs = Self { data, trigger: 0, sign: 0, has_card: numbers::may_hold_card(data) };
        signs.pass_trigger(0);
        signs.pass_sign(0);
        signs
    }

    fn pass_trigger(&mut self, from: usize) {
        self.trigger = triggers::find(self.data, from);
    }

    fn pass_sign(&mut self, from: usize) {
        let sign = memchr::memchr2(b'@', b'%', &self.data[from..]);
        self.sign = sign.map_or(self.data.len(), |ahead| from + ahead);
    }

    /// Whether anything in a value, and not only the names in it, may have to go.
    fn are_in(&mut self, part: &Part<'_>, holds: impl FnOnce() -> bool) -> bool {
        // The bytes of numbers and lengths may look like a sign, too: then it is passed.
        let (triggered, signed) = (self.trigger < part.end, self.sign < part.end);
        if triggered {
            self.pass_trigger(part.end);
        }
        if signed {
            self.pass_sign(part.end);
        }
        triggered || (signed && (part.is_raw() || holds())) || (self.has_card && numbers::may_hold_card(part.bytes))
    }
}

impl Redact {
    pub(super) fn apply_by<'r>(&'r self, batch: Batch, of_path: impl Fn(&str) -> OfPath<'r>) -> (Batch, Redacted) {
        let mut redacted = Redacted::new();
        if self.is_empty() {
            return (batch, redacted);
        }
        let paths = Paths::new(batch.keys().iter().map(|path| of_path(path)).collect());
        let mut builder: Option<BatchBuilder> = None;
        let mut tally = Tally::default();
        let mut outcomes = Outcomes::new();
        for index in 0..batch.len() {
            let row = batch.row(index);
            self.outcomes(&batch, &row, &paths, (&mut outcomes, &mut tally));
            let changes = !outcomes.is_empty();
            let kept = match &mut builder {
                None if !changes => continue,
                Some(builder) if !changes => builder.copy(&row),
                builder => {
                    let builder = builder.get_or_insert_with(|| BatchBuilder::continuing(&batch, index));
                    self.push(builder, (&batch, &row), &paths, (&outcomes, &mut tally))
                }
            };
            debug_assert!(kept, "marks for values that fitted into a request fit into a batch");
            for name in tally.names.drain(..) {
                // Names are few: a new one is rare.
                match redacted.get_mut(name) {
                    Some(count) => *count += 1,
                    None => drop(redacted.insert(name.to_owned(), 1)),
                }
            }
        }
        (builder.map_or(batch, BatchBuilder::finish), redacted)
    }

    /// Whether there are no rules but those of the level `standard`, which say by a few bytes where they apply.
    pub(super) fn is_plain(&self) -> bool {
        self.level == Level::Standard && self.own.is_empty() && self.patterns.is_empty()
    }

    /// What becomes of the values of a row.
    fn outcomes<'r>(
        &'r self,
        batch: &Batch,
        row: &Row<'_>,
        paths: &Paths<'r>,
        (outcomes, tally): (&mut Outcomes, &mut Tally<'r>),
    ) {
        outcomes.clear();
        let mut signs = self.is_plain().then(|| Signs::new(row.data()));
        if signs.is_some_and(|signs| self.is_clean(row, &paths.places, signs)) {
            return;
        }
        let mut derived = Derived::default();
        for (at, part) in row.parts().enumerate() {
            let Some(of_path) = paths.all.get(part.key as usize) else { continue };
            let place = match of_path {
                OfPath::Look(place) => *place,
                OfPath::Secret(..) => Place::Text,
                OfPath::Ours => continue,
            };
            let depth = match &mut signs {
                Some(signs) => self.depth(signs, &part, place),
                None => Depth::Whole,
            };
            let stays = depth == Depth::Stays && derived.secrets.is_empty() && matches!(of_path, OfPath::Look(_));
            let Some(field) = (if stays { None } else { part.field() }) else { continue };
            let path = &*batch.keys()[field.key as usize];
            let outcome = match of_path {
                OfPath::Secret(_, rule) if !rule.own && is_nothing(field.value) => continue,
                OfPath::Secret(_, rule) => {
                    derived.note_secret(path, field.value, &mark(rule.name));
                    Outcome::Secret
                }
                OfPath::Look(_) | OfPath::Ours => match derived.mark_for(path, &field) {
                    Some(mark) => Outcome::Mark(mark.to_owned()),
                    None if depth == Depth::Stays => continue,
                    None => {
                        let before = tally.names.len();
                        let new = self.new_value(field.value, place, depth, tally);
                        if derived.is_counted(path, &field, new.as_deref()) {
                            tally.names.truncate(before);
                        }
                        match new {
                            Some(new) => Outcome::New(new),
                            None if self.may_rename(path) => Outcome::Renamed,
                            None => continue,
                        }
                    }
                },
            };
            outcomes.push((at, outcome));
        }
    }

    /// Whether all values of a row stay, as those of nearly all rows do.
    fn is_clean(&self, row: &Row<'_>, places: &[Option<Place>], mut signs: Signs<'_>) -> bool {
        let mut next = signs.trigger.min(signs.sign);
        !signs.has_card
            && row.parts().all(|part| {
                let Some(Some(place)) = places.get(part.key as usize) else { return false };
                if part.end > next {
                    if part.end > signs.trigger || self.may_hold_address(part.bytes, *place) {
                        return false;
                    }
                    signs.pass_sign(part.end);
                    next = signs.trigger.min(signs.sign);
                }
                !part.is_raw() && !part.int().is_some_and(numbers::is_card)
            })
    }

    /// How closely a value must be looked at: whatever is replaced by the rules of `standard` is found by that.
    fn depth(&self, signs: &mut Signs<'_>, part: &Part<'_>, place: Place) -> Depth {
        match () {
            () if signs.are_in(part, || self.may_hold_address(part.bytes, place)) => Depth::Whole,
            () if part.is_raw() => Depth::Names,
            () if part.int().is_some_and(numbers::is_card) => Depth::Whole,
            () => Depth::Stays,
        }
    }

    /// Adds a row with what takes the place of its values.
    fn push<'r>(
        &'r self,
        builder: &mut BatchBuilder,
        (batch, row): (&Batch, &Row<'_>),
        paths: &Paths<'r>,
        (outcomes, tally): (&[(usize, Outcome)], &mut Tally<'r>),
    ) -> bool {
        let mut outcomes = outcomes.iter().peekable();
        for (at, field) in row.fields().enumerate() {
            let path = &*batch.keys()[field.key as usize];
            match (&paths.all[field.key as usize], outcomes.next_if(|(of, _)| *of == at).map(|(_, outcome)| outcome)) {
                (OfPath::Secret(cut, rule), Some(Outcome::Secret)) => {
                    let mark = mark(rule.name);
                    let key = if cut.len() == path.len() { field.key } else { builder.key(cut) };
                    let is_new = builder.push(key, Value::Str(&mark), field.sent);
                    if is_new && !field.sent && field.value != Value::Str(&mark) {
                        tally.names.push(rule.name);
                    }
                }
                (_, Some(Outcome::Mark(mark))) => {
                    builder.push(field.key, Value::Str(mark), field.sent);
                }
                (_, Some(Outcome::New(new))) => {
                    let is_json = matches!(field.value, Value::Raw(_)) && !self.is_number(field.value);
                    let key = self.key_of(builder, field.key, path, tally);
                    builder.push(key, if is_json { Value::Raw(new) } else { Value::Str(new) }, field.sent);
                }
                (OfPath::Look(_), Some(Outcome::Renamed)) => {
                    let key = self.key_of(builder, field.key, path, tally);
                    builder.push(key, field.value, field.sent);
                }
                _ => {
                    builder.push(field.key, field.value, field.sent);
                }
            }
        }
        builder.commit(row.id.clone(), row.timestamp)
    }

    /// Whether a key may be an e-mail address, which is replaced as well.
    fn may_rename(&self, path: &str) -> bool {
        self.level == Level::Strict && path.contains('@')
    }

    /// The number of a path, of one with an e-mail address in it without that.
    fn key_of<'r>(&'r self, builder: &mut BatchBuilder, key: KeyIndex, path: &str, tally: &mut Tally<'r>) -> KeyIndex {
        if !self.may_rename(path) {
            return key;
        }
        let (mut new, mut rest) = (String::new(), Some(path));
        while let Some(path) = rest {
            let (segment, further) = event::split_first(path);
            let replaced = self.replaced_key(&segment, Place::Text, tally);
            event::push_segment(&mut new, replaced.as_deref().unwrap_or(&segment));
            rest = further;
        }
        builder.key(&new)
    }
}

/// Whether a value says that there is none: no secret is in it.
fn is_nothing(value: Value<'_>) -> bool {
    matches!(value, Value::Null | Value::Bool(_) | Value::Str("") | Value::Raw("[]" | "{}"))
}

/// Shared keys that were filled from what is replaced in the same event.
#[derive(Debug, Default)]
struct Derived {
    /// Which, from which text, and the mark.
    secrets: Vec<(&'static [&'static str], String, String)>,
    /// New texts that were counted, and the keys that follow them.
    counted: Vec<(Vec<&'static str>, String)>,
}

impl Derived {
    fn note_secret(&mut self, path: &str, value: Value<'_>, mark: &str) {
        if let Role::Alias(shared, _) | Role::Source(shared) = role(path) {
            self.secrets.push((shared.columns(), plain(value), mark.to_owned()));
        }
    }

    fn mark_for(&self, path: &str, field: &Field<'_>) -> Option<&str> {
        let derived = |(names, text, _): &&(&'static [&'static str], String, String)| {
            !field.sent && names.contains(&path) && is_from(field.value, text, names)
        };
        self.secrets.iter().find(derived).map(|(_, _, mark)| mark.as_str())
    }

    /// Whether a new text was counted under the name that the shared key was filled from. A value that stands twice, as
    /// a column and as it was sent, is counted once too.
    fn is_counted(&mut self, path: &str, field: &Field<'_>, new: Option<&str>) -> bool {
        let Some(new) = new else { return false };
        let known = self.counted.iter().any(|(names, text)| text == new && names.contains(&path));
        if known {
            return true;
        }
        let names = match role(path) {
            Role::Alias(shared, _) | Role::Source(shared) => shared.columns().to_vec(),
            Role::User => vec!["user"],
            Role::Exception => vec!["exception.message"],
            _ => Vec::new(),
        };
        if !names.is_empty() {
            self.counted.push((names, new.to_owned()));
        }
        field.sent && matches!(role(path), Role::Timestamp | Role::Level)
    }
}

/// Whether a shared key has the value of another name, or a part of it: `GET /pay` fills `method` and `path`. Frames, and
/// durations in another unit, are not in what they were made from: they are taken for it.
fn is_from(value: Value<'_>, source: &str, names: &[&str]) -> bool {
    let text = plain(value);
    let number = |text: &str| text.parse::<f64>().ok();
    text == source
        || (number(&text).is_some() && number(&text) == number(source))
        || (names.len() > 1 && source.contains(&text))
        || matches!((value, names), (Value::Raw(_), [_, _, ..]) | (Value::Float(_), ["duration_ms"]))
}
