//! The settings file: every setting there is, with its meaning and its default.

use std::fmt::Write as _;

use super::{InitArguments, SETTINGS_FILE};
use crate::cli::init::files::Folder;
use crate::config::{Config, SETTINGS, print_value};

const HEAD: &str = "\
# Settings of Everlog, written by `everlog init`.
#
# `everlog serve` reads this file when it is started in this folder; elsewhere with `--config FILE`. What is commented out
# is the default. Variables (EVERLOG_ and the name in capitals) and options of the command line go before this file.
# `everlog serve --print-config` shows what comes of it all.
";

/// The whole file.
pub(super) fn render(arguments: &InitArguments, log: &str) -> String {
    let defaults = Config::default();
    let mut out = HEAD.to_owned();
    for setting in SETTINGS {
        let chosen = match setting.name {
            "data" => arguments.data.as_ref().map(|data| data.display().to_string()),
            "listen" if !arguments.listen.is_empty() => {
                Some(arguments.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
            "tree" if arguments.system_only => Some("true".to_owned()),
            "tree_users" if arguments.system_only => Some("false".to_owned()),
            _ => None,
        };
        let comment = if chosen.is_some() { "" } else { "# " };
        let value = print_value(&chosen.unwrap_or_else(|| setting.value(&defaults)));
        out.extend([format!("\n# {}.\n{comment}{} = {value}\n", capital(setting.meaning), setting.name)]);
    }
    let written = write!(
        out,
        "\n# The log of this project. It keeps its events for ever, unless told otherwise.\n\
         # For example 90 days, or 90 days but some streams shorter:\n[logs.{}]\n\
         # retention = \"90d\"\n# retention = {{ default = \"90d\", DEBUG = \"7d\" }}\n",
        if log.contains('.') { format!("\"{log}\"") } else { log.to_owned() }
    );
    debug_assert!(written.is_ok(), "writing into memory cannot fail");
    out
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// The configuration that is there.
///
/// # Errors
/// When it cannot be read, or holds what is no setting.
pub(super) fn read(folder: &Folder) -> anyhow::Result<Config> {
    Config::load(Some(&folder.at(SETTINGS_FILE)), std::iter::empty())
}

/// The configuration of a file that is not written yet.
///
/// # Errors
/// When an option of the command line makes it impossible.
pub(super) fn parse(text: &str) -> anyhow::Result<Config> {
    Config::parse(text)
}

/// Whether the engine takes this name for a log.
pub(super) fn is_log_name(name: &str) -> bool {
    engine::check_log_name(name).is_ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        init: InitArguments,
    }

    fn check(line: &[&str]) -> String {
        let line = Line::try_parse_from(["init"].iter().chain(line)).unwrap();
        let text = render(&line.init, "shop.v2");
        let config = parse(&text).unwrap();
        assert!(config.logs.contains_key("shop.v2"));
        text
    }

    #[test]
    fn every_setting_is_there_with_its_default() {
        let text = check(&[]);
        let defaults = Config::default();
        for setting in SETTINGS {
            let line = format!("\n# {} = {}\n", setting.name, print_value(&setting.value(&defaults)));
            assert!(text.contains(&line), "{line}");
            // Uncommented it is still a file that can be read.
            assert!(setting.value(&defaults).is_empty() || parse(line.replace("# ", "").trim()).is_ok(), "{line}");
        }
    }

    #[test]
    fn options_are_written_as_settings() {
        let text = check(&["--data", "/var/lib/ever \"log\"", "--listen", "0.0.0.0:80", "--system-only"]);
        let config = parse(&text).unwrap();
        assert_eq!(config.data, std::path::Path::new("/var/lib/ever \"log\""));
        assert_eq!(config.listen[0].port(), 80);
        assert!(config.tree && !config.tree_settings.users, "{text}");
    }
}
