//! A mail: a subject, a text, and the same as calm HTML that needs neither images nor style sheets.

use super::{Shown, html};
use crate::clean::cut;
use crate::notice::Notice;

/// Longest subject, in characters: programs for mail show no more.
const SUBJECT_MAX: usize = 180;

const PRE: &str = "margin:0;padding:12px;background:#f5f5f5;white-space:pre-wrap;font:12px/1.5 monospace";

/// The parts of a mail. Sender, receivers, date and Message-ID are those of whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// One line, not yet encoded for the header.
    pub subject: String,
    /// The part `text/plain; charset=utf-8`.
    pub text: String,
    /// The part `text/html; charset=utf-8`.
    pub html: String,
}

/// The parts of the mail.
#[must_use]
pub fn email(notice: &Notice) -> Email {
    let shown = Shown::of(notice);
    Email { subject: cut(&notice.headline(), SUBJECT_MAX), text: text(&shown), html: page(&shown) }
}

/// Facts begin at the margin, and what is quoted never does: so it cannot pass for a fact.
fn text(shown: &Shown) -> String {
    let mut parts = vec![format!("{}\n", shown.says)];
    if !shown.title.is_empty() {
        parts.push(format!("\n    {}\n", shown.title));
    }
    parts.push("\n".to_owned());
    parts.extend(shown.rows.iter().map(|row| format!("{}: {}\n", row.label, row.value)));
    for (label, lines) in quoted(shown) {
        parts.push(format!("\n{label}:\n"));
        parts.extend(lines.iter().map(|entry| format!("{}\n", format!("    {entry}").trim_end())));
    }
    parts.extend(shown.link.iter().map(|link| format!("\n{link}\n")));
    parts.concat()
}

/// The message and what came before, where there is something.
fn quoted(shown: &Shown) -> impl Iterator<Item = (&'static str, &[String])> {
    let both = [("Message", shown.message.as_slice()), (shown.trail_label, shown.trail.as_slice())];
    both.into_iter().filter(|(_, lines)| !lines.is_empty())
}

fn page(shown: &Shown) -> String {
    let color = shown.color.rgb();
    let mut parts = vec![
        "<!doctype html>\n<html><body style=\"margin:0;padding:24px;font:14px/1.5 sans-serif;color:#222\">\n"
            .to_owned(),
        format!("<p style=\"margin:0;color:#{color:06x};font-weight:bold\">{}</p>\n", html(&shown.says)),
    ];
    if !shown.title.is_empty() {
        parts.push(format!("<h1 style=\"margin:4px 0 16px;font-size:18px\">{}</h1>\n", html(&shown.title)));
    }
    parts.push("<table style=\"border-collapse:collapse\">\n".to_owned());
    parts.extend(shown.rows.iter().map(|row| {
        let (label, value) = (html(&row.label), html(&row.value));
        format!("<tr><td style=\"padding:2px 16px 2px 0;color:#666\">{label}</td><td>{value}</td></tr>\n")
    }));
    parts.push("</table>\n".to_owned());
    for (label, lines) in quoted(shown) {
        let text = lines.iter().map(|entry| html(entry)).collect::<Vec<_>>().join("\n");
        parts.push(format!("<p style=\"margin:16px 0 4px;color:#666\">{label}</p>\n"));
        parts.push(format!("<pre style=\"{PRE}\">{text}</pre>\n"));
    }
    parts.extend(
        shown
            .link
            .iter()
            .map(|link| format!("<p style=\"margin:16px 0\"><a href=\"{}\">Open in Everlog</a></p>\n", html(link))),
    );
    parts.push("</body></html>\n".to_owned());
    parts.concat()
}
