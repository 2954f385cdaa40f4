//! The query string of a page, and those of the links on it.

use engine::url::{Condition, condition};

/// What the forms of a page send, and no address keeps: it is settled into the parameters of the grammar first.
const FORM: &str = "_form";

/// A query string within a parameter: what a form does not ask about.
const KEEP: &str = "_keep";

/// One condition as three inputs.
const PARTS: [&str; 3] = ["_column", "_operator", "_value"];

/// What a link to something else of the same question does not keep: where its page begins.
const PLACE: [&str; 2] = ["_cursor", "_offset"];

/// The decoded pairs of a query string, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Self { pairs: form_urlencoded::parse(text.as_bytes()).into_owned().collect() }
    }

    /// As it stands after the question mark.
    pub(super) fn string(&self) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        for (key, value) in &self.pairs {
            // `user.id` asks whether it is there; the sign after it would say the same.
            if value.is_empty() {
                out.append_key_only(key)
            } else {
                out.append_pair(key, value)
            };
        }
        out.finish()
    }

    /// A link to the same path with this query string.
    pub(super) fn link(&self) -> String {
        format!("?{}", self.string())
    }

    /// The last value of a parameter that is not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(name, _)| name == key)
    }

    /// Those pairs for which `keep` is true, from the beginning of the answer.
    pub(super) fn kept(&self, keep: impl Fn(&str, &str) -> bool) -> Self {
        let stays = |key: &str, value: &str| !PLACE.contains(&key) && keep(key, value);
        Self { pairs: self.pairs.iter().filter(|(key, value)| stays(key, value)).cloned().collect() }
    }

    pub(super) fn without(&self, keys: &[&str]) -> Self {
        self.kept(|key, _| !keys.contains(&key))
    }

    /// Without the pair at this place.
    pub(super) fn without_pair(&self, place: usize) -> Self {
        let mut other = self.clone();
        other.pairs.remove(place);
        other.without(&[])
    }

    pub(super) fn with(mut self, key: &str, value: &str) -> Self {
        self.pairs.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Whether no event is left out, neither by a condition nor by a place to begin at.
    pub(super) fn asks_for_all(&self) -> bool {
        self.pairs.iter().all(|(key, value)| match key.as_str() {
            "_by" | "_c" | "_sort" | "_limit" | "_download" | "_meta" | "_total" | "_format" => true,
            "_q" | "_from" | "_to" => value.is_empty(),
            _ => false,
        })
    }

    /// What finds events, without how they are shown.
    pub(super) fn conditions(&self) -> Self {
        self.kept(|key, _| {
            let of_groups = condition(key, "").is_some_and(|found| found.column.contains('|'));
            !of_groups && !matches!(key, "_by" | "_c" | "_sort" | "_limit" | "_download" | "_meta" | "_total")
        })
    }

    /// With an equality for a column; or that it is missing.
    pub(super) fn with_value(self, column: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(column, value),
            None => self.with(&format!("{column}!"), ""),
        }
    }

    /// What a form of ours sent, as an address that says the same in the grammar; `None` when it is none.
    pub(super) fn settled(&self) -> Option<Self> {
        if !self.has(FORM) {
            return None;
        }
        let mut settled = Self::default();
        for (key, value) in &self.pairs {
            match key.as_str() {
                KEEP => settled.pairs.extend(Self::parse(value).pairs),
                "_q" | "_from" | "_to" if value.trim().is_empty() => {}
                "_q" | "_from" | "_to" => settled = settled.with(key, value.trim()),
                // One group of everything is asked for by a name that is empty.
                "_by" => settled = settled.with(key, value),
                FORM => {}
                part if PARTS.contains(&part) || value.is_empty() => {}
                _ => settled = settled.with(key, value),
            }
        }
        let several = settled.pairs.iter().filter(|(key, value)| key == "_by" && !value.is_empty()).count();
        let mut seen = false;
        settled.pairs.retain(|(key, value)| {
            key != "_by" || !value.is_empty() || (several == 0 && !std::mem::replace(&mut seen, true))
        });
        settled.pairs.extend(self.added());
        Some(settled)
    }

    /// The condition of the three inputs.
    fn added(&self) -> Option<(String, String)> {
        let [column, operator, value] = PARTS.map(|part| self.get(part).unwrap_or(""));
        let column = column.trim();
        if column.is_empty() {
            return None;
        }
        match operator {
            "there" => Some((column.to_owned(), String::new())),
            "missing" => Some((format!("{column}!"), String::new())),
            _ if value.is_empty() => None,
            ">" | "<" => Some((format!("{column}{operator}{value}"), String::new())),
            other => Some((format!("{column}{}", other.trim_end_matches('=')), value.to_owned())),
        }
    }
}

/// Whether a column can be asked for by its bare name: one that ends like an operator, or begins with `_`, cannot.
pub(super) fn is_plain(column: &str) -> bool {
    condition(column, "x")
        .is_some_and(|found| found == Condition { column: column.into(), operator: "=", value: "x".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_settled_into_the_grammar() {
        for (sent, settled) in [
            (
                "_form=y&_q=+a+&path~=&status%3E=500&_keep=user.id%26_sort%3D-status",
                "_q=a&status%3E=500&user.id&_sort=-status",
            ),
            ("_form=y&_column=status&_operator=%3E%3D&_value=500", "status%3E=500"),
            ("_form=y&_column=status&_operator=%3E&_value=a%3Db", "status%3Ea%3Db"),
            ("_form=y&_column=path&_operator=!~%3D&_value=x", "path%21%7E=x"),
            ("_form=y&_column=u&_operator=missing&_value=x", "u%21"),
            ("_form=y&_column=u&_operator=there", "u"),
            ("_form=y&_column=u&_operator=%3D&_value=", ""),
            ("_form=y&_by=a&_by=&_c=", "_by=a"),
            ("_form=y&_by=&_by=", "_by"),
        ] {
            assert_eq!(Query::parse(sent).settled().unwrap().string(), settled, "{sent}");
        }
        assert_eq!(Query::parse("_q=a").settled(), None);
    }

    #[test]
    fn links_begin_at_the_first_page() {
        let query = Query::parse("a=1&_cursor=x&_offset=5&_by=p&n|max>=3&_c=n|max&_q=z&a=2");
        assert_eq!(query.without(&["_q"]).string(), "a=1&_by=p&n%7Cmax%3E=3&_c=n%7Cmax&a=2");
        assert_eq!(query.conditions().with_value("p", None).string(), "a=1&_q=z&a=2&p%21");
        assert_eq!(query.without_pair(0).get("a"), Some("2"));
        let asks_for_all = |text: &str| Query::parse(text).asks_for_all();
        assert!(asks_for_all("") && asks_for_all("_format=html&_q=&_by=p&_sort=-status"));
        assert!(!["_q=a", "status=5", "_cursor=x", "_by=p&n|max>=3", "id"].into_iter().any(asks_for_all));
        assert!(is_plain("user.id") && !is_plain("_x") && !is_plain("a>") && !is_plain("a!") && !is_plain("a<b"));
    }
}
