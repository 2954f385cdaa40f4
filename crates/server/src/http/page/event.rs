//! One event, whole: each value with a link to the events that have it too, and the document as it was sent.

use std::time::Duration;

use serde_json::Value;

use super::html::{Html, cut};
use super::query::{Query, is_plain};
use super::table::{Row, shown, write_level, write_time};

/// Characters of a value in the list; all of it is in the document below.
const VALUE_CHARACTERS: usize = 4000;

/// Characters of a value by which others like it are looked for.
const LINK_CHARACTERS: usize = 300;

/// How much before and after an event is around it.
const AROUND: Duration = Duration::from_secs(60);

pub(super) fn write(html: &mut Html, row: &Row, document: &Value, query: &Query) {
    let all = query.kept(|key, _| key == "_format");
    html.raw("<nav class=\"pager\">").link(&all.link(), "All events");
    if let Some((from, to)) = row.iter().find(|(name, _)| name == "timestamp").and_then(|(_, value)| around(value)) {
        html.raw(" ").link(&all.clone().with("_from", &from).with("_to", &to).link(), "Events within a minute of it");
    }
    html.raw("</nav><div class=\"scroll\"><table class=\"event\"><tbody>");
    for (name, value) in row {
        html.raw("<tr><th scope=\"row\">").text(name).raw("</th><td>");
        let text = shown(value);
        match (name.as_str(), value) {
            (_, Value::Null) => {
                html.raw("<i>null</i>");
            }
            ("timestamp" | "received", _) => write_time(html, &text, 6),
            ("level", _) => write_level(html, &text),
            _ => {
                let (text, is_cut) = cut(&text, VALUE_CHARACTERS);
                html.text(text).raw(if is_cut { "…" } else { "" });
            }
        }
        html.raw("</td><td>");
        let is_list = matches!(value, Value::Array(_) | Value::Object(_) | Value::Null);
        if is_plain(name) && !is_list && name != "id" && !text.is_empty() && !cut(&text, LINK_CHARACTERS).1 {
            let like = all.clone().with(name, &text).link();
            html.raw("<a").attr("href", &like).attr("title", &format!("Events with the same {name}")).raw(">same</a>");
        }
        html.raw("</td></tr>\n");
    }
    html.raw("</tbody></table></div><details open><summary>As JSON</summary><pre>");
    html.text(&serde_json::to_string_pretty(document).unwrap_or_default()).raw("</pre></details>");
}

fn around(value: &Value) -> Option<(String, String)> {
    let moment: jiff::Timestamp = value.as_str()?.parse().ok()?;
    let (before, after) = (moment.checked_sub(AROUND).ok()?, moment.checked_add(AROUND).ok()?);
    Some((before.to_string(), after.to_string()))
}
