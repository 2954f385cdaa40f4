//! What kind of project a folder holds, told by its files alone: nothing of it is run.

mod node;
mod python;

use super::connect::{Connection, Edit, RAILS, RUBY, RUST};
use super::files::Folder;

/// The log of a project without a name.
const NAMELESS: &str = "default";

/// Longest name of a log that is made from a project's.
const NAME_BYTES_MAX: usize = 64;

/// Every framework that is found, with how it is connected.
pub(super) fn detect(folder: &Folder, log: &str) -> Vec<Connection> {
    let python = python::detect(folder);
    let others = [node::express(folder), axum(folder), rails(folder), gramex(folder, log)];
    python.into_iter().chain(others.into_iter().flatten()).collect()
}

/// A log's name from the project's: what its own files call it, or its folder.
pub(super) fn project_name(folder: &Folder) -> String {
    let toml = |file: &str, table: &str| {
        let table: toml::Table = folder.text(file)?.parse::<toml::Table>().ok()?.get(table)?.as_table()?.clone();
        table.get("name")?.as_str().map(str::to_owned)
    };
    let json = || {
        let manifest: serde_json::Value = serde_json::from_str(&folder.text("package.json")?).ok()?;
        manifest["name"].as_str().map(str::to_owned)
    };
    let of_folder = || folder.path().file_name().map(|name| name.to_string_lossy().into_owned());
    let found = toml("pyproject.toml", "project")
        .or_else(|| toml("Cargo.toml", "package"))
        .or_else(json)
        .or_else(of_folder)
        .unwrap_or_default();
    log_name(&found)
}

fn log_name(name: &str) -> String {
    // `@company/shop` is `shop`.
    let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let plain: String =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' }).collect();
    let plain = plain.trim_matches(['-', '_']);
    let plain = &plain[..plain.len().min(NAME_BYTES_MAX)];
    if plain.is_empty() { NAMELESS.to_owned() } else { plain.to_owned() }
}

/// Whether a text names a package: the word, and not a longer one.
fn names_package(text: &str, package: &str) -> bool {
    let uncommented = text.lines().map(|line| line.split('#').next().unwrap_or(line));
    uncommented
        .flat_map(|line| line.split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.'))))
        .any(|word| word.eq_ignore_ascii_case(package))
}

fn axum(folder: &Folder) -> Option<Connection> {
    let manifest: toml::Table = folder.text("Cargo.toml")?.parse().ok()?;
    let has = |table: Option<&toml::Value>| {
        table.and_then(|table| table.get("dependencies")).is_some_and(|table| table.get("axum").is_some())
    };
    let own = manifest.get("dependencies").is_some_and(|table| table.get("axum").is_some());
    if !own && !has(manifest.get("workspace")) {
        return None;
    }
    let main = folder.text("src/main.rs").filter(|_| own);
    let edit = main
        .as_ref()
        .map(|text| Edit::new("src/main.rs", text, text.len(), "//", &["mod everlog_connect;".to_owned()]));
    let place = if edit.is_some() {
        "Add"
    } else {
        "Copy everlog_connect.rs from `--apply` in the crate with main.rs, and add"
    };
    Some(Connection {
        framework: "axum",
        seen: if edit.is_some() { "Cargo.toml, src/main.rs" } else { "Cargo.toml" }.to_owned(),
        files: vec![(if edit.is_some() { "src/everlog_connect.rs" } else { "everlog_connect.rs" }.to_owned(), RUST)],
        edit,
        by_hand: vec![
            format!("axum: {place} this to your router by hand, after its routes:"),
            String::new(),
            "    .layer(axum::middleware::from_fn(everlog_connect::record))".to_owned(),
        ],
    })
}

fn rails(folder: &Folder) -> Option<Connection> {
    let gems = folder.text("Gemfile")?;
    folder.text("config/application.rb").filter(|_| names_package(&gems, "rails"))?;
    Some(Connection {
        framework: "Rails",
        seen: "Gemfile, config/application.rb".to_owned(),
        files: vec![("lib/everlog_connect.rb".to_owned(), RUBY), ("config/initializers/everlog.rb".to_owned(), RAILS)],
        ..Connection::default()
    })
}

fn gramex(folder: &Folder, log: &str) -> Option<Connection> {
    let text = folder.text("gramex.yaml")?;
    let lines =
        ["schedule:", "  everlog:", "    function: everlog_connect.install()", "    startup: true"].map(str::to_owned);
    let taken = text.lines().any(|line| line.starts_with("schedule:"));
    let mut by_hand = Vec::new();
    if taken {
        by_hand.push("Gramex: gramex.yaml has a `schedule:` already; add to it by hand:".to_owned());
        by_hand.push(String::new());
        by_hand.extend(lines.iter().skip(1).map(|line| format!("    {line}")));
        by_hand.push(String::new());
    }
    by_hand.extend([
        "Gramex: in place of gramex.log(x=1) and of a FormHandler for the log:".to_owned(),
        String::new(),
        "    everlog_connect.log(\"visit\", x=1, user=handler.current_user)".to_owned(),
        format!("    http://127.0.0.1:7171/api/v1/logs/{log}/events?x>=1&_sort=-timestamp&_limit=100&_format=csv"),
    ]);
    Some(Connection {
        framework: "Gramex",
        seen: "gramex.yaml".to_owned(),
        files: vec![("everlog_connect.py".to_owned(), super::connect::PYTHON)],
        edit: (!taken).then(|| Edit::new("gramex.yaml", &text, text.len(), "#", &lines)),
        by_hand,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_gives_its_log_a_name() {
        for (name, expected) in [
            ("Shop", "shop"),
            ("@company/web-shop", "web-shop"),
            (".tmpX", "tmpx"),
            ("Größe 7", "gr--e-7"),
            ("…", "default"),
            (&"x".repeat(300), &"x".repeat(64)),
        ] {
            assert_eq!(log_name(name), *expected);
            assert!(super::super::settings::is_log_name(&log_name(name)));
        }
    }

    #[test]
    fn a_package_is_a_whole_word() {
        for (text, found) in [
            ("Flask==2.3", true),
            ("dependencies = [\"flask[async]>=2\"]", true),
            ("flask-cors==1", false),
            ("# flask", false),
            ("gem \"flask\"", true),
        ] {
            assert_eq!(names_package(text, "flask"), found, "{text}");
        }
    }
}
