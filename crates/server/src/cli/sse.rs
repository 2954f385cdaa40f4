//! Server-sent events: a stream of lines, in which an empty one ends an event.

use super::pages::LineSplitter;

/// One event of the stream.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Message {
    /// What kind it is; empty for an ordinary one.
    pub(super) kind: String,
    /// Where to go on after it, if the server said so.
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// Cuts the stream into its events.
#[derive(Default, Debug)]
pub(super) struct Messages {
    splitter: LineSplitter,
    open: Message,
    has_data: bool,
}

impl Messages {
    /// Takes the next piece of the stream, and gives the events that it completes.
    pub(super) fn push(&mut self, piece: &[u8]) -> anyhow::Result<Vec<Message>> {
        let Self { splitter, open, has_data } = self;
        let mut complete = Vec::new();
        splitter.push(piece, &mut |line| {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
            if line.is_empty() {
                let message = std::mem::take(open);
                if std::mem::take(has_data) {
                    complete.push(message);
                }
                return Ok(());
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" if value != "message" => value.clone_into(&mut open.kind),
                "id" => open.id = Some(value.to_owned()),
                "data" => {
                    if *has_data {
                        open.data.push('\n');
                    }
                    open.data.push_str(value);
                    *has_data = true;
                }
                // Comments keep the connection alive; other fields are for browsers.
                _ => {}
            }
            Ok(())
        })?;
        Ok(complete)
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Messages};

    #[test]
    fn events_comments_and_pieces() {
        let mut messages = Messages::default();
        let mut all = Vec::new();
        for piece in [": hello\n\nid: 7\nda", "ta: {\"a\":1}\r\n\r\nevent: missed\ndata: 3\ndata:4\n", "\n\ndata: open"] {
            all.extend(messages.push(piece.as_bytes()).unwrap());
        }
        let first = Message { id: Some("7".to_owned()), data: "{\"a\":1}".to_owned(), ..Message::default() };
        let second = Message { kind: "missed".to_owned(), data: "3\n4".to_owned(), ..Message::default() };
        assert_eq!(all, [first, second]);
    }
}
