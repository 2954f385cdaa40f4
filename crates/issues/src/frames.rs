//! Exceptions and their frames, out of the JSON that an event has of them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::facts::Facts;
use crate::traceback;

/// So many frames are looked at, those next to where it was raised.
pub(crate) const FRAMES_MAX: usize = 200;

/// So many exceptions of a chain are looked at.
pub(crate) const CHAIN_MAX: usize = 20;

/// A function that was being called.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Frame<'a> {
    #[serde(borrow)]
    pub(crate) function: Text<'a>,
    #[serde(borrow)]
    pub(crate) module: Text<'a>,
    #[serde(borrow)]
    pub(crate) file: Text<'a>,
    /// What many clients call the file.
    #[serde(borrow)]
    pub(crate) filename: Text<'a>,
    pub(crate) in_app: Flag,
}

/// An exception of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Exception<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) message: Text<'a>,
    /// Where it was raised last.
    #[serde(borrow)]
    pub(crate) frames: Vec<Frame<'a>>,
}

/// A text; what is none is an empty one, so that no shape of a client's own loses an event its issue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// True or false, or nothing of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) Option<bool>);

/// Takes any JSON value and keeps a text or a truth value.
#[derive(Default)]
struct Any;

enum Taken<'a> {
    Text(Cow<'a, str>),
    Flag(bool),
    Other,
}

impl<'de> Visitor<'de> for Any {
    type Value = Taken<'de>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Taken<'de>, E> {
        Ok(Taken::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Taken<'de>, E> {
        Ok(Taken::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_string<E>(self, text: String) -> Result<Taken<'de>, E> {
        Ok(Taken::Text(Cow::Owned(text)))
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Taken<'de>, E> {
        Ok(Taken::Flag(flag))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Taken<'de>, E> {
        Ok(Taken::Other)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Taken<'de>, E> {
        Ok(Taken::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Taken<'de>, E> {
        Ok(Taken::Other)
    }
    fn visit_unit<E>(self) -> Result<Taken<'de>, E> {
        Ok(Taken::Other)
    }
    fn visit_none<E>(self) -> Result<Taken<'de>, E> {
        Ok(Taken::Other)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Taken<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Taken::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Taken<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Taken::Other)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(Any)? {
            Taken::Text(text) => Self(text),
            Taken::Flag(_) | Taken::Other => Self::default(),
        })
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(Any)? {
            Taken::Flag(flag) => Self(Some(flag)),
            Taken::Text(_) | Taken::Other => Self(None),
        })
    }
}

/// The exceptions of an event, the one that was not caught first. What is not readable is as if it were not there.
pub(crate) fn exceptions<'a>(facts: &Facts<'a>) -> Vec<Exception<'a>> {
    let mut chain: Vec<Exception<'a>> = list(facts.chain);
    chain.truncate(CHAIN_MAX);
    let has_type = !facts.exception_type.is_empty();
    if chain.is_empty() && (has_type || !facts.frames.is_empty()) {
        chain.push(Exception::default());
    }
    if let Some(first) = chain.first_mut() {
        if first.kind.is_empty() {
            first.kind = facts.exception_type.into();
        }
        if first.message.is_empty() {
            first.message = facts.exception_message.into();
        }
        if first.frames.is_empty() {
            first.frames = list(facts.frames);
        }
    }
    if !facts.exception_text.is_empty() {
        of_text(&mut chain, facts.exception_text);
    }
    for one in &mut chain {
        for frame in one.frames.iter_mut().filter(|frame| frame.file.is_empty()) {
            frame.file = std::mem::take(&mut frame.filename);
        }
        let skipped = one.frames.len().saturating_sub(FRAMES_MAX);
        one.frames.drain(..skipped);
    }
    chain
}

/// Adds what only the text has: the type where the door did not find it, and the frames of what a wrapper carries.
fn of_text<'a>(chain: &mut Vec<Exception<'a>>, text: &'a str) {
    let lacks_frames = |one: &Exception<'_>| one.frames.is_empty();
    if traceback::is_of_rust(text) {
        // A door keeps frames with a place alone, which few have in a release.
        *chain = traceback::read(text);
        return;
    }
    let is_whole = chain.first().is_some_and(|first| !first.kind.is_empty() && !is_wrapper(&first.kind));
    if is_whole && !chain.iter().all(lacks_frames) {
        return;
    }
    for (place, one) in traceback::read(text).into_iter().enumerate() {
        let Some(known) = chain.get_mut(place) else {
            chain.push(one);
            continue;
        };
        if known.kind.is_empty() {
            (known.kind, known.message) = (one.kind, one.message);
        }
        if lacks_frames(known) {
            known.frames = one.frames;
        }
    }
}

fn list<'a, T: serde::Deserialize<'a>>(json: &'a str) -> Vec<T> {
    if json.is_empty() { Vec::new() } else { sonic_rs::from_str(json).unwrap_or_default() }
}

/// Whether an exception only carries another one from where it was raised to where it was waited for.
pub(crate) fn is_wrapper(kind: &str) -> bool {
    let name = kind.rsplit(['.', '\\']).next().unwrap_or(kind);
    matches!(
        name,
        "ExecutionException"
            | "CompletionException"
            | "InvocationTargetException"
            | "UndeclaredThrowableException"
            | "NestedServletException"
            | "ServletException"
            | "AggregateException"
            | "TargetInvocationException"
            | "ExceptionGroup"
            | "BaseExceptionGroup"
            | "AggregateError"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_members_are_left_out() {
        let frames = r#"[{"function":"pay","module":null,"file":7,"line":"x","in_app":"yes","vars":{"a":[1]}},{"function":"p\u00e4y","in_app":false}]"#;
        let read = exceptions(&Facts { frames, exception_type: "E", ..Facts::default() });
        assert_eq!(read.len(), 1);
        assert_eq!(&*read[0].frames[0].function, "pay");
        assert_eq!(&*read[0].frames[0].file, "");
        assert_eq!(&*read[0].frames[1].function, "päy");
        assert_eq!(read[0].frames[1].in_app, Flag(Some(false)));
        for broken in ["[", "{}", "[1]", "null", "\"text\""] {
            assert!(exceptions(&Facts { frames: broken, ..Facts::default() })[0].frames.is_empty(), "{broken}");
        }
    }

    #[test]
    fn a_chain_has_the_frames_of_its_first() {
        let facts = Facts {
            chain: r#"[{"type":"ValueError","message":"no"},{"type":"KeyError","message":"'sku'"}]"#,
            frames: r#"[{"function":"pay","file":"a.py"}]"#,
            ..Facts::default()
        };
        let read = exceptions(&facts);
        assert_eq!((read.len(), read[0].frames.len(), read[1].frames.len()), (2, 1, 0));
    }

    #[test]
    fn the_file_of_a_frame_has_either_name() {
        let frames = r#"[{"function":"get","filename":"shop/cart.py","lineno":1},{"function":"f","file":"a.py","filename":"b.py"}]"#;
        let read = exceptions(&Facts { exception_type: "E", frames, ..Facts::default() });
        let files: Vec<&str> = read[0].frames.iter().map(|frame| &*frame.file).collect();
        assert_eq!(files, ["shop/cart.py", "a.py"]);
    }
}
