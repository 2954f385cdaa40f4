//! What stands above the table: the search, what it is narrowed to, other ways to look at it. Plain forms and links.

use engine::url::{LIMIT_DEFAULT, LIMIT_MAX, condition};

use super::html::Html;
use super::query::Query;
use super::table::Table;

/// Lengths of time to choose from.
const SPANS: [(&str, &str); 5] = [("-15m", "15 min"), ("-1h", "1 h"), ("-1d", "24 h"), ("-7d", "7 days"), ("", "all")];

/// Rows of a page to choose from.
const SIZES: [&str; 5] = ["25", "50", "100", "250", "1000"];

/// Operators to choose from, as they are typed and as they are said.
const OPERATORS: [(&str, &str); 12] = [
    ("=", "is"),
    ("!=", "is not"),
    ("~=", "contains"),
    ("!~=", "does not contain"),
    ("*=", "contains, in any case"),
    ("!*=", "does not contain, in any case"),
    (">=", "is at least (≥)"),
    ("<=", "is at most (≤)"),
    (">", "is more than (>)"),
    ("<", "is less than (<)"),
    ("there", "is there"),
    ("missing", "is missing"),
];

/// The search itself. The inputs in the heading of the table belong to it.
pub(super) fn search(html: &mut Html, query: &Query, table: &Table) {
    let mut inputs: Vec<String> = vec!["_q".into(), "_from".into(), "_to".into(), "_limit".into()];
    for column in &table.columns {
        let name = table.asked_as(column);
        inputs.extend(table.inputs(column).iter().map(|(operator, _)| format!("{name}{operator}")));
    }
    // The last value of each is in its input; what else there is goes on as it is.
    let mut kept = query.clone();
    for name in &inputs {
        if let Some(place) = kept.pairs.iter().rposition(|(key, value)| key == name && !value.is_empty()) {
            kept.pairs.remove(place);
        }
    }
    html.raw("<form id=\"f\" class=\"search\" role=\"search\">");
    hidden(html, &kept.without(&[]));
    html.raw("<input type=\"search\" name=\"_q\" aria-label=\"Search\" placeholder=\"Search: timeout, user:bob, status:&gt;=500, level:error, &quot;timed out&quot;\"");
    html.attr("value", query.get("_q").unwrap_or("")).raw(">");
    time(html, query, "_from", "From");
    time(html, query, "_to", "to");
    let limit = LIMIT_DEFAULT.to_string();
    let size = query.get("_limit").unwrap_or(&limit);
    html.raw("<label>Rows <select name=\"_limit\">");
    let unlisted = (!SIZES.contains(&size)).then_some(size);
    for option in unlisted.into_iter().chain(SIZES) {
        let value = if option == limit { "" } else { option };
        html.raw("<option").attr("value", value).raw(if option == size { " selected>" } else { ">" });
        html.text(option).raw("</option>");
    }
    html.raw("</select></label><button>Search</button></form>");
}

fn time(html: &mut Html, query: &Query, name: &'static str, label: &'static str) {
    html.raw("<label>").raw(label).raw(" <input class=\"time\" placeholder=\"-1h, 2026-01-31\"");
    html.attr("name", name).attr("value", query.get(name).unwrap_or("")).raw("></label>");
}

/// What a form of ours sends besides its inputs.
fn hidden(html: &mut Html, kept: &Query) {
    html.raw("<input type=\"hidden\" name=\"_form\" value=\"y\">");
    let kept = kept.string();
    if !kept.is_empty() {
        html.raw("<input type=\"hidden\" name=\"_keep\"").attr("value", &kept).raw(">");
    }
}

/// The conditions, each with a link to the question without it, and the spans of time.
pub(super) fn chips(html: &mut Html, query: &Query) {
    html.raw("<div class=\"chips\"><span>Last");
    for (value, label) in SPANS {
        let link = query.without(&["_from", "_to"]);
        let link = if value.is_empty() { link } else { link.with("_from", value) };
        let is_current = query.get("_from").unwrap_or("") == value && query.get("_to").is_none();
        html.raw(" <a").attr("href", &link.link());
        html.raw(if is_current { " aria-current=\"true\">" } else { ">" }).raw(label).raw("</a>");
    }
    html.raw("</span>");
    for (place, (key, value)) in query.pairs.iter().enumerate() {
        let Some(said) = said(key, value) else { continue };
        let remove = format!("Remove: {said}");
        html.raw("<span class=\"chip\">").text(&said).raw(" <a").attr("href", &query.without_pair(place).link());
        html.attr("aria-label", &remove).attr("title", &remove).raw(">×</a></span>");
    }
    html.raw("</div>");
}

