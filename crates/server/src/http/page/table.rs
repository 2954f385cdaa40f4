//! The table of a page: which columns it has, its heading with the links that sort and the inputs that filter, its rows.

use std::collections::{BTreeSet, HashMap};

use engine::Answer;
use engine::url::{Columns, Question, condition};
use serde_json::Value;

use super::html::{Html, cut};
use super::query::{Query, is_plain};

/// Columns that nobody chose.
const COLUMNS_DEFAULT: usize = 10;

/// Columns that somebody chose.
pub(super) const COLUMNS_MAX: usize = 50;

/// Names offered beside the columns shown.
const NAMES_MAX: usize = 300;

/// Characters of a cell, and of what is shown when the pointer rests on it.
const CELL_CHARACTERS: usize = 240;
const TITLE_CHARACTERS: usize = 2000;

/// Values offered in an input, and the longest of them.
const OFFERS_MAX: usize = 20;
const OFFER_CHARACTERS: usize = 60;

/// The columns that come first, as far as events have them.
const FIRST: [&str; 10] =
    ["timestamp", "level", "stream", "user", "event", "message", "method", "path", "status", "duration_ms"];

/// Columns that are shown only when chosen.
const LAST: [&str; 4] = ["id", "received", "sequence", "not_utf8"];

/// The values of an event with their names.
pub(super) type Row = Vec<(String, Value)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Time,
    Level,
    Stream,
    Number,
    Flag,
    Text,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a table shows.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// Other names that occur.
    pub(super) others: Vec<String>,
    /// The columns that were grouped by.
    pub(super) by: Option<Vec<String>>,
    /// Column and whether it descends.
    pub(super) sort: Vec<(String, bool)>,
    pub(super) streams: BTreeSet<String>,
}

