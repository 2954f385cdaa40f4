//! Events of doors with a shape of their own: shared keys that the door fills, and the payload as it was sent beside them.

use event::limits::{DEPTH_MAX, REQUEST_EVENTS_MAX};
use event::{Timestamp, Value};

use crate::decode::{Decoder, Reason, Walked, is_too_deep};
use crate::normalise::{Kept, Noticed};

/// Longest name of an event that is made of another name, in characters.
const NAME_MAX: usize = 200;

/// One event while a door fills it.
#[derive(Debug)]
pub(crate) struct Shaped<'d, 'a> {
    decoder: &'d mut Decoder,
    noticed: Noticed<'a>,
    /// Whether payloads are read by a reader that takes the last of a key that occurs twice.
    careful: bool,
    repeated: bool,
}

impl<'a> Shaped<'_, 'a> {
    /// A text under a path; nothing when it is empty. The first value of a path is kept.
    pub(crate) fn text(&mut self, path: &str, text: &'a str) {
        if !text.is_empty() {
            self.put(path, Kept::Value(Value::text(text)));
        }
    }

    /// The same for a text that was put together here.
    pub(crate) fn owned(&mut self, path: &str, text: String) {
        if !text.is_empty() {
            self.put(path, Kept::Text(text));
        }
    }

    /// A value under a path; nothing for null.
    pub(crate) fn value(&mut self, path: &str, value: Value<'a>) {
        if value != Value::Null {
            self.put(path, Kept::Value(value));
        }
    }

    /// When it happened.
    pub(crate) fn at(&mut self, moment: Timestamp) {
        self.noticed.at(moment);
    }

    /// The same for a value of any kind, also null or an empty text.
    pub(crate) fn put(&mut self, path: &str, kept: Kept<'a>) {
        self.decoder.keep(path, kept, &mut self.noticed);
    }

    /// A list that was put together here, as JSON.
    pub(crate) fn list(&mut self, path: &str, json: String) {
        self.put(path, Kept::Raw(json));
    }

    /// What was sent, as JSON of any kind, under a path. `id`, `timestamp` and such within it mean nothing there.
    ///
    /// # Errors
    /// When it is no JSON, or nested too deeply.
    pub(crate) fn json(&mut self, path: &str, raw: &str) -> Result<(), Reason> {
        if is_too_deep(raw, DEPTH_MAX - 1) {
            return Err(Reason::TooDeep);
        }
        let single;
        let mut raw = raw.trim();
        if self.careful {
            let read = serde_json::from_str::<serde_json::Value>(raw);
            single = read.map_err(|error| Reason::NotJson { message: error.to_string() })?.to_string();
            raw = &single;
        }
        let mut noticed = Noticed::new();
        let whole = if raw.starts_with('{') && !raw[1..].trim_start().starts_with('}') {
            self.decoder.walk(raw, &mut path.to_owned(), 1, &mut noticed)? == Walked::Whole
        } else {
            self.decoder.leaf(path, raw, &mut noticed)?
        };
        self.repeated |= !whole;
        Ok(())
    }
}

/// The path of an absolute URL, with what follows it.
pub(crate) fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let path = &rest[rest.find(['/', '?', '#'])?..];
    path.starts_with('/').then_some(path)
}

/// A name as the names of events are written: `Cart Opened` and `cartOpened` are `cart_opened`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut after_small = false;
    for character in name.chars().take(NAME_MAX) {
        let is_part = character.is_alphanumeric();
        let begins = !is_part || (character.is_uppercase() && after_small);
        if begins && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        if is_part {
            snake.extend(character.to_lowercase());
        }
        after_small = character.is_lowercase() || character.is_numeric();
    }
    snake.truncate(snake.trim_end_matches('_').len());
    snake
}

impl Decoder {
    /// Adds one event, or refuses it. `bytes` is its size as sent; `fill` may be called twice and does the same then.
    pub(crate) fn shaped<'a>(&mut self, bytes: usize, fill: impl Fn(&mut Shaped<'_, 'a>) -> Result<(), Reason>) {
        match self.try_shaped(bytes, fill) {
            Ok(()) => self.kept_one(),
            Err(reason) => {
                self.builder.rollback();
                self.refuse(reason);
            }
        }
    }

    fn try_shaped<'a>(
        &mut self,
        bytes: usize,
        fill: impl Fn(&mut Shaped<'_, 'a>) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let bytes_max = self.limits.event_bytes_max;
        if self.kept >= REQUEST_EVENTS_MAX {
            return Err(Reason::BatchFull);
        }
        if bytes > bytes_max {
            return Err(Reason::TooLarge { bytes, bytes_max });
        }
        for careful in [false, true] {
            let mut shaped = Shaped { decoder: self, noticed: Noticed::new(), careful, repeated: false };
            fill(&mut shaped)?;
            let Shaped { noticed, repeated, .. } = shaped;
            if careful || !repeated {
                self.complete(noticed)?;
                return Ok(());
            }
            // A key that occurs twice: the last one counts, as in every common reader.
            self.builder.rollback();
        }
        Ok(())
    }
}
