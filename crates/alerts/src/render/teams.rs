//! Microsoft Teams: an Adaptive Card in the message that a workflow's webhook takes.
//!
//! Texts from outside stand in text runs, the one element of a card in which no Markdown is read. Nobody can be called:
//! that takes an entry in `msteams.entities`, of which there is none.

use serde_json::{Value, json};

use super::{Color, Shown};
use crate::clean::cut;
use crate::notice::Notice;

/// Teams takes 28 kB. The facts get this much of it, in bytes,
const ROWS_BYTES_MAX: usize = 10_000;
/// and what is quoted this much each, in characters of up to four bytes.
const QUOTED_MAX: usize = 1200;

/// The body of the POST.
#[must_use]
pub fn teams(notice: &Notice) -> Value {
    let shown = Shown::of(notice);
    let color = match shown.color {
        Color::Red => "attention",
        Color::Amber => "warning",
        Color::Green => "good",
        Color::Blue => "accent",
    };
    let mut body = vec![rich(&[json!({"type": "TextRun", "text": shown.says, "weight": "bolder", "color": color})])];
    if !shown.title.is_empty() {
        body.push(rich(&[json!({"type": "TextRun", "text": shown.title, "size": "large", "weight": "bolder"})]));
    }
    let mut room = ROWS_BYTES_MAX;
    for row in &shown.rows {
        let label = json!({"type": "TextRun", "text": format!("{}: ", row.label), "isSubtle": true});
        let block = rich(&[label, json!({"type": "TextRun", "text": row.value})]);
        let size = block.to_string().len();
        if size <= room {
            room -= size;
            body.push(block);
        }
    }
    for (label, lines) in [("Message", &shown.message), (shown.trail_label, &shown.trail)] {
        if !lines.is_empty() {
            let text = cut(&lines.join("\n"), QUOTED_MAX);
            body.push(rich(&[json!({"type": "TextRun", "text": label, "isSubtle": true})]));
            body.push(rich(&[json!({"type": "TextRun", "text": text, "fontType": "monospace"})]));
        }
    }
    let actions: Vec<Value> = shown
        .link
        .iter()
        .map(|link| json!({"type": "Action.OpenUrl", "title": "Open in Everlog", "url": link}))
        .collect();
    json!({
        "type": "message",
        "summary": notice.headline(),
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": body,
                "actions": actions,
            },
        }],
    })
}

fn rich(inlines: &[Value]) -> Value {
    json!({"type": "RichTextBlock", "inlines": inlines})
}