impl Table {
    /// The table of events.
    pub(super) fn of_events(rows: Vec<Row>, query: &Query, question: Option<&Question>) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for (name, _) in rows.iter().flatten() {
            *counts.entry(name).or_insert_with(|| {
                names.push(name.clone());
                0
            }) += 1;
        }
        let asked: Vec<String> =
            query.pairs.iter().filter_map(|(key, value)| condition(key, value)).map(|found| found.column).collect();
        let chosen: Vec<String> = match question.map(|question| &question.columns) {
            Some(Columns::Only(names)) => names.iter().take(COLUMNS_MAX).cloned().collect(),
            columns => {
                let dropped: &[String] = if let Some(Columns::Except(names)) = columns { names } else { &[] };
                let start = FIRST[..if rows.is_empty() { 6 } else { 1 }].iter().map(|name| (*name).to_owned());
                let first = FIRST.iter().filter(|name| counts.contains_key(**name)).map(|name| (*name).to_owned());
                let mut others: Vec<&String> = names.iter().filter(|name| !LAST.contains(&name.as_str())).collect();
                others.sort_by_key(|name| std::cmp::Reverse(counts.get(name.as_str()).copied().unwrap_or(0)));
                let mut chosen: Vec<String> = Vec::new();
                let room = COLUMNS_DEFAULT + asked.len().min(COLUMNS_DEFAULT);
                for name in start
                    .chain(first)
                    .chain(asked.iter().filter(|name| !name.contains('|')).cloned())
                    .chain(others.into_iter().take(COLUMNS_DEFAULT).cloned())
                {
                    if chosen.len() < room && !chosen.contains(&name) && !dropped.contains(&name) {
                        chosen.push(name);
                    }
                }
                chosen
            }
        };
        let columns: Vec<Column> =
            chosen.into_iter().map(|name| Column { kind: kind(&name, &rows, query), name }).collect();
        names.retain(|name| !columns.iter().any(|column| column.name == *name));
        names.truncate(NAMES_MAX);
        let sort = match question {
            Some(question) if question.sort.is_empty() => vec![("timestamp".to_owned(), true)],
            question => sorts(question),
        };
        Self { columns, rows, others: names, sort, ..Self::default() }
    }

    /// The table of groups.
    pub(super) fn of_groups(answer: &Answer, rows: Vec<Row>, question: &Question) -> Self {
        let kind = |name: &str, of: &str| match of {
            "integer" | "float" => Kind::Number,
            "timestamp" => Kind::Time,
            "boolean" => Kind::Flag,
            _ if name == "level" => Kind::Level,
            _ => Kind::Text,
        };
        let columns =
            answer.columns.iter().map(|(name, of)| Column { name: name.clone(), kind: kind(name, of) }).collect();
        let by = question.by.iter().flatten().filter(|name| !answer.ignored.contains(name)).cloned().collect();
        Self { columns, rows, by: Some(by), sort: sorts(Some(question)), ..Self::default() }
    }

    pub(super) fn write(&self, html: &mut Html, query: &Query) {
        html.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table><thead><tr>");
        for column in &self.columns {
            self.write_head(html, column, query);
        }
        html.raw("</tr><tr class=\"filters\">");
        for (place, column) in self.columns.iter().enumerate() {
            html.raw("<td>");
            self.write_filter(html, place, column, query);
            html.raw("</td>");
        }
        html.raw("</tr></thead><tbody>\n");
        for row in &self.rows {
            html.raw("<tr>");
            for (place, column) in self.columns.iter().enumerate() {
                let link = if place == 0 { self.link(row, query) } else { None };
                write_cell(html, column, value(row, &column.name), link.as_deref());
            }
            html.raw("</tr>\n");
        }
        html.raw("</tbody></table></div>");
    }

    fn write_head(&self, html: &mut Html, column: &Column, query: &Query) {
        let first = self.sort.first().filter(|(name, _)| *name == column.name);
        html.raw("<th scope=\"col\"");
        html.raw(if column.kind == Kind::Number { " class=\"n\"" } else { "" });
        html.raw(match first {
            Some((_, true)) => " aria-sort=\"descending\"",
            Some((_, false)) => " aria-sort=\"ascending\"",
            None => "",
        });
        html.raw(">");
        // A name with a minus before it would be read as the other direction.
        if column.name.starts_with('-') {
            html.text(&column.name).raw("</th>");
            return;
        }
        let descends = match first {
            Some((_, descends)) => !descends,
            None => matches!(column.kind, Kind::Time | Kind::Number | Kind::Level),
        };
        let by = format!("{}{}", if descends { "-" } else { "" }, column.name);
        html.raw("<a").attr("href", &query.without(&["_sort"]).with("_sort", &by).link());
        html.raw(if descends { " title=\"Sort, largest first\">" } else { " title=\"Sort, smallest first\">" });
        html.text(&column.name);
        html.raw(match first {
            Some((_, true)) => "<span aria-hidden=\"true\"> ▾</span>",
            Some((_, false)) => "<span aria-hidden=\"true\"> ▴</span>",
            None => "",
        });
        html.raw("</a></th>");
    }

    fn write_filter(&self, html: &mut Html, place: usize, column: &Column, query: &Query) {
        for (operator, label) in self.inputs(column) {
            let key = format!("{}{operator}", self.asked_as(column));
            let value = query.get(&key).unwrap_or("");
            let label = format!("{} {label}", column.name);
            match column.kind {
                Kind::Level => write_select(html, &key, &label, &LEVELS, value),
                Kind::Flag => write_select(html, &key, &label, &["true", "false"], value),
                Kind::Stream => {
                    let streams: Vec<&str> = self.streams.iter().map(String::as_str).collect();
                    write_select(html, &key, &label, &streams, value);
                }
                Kind::Number => {
                    html.raw("<input form=\"f\" class=\"n\" inputmode=\"decimal\"");
                    html.attr("placeholder", if *operator == ">" { "≥" } else { "≤" });
                    html.attr("name", &key).attr("aria-label", &label).attr("value", value).raw(">");
                }
                Kind::Text | Kind::Time => {
                    html.raw("<input form=\"f\" placeholder=\"contains\"");
                    html.attr("name", &key).attr("aria-label", &label).attr("value", value);
                    let offers = self.offers(column);
                    if offers.is_empty() {
                        html.raw(">");
                        continue;
                    }
                    let list = format!("v{place}");
                    html.attr("list", &list).raw("><datalist").attr("id", &list).raw(">");
                    for offer in offers {
                        html.raw("<option>").text(offer).raw("</option>");
                    }
                    html.raw("</datalist>");
                }
            }
        }
    }

    /// The inputs that filter by a column: the operator as it ends the name, and what it means.
    pub(super) fn inputs(&self, column: &Column) -> &'static [(&'static str, &'static str)] {
        if !is_plain(&self.asked_as(column)) || self.streams_are_unknown(column) {
            return &[];
        }
        match column.kind {
            Kind::Time => &[],
            Kind::Level => &[(">", "at least")],
            Kind::Stream | Kind::Flag => &[("", "is")],
            Kind::Number => &[(">", "at least"), ("<", "at most")],
            // What is computed of a group can be compared only.
            Kind::Text if column.name.contains('|') => &[],
            Kind::Text => &[("~", "contains")],
        }
    }

    fn streams_are_unknown(&self, column: &Column) -> bool {
        column.kind == Kind::Stream && self.streams.is_empty()
    }

    /// The name under which a condition asks for a column: the number of a group's events is one of none.
    pub(super) fn asked_as(&self, column: &Column) -> String {
        let counted = self.by.as_ref().is_some_and(|by| column.name == "count" && !by.contains(&column.name));
        if counted { "*|count".to_owned() } else { column.name.clone() }
    }

    /// The values of a column on this page, if they are few.
    fn offers(&self, column: &Column) -> BTreeSet<&str> {
        let mut offers = BTreeSet::new();
        for row in &self.rows {
            if let Some(Value::String(text)) = value(row, &column.name)
                && offers.len() <= OFFERS_MAX
                && !cut(text, OFFER_CHARACTERS).1
            {
                offers.insert(text.as_str());
            }
        }
        if offers.len() > OFFERS_MAX { BTreeSet::new() } else { offers }
    }

    /// Where the first cell leads: to the event alone, or to the events of the group.
    fn link(&self, row: &Row, query: &Query) -> Option<String> {
        let Some(by) = &self.by else {
            let id = value(row, "id")?.as_str()?;
            return Some(query.kept(|key, _| key == "_format").with("id", id).link());
        };
        if by.is_empty() || !by.iter().all(|name| is_plain(name)) {
            return None;
        }
        let group = by.iter().fold(query.conditions(), |link, name| {
            let value = value(row, name).filter(|value| !value.is_null()).map(shown);
            link.with_value(name, value.as_deref())
        });
        Some(group.link())
    }
}

