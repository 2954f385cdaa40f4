//! A notice as each channel shows it. A text from outside is shown, and never obeyed: it cannot call anybody, set a link,
//! end a line or pass for one of our own facts.

mod discord;
mod email;
mod slack;
mod teams;
mod telegram;
mod webhook;

pub use discord::discord;
pub use email::{Email, email};
pub use slack::slack;
pub use teams::teams;
pub use telegram::telegram;
pub use webhook::webhook;

use event::{Level, Timestamp};

use crate::clean::{cut, line, lines};
use crate::notice::{FACT_CHARACTERS_MAX, FACTS_MAX, MESSAGE_CHARACTERS_MAX, Notice, TITLE_CHARACTERS_MAX, TRAIL_MAX};
use crate::trigger::grouped;

/// Longest link, in bytes and escaped: what is longer is none of ours, and would not fit everywhere.
const LINK_BYTES_MAX: usize = 2000;

/// A label of ours, or of a fact, and its value; both one line.
struct Row {
    label: String,
    value: String,
}

/// What every channel shows, in this order, made one-line and bounded, not yet escaped.
struct Shown {
    /// `New issue`
    says: String,
    /// `division by zero`
    title: String,
    rows: Vec<Row>,
    message: Vec<String>,
    trail_label: &'static str,
    trail: Vec<String>,
    link: Option<String>,
    color: Color,
}

/// How bad it is, at a glance.
#[derive(Clone, Copy)]
enum Color {
    Red,
    Amber,
    Green,
    Blue,
}

impl Color {
    fn rgb(self) -> u32 {
        match self {
            Self::Red => 0x00c0_392b,
            Self::Amber => 0x00b9_770e,
            Self::Green => 0x0027_8a4b,
            Self::Blue => 0x002e_6da4,
        }
    }
}

impl Shown {
    fn of(notice: &Notice) -> Self {
        let shown_line = |text: &str| cut(&line(text), FACT_CHARACTERS_MAX);
        let message = notice.message.as_deref().filter(|message| line(message) != line(&notice.title));
        let is_digest = notice.trigger.on() == crate::On::Digest;
        let trail = notice.trail.iter().take(TRAIL_MAX).map(|entry| shown_line(entry));
        Self {
            says: notice.says(),
            title: cut(&line(&notice.title), TITLE_CHARACTERS_MAX),
            rows: rows(notice),
            message: lines(&cut(message.unwrap_or_default(), MESSAGE_CHARACTERS_MAX)),
            trail_label: if is_digest { "Held back" } else { "Before it" },
            trail: trail.filter(|entry| !entry.is_empty()).collect(),
            link: notice.link.as_deref().and_then(link),
            color: color(notice),
        }
    }
}

fn color(notice: &Notice) -> Color {
    if notice.resolved {
        return Color::Green;
    }
    match notice.level {
        Some(Level::Critical | Level::Error) => Color::Red,
        Some(Level::Warning) => Color::Amber,
        Some(_) => Color::Blue,
        None if notice.trigger.on() == crate::On::Digest => Color::Blue,
        None => Color::Amber,
    }
}

fn rows(notice: &Notice) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut push = |label: &str, value: Option<&str>| {
        let value = value.map(|value| cut(&line(value), FACT_CHARACTERS_MAX)).filter(|value| !value.is_empty());
        // Discord takes no field without a name.
        let label = Some(cut(&line(label), 60)).filter(|label| !label.is_empty()).unwrap_or_else(|| "?".to_owned());
        rows.extend(value.map(|value| Row { label, value }));
    };
    let request = match (&notice.method, &notice.path) {
        (Some(method), Some(path)) => Some(format!("{method} {path}")),
        (None, Some(path)) => Some(path.clone()),
        _ => None,
    };
    push("Environment", notice.environment.as_deref());
    push("Log", Some(&notice.log));
    push("Level", notice.level.map(|level| level.name()));
    push("Request", request.as_deref());
    push("Occurrences", notice.occurrences.map(grouped).as_deref());
    push("Users", notice.users.map(grouped).as_deref());
    push("Release", notice.release.as_deref());
    push("Suspected deploy", notice.suspect_deploy.as_deref());
    for fact in notice.facts.iter().take(FACTS_MAX) {
        push(&fact.label, Some(&fact.value));
    }
    let other = |moment: Option<Timestamp>| moment.filter(|moment| *moment != notice.time).map(seconds);
    push("First seen", other(notice.first_seen).as_deref());
    push("Last seen", other(notice.last_seen).as_deref());
    let is_digest = notice.trigger.on() == crate::On::Digest;
    let held = (notice.held > 0 && !is_digest).then(|| format!("{} more since the last notice", grouped(notice.held)));
    push("Held back", held.as_deref());
    push("Time", Some(&seconds(notice.time)));
    rows
}

/// `2026-01-02 03:04:05 UTC`
fn seconds(moment: Timestamp) -> String {
    let text = moment.to_string();
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{} UTC", whole.replace('T', " ")))
}

/// A link that may be shown: of the web, without anything that could end it.
fn link(text: &str) -> Option<String> {
    let web = ["http://", "https://"].iter().any(|start| text.starts_with(start));
    let ends = |byte: u8| matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`' | b'|');
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !ends(byte));
    (web && plain && html(text).len() <= LINK_BYTES_MAX).then(|| text.to_owned())
}

/// Markup characters of HTML as entities; good for text and for values of attributes.
fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}
