//! Server-sent events: a stream of lines, in which an empty one ends an event.

/// One event of the stream.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Message {
    /// What kind it is; empty for an ordinary one.
    pub(super) kind: String,
    /// Where to go on after it, if the server said so.
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// Cuts the stream into its events, whatever the pieces in which it comes.
#[derive(Default, Debug)]
pub(super) struct Messages {
    partial: Vec<u8>,
    open: Message,
    has_data: bool,
}

impl Messages {
    /// Takes the next piece of the stream, and gives the events that it completes.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<Message> {
        let mut complete = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            let line = std::mem::take(&mut self.partial);
            complete.extend(self.line(line.strip_suffix(b"\r").unwrap_or(&line)));
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
        complete
    }

    /// Takes a line; an empty one ends the event.
    fn line(&mut self, line: &[u8]) -> Option<Message> {
        let open = &mut self.open;
        if line.is_empty() {
            let message = std::mem::take(open);
            return std::mem::take(&mut self.has_data).then_some(message);
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" if value != "message" => value.clone_into(&mut open.kind),
            "id" => open.id = Some(value.to_owned()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    open.data.push('\n');
                }
                open.data.push_str(value);
            }
            // Comments keep the connection alive; other fields are for browsers.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Messages};

    #[test]
    fn events_comments_and_pieces() {
        let mut messages = Messages::default();
        let mut all = Vec::new();
        for piece in [": hello\n\nid: 7\nda", "ta: {\"a\":1}\r\n\r\nevent: missed\ndata: 3\ndata:4\n", "\n\ndata: open"]
        {
            all.extend(messages.push(piece.as_bytes()));
        }
        let first = Message { id: Some("7".to_owned()), data: "{\"a\":1}".to_owned(), ..Message::default() };
        let second = Message { kind: "missed".to_owned(), data: "3\n4".to_owned(), ..Message::default() };
        assert_eq!(all, [first, second]);
    }
}
