//! One condition of a query string, taken apart for whoever shows it or passes it on.

use super::{Operator, split};
use crate::filter::Comparison;

/// What a parameter asks of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// As it is typed: `=`, `!=`, `>`, `>=`, `<`, `<=`, `~=`, `!~=`, `*=` or `!*=`.
    pub operator: &'static str,
    /// What it is compared with. Empty after `=` when the column must be there, after `!=` when it must be missing.
    pub value: String,
}

/// The condition that a decoded pair of a query string stands for; `None` when it is no condition on a column.
#[must_use]
pub fn condition(key: &str, value: &str) -> Option<Condition> {
    if key.starts_with('_') || key.is_empty() {
        return None;
    }
    let (column, operator, value) = split(key, value);
    let operator = match operator {
        Operator::Equal => "=",
        Operator::NotEqual => "!=",
        Operator::Compare(Comparison::Greater) => ">",
        Operator::Compare(Comparison::GreaterOrEqual) => ">=",
        Operator::Compare(Comparison::Less) => "<",
        Operator::Compare(Comparison::LessOrEqual) => "<=",
        Operator::Contains { ignore_case: false } => "~=",
        Operator::Contains { ignore_case: true } => "*=",
        Operator::Lacks { ignore_case: false } => "!~=",
        Operator::Lacks { ignore_case: true } => "!*=",
    };
    Some(Condition { column, operator, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_shown_as_they_are_typed() {
        for (key, value, shown) in [
            ("status", "200", "status = 200"),
            ("status!", "200", "status != 200"),
            ("status>", "500", "status >= 500"),
            ("status>500", "", "status > 500"),
            ("status<500", "", "status < 500"),
            ("status<~", "500", "status <= 500"),
            ("path~", "wp", "path ~= wp"),
            ("path!*", "WP", "path !*= WP"),
            ("user.id", "", "user.id = "),
            ("user.id!", "", "user.id != "),
        ] {
            let found = condition(key, value).unwrap();
            assert_eq!(format!("{} {} {}", found.column, found.operator, found.value), shown);
        }
        assert_eq!(condition("_q", "x"), None);
    }
}
