//! Where rules stand: quiet, pending, firing, snoozed or off.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Group, Rule};
use crate::cli::human::minute;
use crate::cli::output::Style;
use crate::cli::table::{Side, Table};
use crate::cli::when::{dated, is_ahead};

/// All rules, a line each.
pub(super) fn table(rules: &[Rule], now: Timestamp, zone: &TimeZone) -> Table {
    let mut table = Table::new(&[
        ("rule", Side::Left),
        ("state", Side::Left),
        ("calls when", Side::Left),
        ("tells", Side::Left),
        ("from", Side::Left),
    ]);
    for rule in rules {
        let (state, style) = rule.stands(now, zone);
        let from = match (rule.in_file, rule.built_in) {
            (true, _) => "file",
            (false, true) => "built in",
            (false, false) => "set at runtime",
        };
        let told = match rule.list("channels") {
            channels if channels.is_empty() => "all that take it".to_owned(),
            channels => channels,
        };
        table.styled([
            (rule.name.as_str(), Style::Cyan),
            (&state, style),
            (&rule.listens(), Style::Plain),
            (&told, Style::Plain),
            (from, Style::Plain),
        ]);
    }
    table
}

/// The groups of a rule that have something to say.
pub(super) fn groups(states: &[Group], now: Timestamp, zone: &TimeZone) -> Table {
    let mut table =
        Table::new(&[("state", Side::Left), ("since", Side::Left), ("value", Side::Right), ("group", Side::Left)]);
    for group in states {
        let since = group.since.as_deref().map(|since| dated(since, now, zone)).unwrap_or_default();
        let value = group.value.map(|value| value.to_string()).unwrap_or_default();
        table.styled([
            (group.state.as_str(), style(&group.state)),
            (&since, Style::Plain),
            (&value, Style::Plain),
            (&group.group, Style::Plain),
        ]);
    }
    table
}

/// What happens, in words.
fn happening(on: &str) -> &str {
    match on {
        "new_issue" => "a new issue",
        "regression" => "a resolved issue is back",
        "reached" => "10, 100, 1,000, … occurrences",
        "spike" => "far more errors than usual",
        "silence" => "a source says nothing any more",
        "security" => "somebody tries to get in",
        "delivery_failing" => "what is sent does not get through",
        "configuration_error" => "a configuration error",
        other => other,
    }
}

/// The colour of a state.
pub(super) fn style(state: &str) -> Style {
    match state {
        "firing" => Style::Red,
        "pending" => Style::Yellow,
        "resolved" => Style::Green,
        _ => Style::Plain,
    }
}

impl Rule {
    /// Where it stands, over all of its groups.
    fn stands(&self, now: Timestamp, zone: &TimeZone) -> (String, Style) {
        if self.settings.get("enabled") == Some(&Value::Bool(false)) {
            return ("off".to_owned(), Style::Dim);
        }
        let of = |state: &str| self.states.iter().filter(|group| group.state == state).count();
        let found = ["firing", "pending"].into_iter().find(|state| of(state) > 0).unwrap_or("quiet");
        let many = match of(found) {
            0 | 1 => String::new(),
            many => format!(" ({many})"),
        };
        let snoozed = match self.text("snooze") {
            until if is_ahead(until, now) => format!(", snoozed until {}", minute(until, zone)),
            _ => String::new(),
        };
        (format!("{found}{many}{snoozed}"), style(found))
    }

    /// What it listens to, in words.
    pub(super) fn listens(&self) -> String {
        let on = self.text("on");
        let limits = [("threshold", "", " or more"), ("above", "more than ", ""), ("below", "less than ", "")];
        let limit = limits.into_iter().find_map(|(key, before, after)| {
            self.settings.get(key)?.as_f64().map(|value| format!("{before}{value}{after}"))
        });
        let mut said = match (on, limit) {
            ("threshold", limit) => {
                let search = Some(self.text("search")).filter(|search| !search.is_empty()).unwrap_or("any event");
                let by = match self.list("group_by") {
                    keys if keys.is_empty() => String::new(),
                    keys => format!(" of one {keys}"),
                };
                format!("{search}: {}{by} in {}", limit.unwrap_or_default(), self.text("window"))
            }
            ("disk_full", Some(limit)) => format!("disk full in {limit} days"),
            (on, _) => match self.text("search") {
                "" => happening(on).to_owned(),
                search => format!("{} of {search}", happening(on)),
            },
        };
        for (key, before) in [("logs", " in "), ("environments", " in "), ("level_min", " from ")] {
            let value =
                Some(self.list(key)).filter(|list| !list.is_empty()).unwrap_or_else(|| self.text(key).to_owned());
            if !value.is_empty() {
                said = format!("{said}{before}{value}");
            }
        }
        said
    }

    fn text(&self, key: &str) -> &str {
        self.settings.get(key).and_then(Value::as_str).unwrap_or("")
    }

    fn list(&self, key: &str) -> String {
        let list = self.settings.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::output::Paint;

    #[test]
    fn where_rules_stand() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let group = |state: &str, name: &str| json!({ "group": name, "state": state, "since": "2026-01-02T03:00:00Z", "value": 12.0 });
        let rules = json!([
            { "name": "new_issue", "built_in": true, "settings": { "on": "new_issue", "enabled": true, "window": "5m" } },
            { "name": "disk_full", "built_in": true, "settings": { "on": "disk_full", "enabled": true, "below": 7.0, "snooze": "2026-01-02T08:00:00Z" } },
            { "name": "spike", "in_file": true, "settings": { "on": "spike", "enabled": false }, "states": [group("firing", "shop")] },
            { "name": "failed_payments", "settings": { "on": "threshold", "enabled": true, "search": "event:payment_failed", "threshold": 10.0, "window": "5m",
                "group_by": ["provider"], "logs": ["shop"], "channels": ["ops", "mail"], "snooze": "2026-01-01T08:00:00Z" },
              "states": [group("pending", "a"), group("firing", "b"), group("firing", "c")] },
        ]);
        let rules: Vec<Rule> = serde_json::from_value(rules).unwrap();
        insta::assert_snapshot!(table(&rules, now, &TimeZone::UTC).lines(Paint::none()).join("\n"), @"
        rule             state                                  calls when                                                      tells             from
        new_issue        quiet                                  a new issue                                                     all that take it  built in
        disk_full        quiet, snoozed until 2026-01-02 08:00  disk full in less than 7 days                                   all that take it  built in
        spike            off                                    far more errors than usual                                      all that take it  file
        failed_payments  firing (2)                             event:payment_failed: 10 or more of one provider in 5m in shop  ops, mail         set at runtime
        ");
        insta::assert_snapshot!(groups(&rules[3].states, now, &TimeZone::UTC).lines(Paint::none()).join("\n"), @"
        state    since                         value  group
        pending  2026-01-02 03:00 (4 min ago)     12  a
        firing   2026-01-02 03:00 (4 min ago)     12  b
        firing   2026-01-02 03:00 (4 min ago)     12  c
        ");
    }
}
