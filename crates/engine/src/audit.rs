//! What was done to Everlog itself, and by whom: events of the stream AUDIT.

use std::sync::mpsc::channel;

use event::{Level, Value};

use crate::internal::Said;
use crate::{Engine, Grant, WriteError};

/// Something that was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed<'a> {
    /// Its name, such as `stream_added`.
    pub(crate) event: &'a str,
    /// Who did it.
    pub(crate) by: &'a Grant,
    /// The same in words.
    pub(crate) message: &'a str,
    /// What it was done to.
    pub(crate) fields: &'a [(&'a str, Value<'a>)],
}

impl Engine {
    /// Writes down what was done, and waits until that is durable. Not to be called by the writer.
    pub(crate) fn audit(&self, log: &str, deed: &Deed<'_>) -> Result<(), WriteError> {
        let by = deed.by.name();
        let mut fields = deed.fields.to_vec();
        if !deed.by.label().is_empty() {
            fields.push(("token_label", Value::Str(deed.by.label())));
        }
        let said = Said {
            stream: "AUDIT",
            level: Level::Notice,
            event: deed.event,
            message: deed.message,
            user: &by,
            id: None,
            fields: &fields,
        };
        let (sender, receiver) = channel();
        let log = self.log(log).unwrap_or_else(|_| self.internal_log());
        // When the other end is gone, nobody waits for the answer.
        self.accept(log, said.decoded(self.clock.now()), None, move |result| drop(sender.send(result)));
        receiver.recv().unwrap_or(Err(WriteError::Stopping)).map(drop)
    }
}
