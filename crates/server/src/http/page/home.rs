//! The first page: which logs there are.

use engine::LogInfo;

use super::html::Html;
use super::table::write_time;

pub(super) fn write(html: &mut Html, logs: &[LogInfo]) {
    if logs.iter().all(|log| log.size.events == 0) {
        html.raw("<p class=\"remark\">There are no events yet. Send the first:</p>");
        html.raw("<pre>everlog log INFO alice@example.com \"Hello.\"</pre>");
    }
    html.raw("<div class=\"scroll\"><table class=\"logs\"><thead><tr><th scope=\"col\">log</th><th scope=\"col\" class=\"n\">events</th>");
    html.raw("<th scope=\"col\" class=\"n\">on disk</th><th scope=\"col\">first event</th><th scope=\"col\">last event</th></tr></thead><tbody>\n");
    for log in logs {
        let path = format!("/api/v1/logs/{}/events?_format=html", log.name);
        html.raw("<tr><td data-k=\"log\">")
            .link(&path, &log.name)
            .raw("</td><td class=\"n\" data-k=\"events\">")
            .count(log.size.events);
        html.raw("</td><td class=\"n\" data-k=\"on disk\">").text(&bytes(log.size.bytes));
        for (label, moment) in [("first event", log.size.first), ("last event", log.size.last)] {
            html.raw("</td><td class=\"t\"").attr("data-k", label).raw(">");
            if let Some(moment) = moment {
                write_time(html, &moment.to_string(), 0);
            }
        }
        html.raw("</td></tr>\n");
    }
    html.raw("</tbody></table></div>");
    html.raw("<p>").link("/issues", "Issues: what went wrong").raw("</p>");
    html.raw("<details><summary>For programs</summary><pre>");
    html.text(crate::http::health::DOORS).raw("</pre></details>");
}

fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{size} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}