fn write_cell(html: &mut Html, column: &Column, value: Option<&Value>, link: Option<&str>) {
    let value = value.filter(|value| !value.is_null());
    html.raw("<td").attr("data-k", &column.name);
    html.raw(match column.kind {
        Kind::Number => " class=\"n\"",
        Kind::Time => " class=\"t\"",
        Kind::Text if column.name == "message" => " class=\"m\"",
        _ => "",
    });
    let Some(value) = value.map(shown) else {
        html.raw(">");
        if let Some(link) = link {
            html.raw("<a").attr("href", link).raw(">").raw("<i>none</i></a>");
        }
        html.raw("</td>");
        return;
    };
    let (text, is_cut) = cut(&value, CELL_CHARACTERS);
    if is_cut || (column.kind == Kind::Text && value.len() > 28) {
        html.attr("title", cut(&value, TITLE_CHARACTERS).0);
    }
    html.raw(">");
    if let Some(link) = link {
        html.raw("<a").attr("href", link).raw(">");
    }
    match column.kind {
        Kind::Time => write_time(html, text),
        Kind::Level => write_level(html, text),
        _ => {
            html.text(text).raw(if is_cut { "…" } else { "" });
        }
    }
    html.raw(if link.is_some() { "</a></td>" } else { "</td>" });
}

/// The names that can stand in an input for a level.
const LEVELS: [&str; 7] = ["trace", "debug", "info", "notice", "warning", "error", "critical"];

fn write_select(html: &mut Html, key: &str, label: &str, options: &[&str], value: &str) {
    html.raw("<select form=\"f\"").attr("name", key).attr("aria-label", label).raw(">");
    html.raw("<option value=\"\">any</option>");
    let unlisted = (!value.is_empty() && !options.contains(&value)).then_some(value);
    for option in options.iter().copied().chain(unlisted) {
        html.raw(if option == value { "<option selected>" } else { "<option>" }).text(option).raw("</option>");
    }
    html.raw("</select>");
}

/// A moment, easier to read than as RFC 3339 and as exact. A text that is none stays as it is.
pub(super) fn write_time(html: &mut Html, text: &str) {
    let bytes = text.as_bytes();
    let is_moment = bytes.len() >= 20 && bytes[10] == b'T' && text.ends_with('Z') && text.is_ascii();
    if !is_moment {
        html.text(text);
        return;
    }
    let (date, time) = text[..text.len() - 1].split_at(10);
    let time = &time[1..];
    let time = if time.contains('.') { time.trim_end_matches('0').trim_end_matches('.') } else { time };
    html.raw("<time").attr("datetime", text).raw(">").text(date).raw(" <b>").text(time).raw("</b></time>");
}

pub(super) fn write_level(html: &mut Html, text: &str) {
    let class = match text.to_ascii_lowercase().as_str() {
        "error" => "l error",
        "critical" | "fatal" => "l critical",
        "warning" | "warn" => "l warning",
        "notice" => "l notice",
        "debug" | "trace" => "l faint",
        _ => "l",
    };
    html.raw("<span").attr("class", class).raw(">").text(text).raw("</span>");
}

pub(super) fn value<'a>(row: &'a Row, name: &str) -> Option<&'a Value> {
    row.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// A value as a text.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn sorts(question: Option<&Question>) -> Vec<(String, bool)> {
    question.iter().flat_map(|question| &question.sort).map(|by| (by.column.clone(), by.descending)).collect()
}

fn kind(name: &str, rows: &[Row], query: &Query) -> Kind {
    match name {
        "timestamp" | "received" => return Kind::Time,
        "level" => return Kind::Level,
        "stream" => return Kind::Stream,
        _ => {}
    }
    let mut values = rows.iter().filter_map(|row| value(row, name)).filter(|value| !value.is_null()).peekable();
    if values.peek().is_none() {
        let compared = query.pairs.iter().filter_map(|(key, value)| condition(key, value));
        let compared =
            compared.filter(|found| found.column == name).any(|found| found.operator.starts_with(['<', '>']));
        return if compared || matches!(name, "status" | "duration_ms") { Kind::Number } else { Kind::Text };
    }
    let (mut numbers, mut flags) = (true, true);
    for value in values {
        numbers &= value.is_number();
        flags &= value.is_boolean();
    }
    match (numbers, flags) {
        (true, _) => Kind::Number,
        (_, true) => Kind::Flag,
        _ => Kind::Text,
    }
}
