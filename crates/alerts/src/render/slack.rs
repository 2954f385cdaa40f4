//! Slack's incoming webhook: a text for the notification, and blocks for the channel.
//!
//! `&`, `<` and `>` are escaped everywhere, without which nothing can call `<!channel>` or set a link. Values stand in
//! plain text, in which Slack reads no markup.

use serde_json::{Value, json};

use super::Shown;
use crate::clean::units;
use crate::notice::Notice;

/// Slack's bound for the text of a header. It says characters, and these are units of UTF-16, which are never fewer.
const HEADER_MAX: usize = 150;
/// Slack's bound for a text in a section is 3000; escaping makes up to five characters of one.
const TEXT_MAX: usize = 3000;
/// Slack's bounds for a field, and for the fields of one section.
const FIELD_MAX: usize = 2000;
const FIELDS_MAX: usize = 10;
/// Slack's bound for the blocks of a message.
const BLOCKS_MAX: usize = 50;

/// The body of the POST.
#[must_use]
pub fn slack(notice: &Notice) -> Value {
    let shown = Shown::of(notice);
    let mut blocks =
        vec![json!({"type": "header", "text": plain(&format!("{}: {}", shown.says, shown.title), HEADER_MAX)})];
    if shown.title.is_empty() {
        blocks = vec![json!({"type": "header", "text": plain(&shown.says, HEADER_MAX)})];
    }
    for rows in shown.rows.chunks(FIELDS_MAX) {
        let fields: Vec<Value> =
            rows.iter().map(|row| plain(&format!("{}\n{}", row.label, row.value), FIELD_MAX)).collect();
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if !shown.message.is_empty() {
        blocks.push(json!({"type": "section", "text": fenced("", &shown.message)}));
    }
    if !shown.trail.is_empty() {
        blocks.push(json!({"type": "section", "text": fenced(shown.trail_label, &shown.trail)}));
    }
    if let Some(link) = &shown.link {
        let link = escape(link);
        let text = json!({"type": "mrkdwn", "text": format!("<{link}|Open in Everlog>"), "verbatim": true});
        blocks.push(json!({"type": "section", "text": text}));
    }
    blocks.truncate(BLOCKS_MAX);
    json!({
        "text": short(&notice.headline(), TEXT_MAX),
        "mrkdwn": false,
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

fn plain(text: &str, units_max: usize) -> Value {
    json!({"type": "plain_text", "text": short(text, units_max), "emoji": false})
}

/// Lines as they are, in which no markup is read; a backtick would end it.
fn fenced(label: &str, lines: &[String]) -> Value {
    let text = lines.join("\n").replace('`', "'");
    let label = if label.is_empty() { String::new() } else { format!("{label}\n") };
    let text = short(&text, TEXT_MAX - 100);
    json!({"type": "mrkdwn", "text": format!("{label}```{text}```"), "verbatim": true})
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escaped, and so long at most when it is: an entity is not cut in the middle.
fn short(text: &str, units_max: usize) -> String {
    let escaped = escape(text);
    if units(&escaped) <= units_max {
        return escaped;
    }
    let mut room = units_max - 1;
    let fits = |letter: &char| {
        let size = match letter {
            '&' => 5,
            '<' | '>' => 4,
            other => other.len_utf16(),
        };
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    let kept: String = text.chars().take_while(fits).chain(['…']).collect();
    escape(&kept)
}
