//! Telegram's `sendMessage`, with its HTML: four tags, everything else escaped. Texts from outside stand in `code`, as it
//! makes links of addresses elsewhere. A name after `@` would call somebody without any tag, so an invisible mark parts the two.

use serde_json::{Value, json};

use super::{Shown, html};
use crate::clean::units;
use crate::notice::Notice;

/// Telegram's bound for a text: 4096 units of UTF-16, counted after its tags are read. Counted with them it is on the safe side.
const TEXT_MAX: usize = 4096;

/// The body of the POST to `https://api.telegram.org/bot<token>/sendMessage`.
#[must_use]
pub fn telegram(notice: &Notice, chat: &str) -> Value {
    let shown = Shown::of(notice);
    let link = shown.link.as_ref().map(|link| format!("\n\n<a href=\"{}\">Open in Everlog</a>", html(link)));
    let mut text = format!("<b>{}</b>", escape(&shown.says));
    let mut room = TEXT_MAX - units(&text) - link.as_deref().map_or(0, units);
    let mut push = |piece: String| {
        if units(&piece) <= room {
            room -= units(&piece);
            text.push_str(&piece);
        }
    };
    if !shown.title.is_empty() {
        push(format!("\n<code>{}</code>\n", escape(&shown.title)));
    }
    for row in &shown.rows {
        push(format!("\n{}: <code>{}</code>", escape(&row.label), escape(&row.value)));
    }
    for (label, lines) in [("Message", &shown.message), (shown.trail_label, &shown.trail)] {
        if !lines.is_empty() {
            push(format!("\n\n{label}"));
            for entry in lines.iter().filter(|entry| !entry.is_empty()) {
                push(format!("\n<code>{}</code>", escape(entry)));
            }
        }
    }
    if let Some(link) = link {
        text.push_str(&link);
    }
    json!({
        "chat_id": chat,
        "text": text,
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": true},
    })
}

fn escape(text: &str) -> String {
    html(text).replace('@', "@\u{2060}")
}
