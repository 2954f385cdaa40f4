//! The configuration that is in force, as a file that can be fed back once its secrets are filled in, each value with where it
//! came from.

use std::fmt;
use std::path::PathBuf;

use super::{Config, SECRETS, SETTINGS};

/// Where the value of a setting came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Nobody named it.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable.
    Environment(String),
    /// An option of the command line.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Environment(variable) => write!(formatter, "environment {variable}"),
            Self::Option(name) => write!(formatter, "option --{name}"),
        }
    }
}

impl Config {
    /// The whole configuration as a file. A secret is named, not told.
    pub(crate) fn print(&self) -> String {
        let lines: Vec<(String, &Origin)> = SETTINGS
            .iter()
            .map(|setting| {
                let origin = self.origins.get(setting.name).unwrap_or(&Origin::Default);
                (line(setting.name, &setting.value(self), SECRETS.contains(&setting.name)), origin)
            })
            .collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
        let mut out = String::from(
            "# What `everlog serve` runs with. It can be fed back with --config, once what is (set) and not shown is filled in.\n",
        );
        for (line, origin) in lines {
            // A path may hold anything, and a comment ends with its line.
            let origin = origin.to_string().replace(char::is_control, "?");
            out.extend([format!("{line:width$}  # {origin}\n")]);
        }
        if !self.log_tables.is_empty() {
            let logs = toml::Table::from_iter([("logs".to_owned(), self.log_tables.clone().into())]);
            out.extend(["\n".to_owned(), logs.to_string()]);
        }
        out.push_str(&super::forward::print(&self.forward_tables));
        out.push_str(&crate::notify::print(&self.channel_tables));
        out.push_str(&super::alerts::print_rules(&self.rule_tables));
        out
    }
}

fn line(name: &str, text: &str, secret: bool) -> String {
    match (secret, text.is_empty()) {
        (true, false) => format!("# {name} = (set)"),
        (_, true) => format!("# {name} = (not set)"),
        (false, false) => format!("{name} = {}", value(text)),
    }
}

/// A value as TOML: numbers and truths as they are, all else as a text.
pub(crate) fn value(text: &str) -> String {
    let bare = matches!(text, "true" | "false") || text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    if bare { text.to_owned() } else { toml::Value::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::{line, value};

    #[test]
    fn values_are_toml() {
        for (text, expected) in [("7", "7"), ("007", "\"007\""), ("true", "true"), ("5m", "\"5m\""), ("a\"b", "'a\"b'")]
        {
            assert_eq!(value(text), expected);
        }
    }

    #[test]
    fn a_secret_is_not_told() {
        assert_eq!(line("key", "hunter2", true), "# key = (set)");
        assert_eq!(line("key", "", true), "# key = (not set)");
        assert_eq!(line("key", "hunter2", false), "key = \"hunter2\"");
    }
}
