//! Discord's webhook: an embed. `allowed_mentions` with nothing in it keeps everybody from being called, and what
//! Discord reads as markup has a backslash before it.

use serde_json::{Value, json};

use super::Shown;
use crate::clean::{cut_units, units};
use crate::notice::Notice;

/// Discord's bounds. It says characters, and these are units of UTF-16, which are never fewer.
const CONTENT_MAX: usize = 2000;
const TITLE_MAX: usize = 256;
const NAME_MAX: usize = 256;
const VALUE_MAX: usize = 1024;
const FIELDS_MAX: usize = 25;
/// All texts of a message's embeds together may have 6000; this leaves room for the labels.
const ALL_MAX: usize = 5500;
/// What is quoted gets this much each, the message and what came before.
const QUOTED_MAX: usize = 1500;

/// The body of the POST.
#[must_use]
pub fn discord(notice: &Notice) -> Value {
    let shown = Shown::of(notice);
    let title = if shown.title.is_empty() { shown.says.clone() } else { format!("{}: {}", shown.says, shown.title) };
    let title = escaped(&title, TITLE_MAX);
    let mut quoted: Vec<String> = Vec::new();
    for (label, lines) in [("", &shown.message), (shown.trail_label, &shown.trail)] {
        if !lines.is_empty() {
            // In a fence nothing is read but its end.
            let text = cut_units(&lines.join("\n").replace('`', "'"), QUOTED_MAX);
            quoted.push(format!("{label}\n```\n{text}\n```"));
        }
    }
    let description = quoted.join("\n");
    let mut room = ALL_MAX.saturating_sub(units(&title) + units(&description));
    let mut fields = Vec::new();
    for row in shown.rows.iter().take(FIELDS_MAX) {
        let (name, value) = (escaped(&row.label, NAME_MAX), escaped(&row.value, VALUE_MAX));
        let size = units(&name) + units(&value);
        if size <= room {
            room -= size;
            fields.push(json!({"name": name, "value": value, "inline": row.value.chars().count() < 40}));
        }
    }
    let mut embed = json!({
        "title": title,
        "description": description.trim(),
        "color": shown.color.rgb(),
        "timestamp": notice.time.to_string(),
        "fields": fields,
    });
    if let (Some(link), Some(embed)) = (shown.link, embed.as_object_mut()) {
        embed.insert("url".to_owned(), json!(link));
    }
    json!({
        "content": escaped(&notice.headline(), CONTENT_MAX),
        "allowed_mentions": {"parse": []},
        "embeds": [embed],
    })
}

/// With a backslash before what is markup, and so long at most.
fn escaped(text: &str, units_max: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut count = 0;
    for letter in text.chars() {
        let is_markup =
            letter.is_ascii_punctuation() && !matches!(letter, '.' | ',' | '\'' | '"' | '/' | '?' | '%' | '=');
        let size = letter.len_utf16() + usize::from(is_markup);
        if count + size > units_max - 1 {
            out.push('…');
            break;
        }
        if is_markup {
            out.push('\\');
        }
        out.push(letter);
        count += size;
    }
    out
}