/// A parameter in words; `None` for what narrows nothing.
fn said(key: &str, value: &str) -> Option<String> {
    if let Some(found) = condition(key, value) {
        let sign = match (found.operator, found.value.is_empty()) {
            ("=", true) => return Some(format!("{} is there", found.column)),
            ("!=", true) => return Some(format!("{} is missing", found.column)),
            ("~=", _) => "contains",
            ("*=", _) => "contains, in any case,",
            ("!~=", _) => "lacks",
            ("!*=", _) => "lacks, in any case,",
            ("!=", _) => "≠",
            (">=", _) => "≥",
            ("<=", _) => "≤",
            (other, _) => other,
        };
        return Some(format!("{} {sign} {}", found.column, found.value));
    }
    match key {
        "_by" if value.is_empty() => Some("one group".to_owned()),
        _ if value.is_empty() => None,
        "_by" => Some(format!("by {value}")),
        "_q" => Some(format!("search: {value}")),
        "_from" => Some(format!("from {value}")),
        "_to" => Some(format!("to {value}")),
        _ => None,
    }
}

/// Other things to do with the question, folded away.
pub(super) fn tools(html: &mut Html, log: &str, query: &Query, table: &Table) {
    html.raw("<div class=\"tools\">");
    let mut names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    names.extend(table.others.iter().map(String::as_str));
    html.raw("<datalist id=\"names\">");
    for name in &names {
        html.raw("<option>").text(name).raw("</option>");
    }
    html.raw("</datalist>");
    add_filter(html, query);
    if table.by.is_none() {
        columns(html, query, table);
    }
    groups(html, query);
    downloads(html, log, query);
    html.raw("</div>");
}

fn add_filter(html: &mut Html, query: &Query) {
    html.raw("<details name=\"tools\"><summary>Add a filter</summary><form>");
    hidden(html, &query.without(&[]));
    html.raw("<label>Column <input name=\"_column\" list=\"names\" required></label>");
    html.raw("<label>Test <select name=\"_operator\">");
    for (operator, label) in OPERATORS {
        html.raw("<option").attr("value", operator).raw(">").raw(label).raw("</option>");
    }
    html.raw("</select></label><label>Value <input name=\"_value\"></label><button>Add</button></form></details>");
}

fn columns(html: &mut Html, query: &Query, table: &Table) {
    html.raw("<details name=\"tools\"><summary>Columns</summary><form>");
    hidden(html, &query.without(&["_c"]));
    html.raw("<fieldset><legend>Columns of the table</legend>");
    let shown = table.columns.iter().map(|column| (&column.name, true));
    for (name, is_shown) in shown.chain(table.others.iter().map(|name| (name, false))) {
        // A minus before a name would drop the column instead.
        if !name.starts_with('-') {
            html.raw("<label class=\"box\"><input type=\"checkbox\" name=\"_c\"").attr("value", name);
            html.raw(if is_shown { " checked>" } else { ">" }).text(name).raw("</label>");
        }
    }
    html.raw("</fieldset><button>Show these</button> ");
    html.link(&query.without(&["_c"]).link(), "Choose for me").raw("</form></details>");
}

fn groups(html: &mut Html, query: &Query) {
    let is_group = query.has("_by");
    html.raw("<details name=\"tools\"><summary>Group</summary><form>");
    hidden(html, &query.conditions());
    for place in 0..2 {
        let by = query.pairs.iter().filter(|(key, _)| key == "_by").nth(place).map_or("", |(_, value)| value);
        html.raw(if place == 0 { "<label>One row for each " } else { "<label>and each " });
        html.raw("<input name=\"_by\" list=\"names\"").attr("value", by).raw("></label>");
    }
    let computed: Vec<&str> = query
        .pairs
        .iter()
        .filter(|(key, value)| key == "_c" && is_group && !value.starts_with('-'))
        .map(|(_, value)| value.as_str())
        .collect();
    for place in 0..3 {
        html.raw(if place == 0 { "<label>with " } else { "<label>, " });
        html.raw("<input name=\"_c\" placeholder=\"count, status|max\"")
            .attr("value", computed.get(place).copied().unwrap_or(""));
        html.raw("></label>");
    }
    html.raw("<button>Group</button>");
    if is_group {
        html.raw(" ").link(&query.conditions().link(), "Events instead");
    }
    html.raw("<p class=\"hint\">count, or a column with |count |min |max |avg |sum |first |last |distinct |median |p90 |p95 |p99</p></form></details>");
}

fn downloads(html: &mut Html, log: &str, query: &Query) {
    html.raw("<details name=\"tools\"><summary>Download</summary><p>Up to ")
        .count(LIMIT_MAX as u64)
        .raw(" rows of this question: ");
    for (format, label) in [("csv", "CSV"), ("xlsx", "Excel"), ("ndjson", "NDJSON"), ("json", "JSON")] {
        let file = query.without(&["_format", "_limit", "_download"]).with("_format", format);
        let file = file.with("_limit", &LIMIT_MAX.to_string()).with("_download", log);
        html.link(&file.link(), label).raw(" ");
    }
    html.raw("</p></details>");
}
