//! Which crate may know which: an arrow only goes down, and heavy crates stay where they are at home.

use toml::{Table, Value};

use super::{Finding, Listed, crate_folders};

/// A crate, its floor, and the crates of ours that it may depend on.
struct Room {
    name: &'static str,
    /// Tests may also use what is on a lower floor. A crate aside of the house has floor 0 and may use nothing.
    floor: u8,
    may_use: &'static [&'static str],
}

const ROOMS: [Room; 14] = [
    Room { name: "bench", floor: 0, may_use: &[] },
    Room { name: "event", floor: 0, may_use: &[] },
    Room { name: "intake", floor: 1, may_use: &["event"] },
    Room { name: "store", floor: 1, may_use: &["event"] },
    Room { name: "text", floor: 1, may_use: &["event"] },
    Room { name: "history", floor: 1, may_use: &["event"] },
    Room { name: "seal", floor: 1, may_use: &["event"] },
    Room { name: "issues", floor: 1, may_use: &["event"] },
    Room { name: "alerts", floor: 1, may_use: &["event"] },
    Room { name: "query", floor: 2, may_use: &["event", "store"] },
    Room { name: "engine", floor: 3, may_use: &["event", "intake", "store", "text", "query", "issues", "alerts"] },
    Room { name: "server", floor: 4, may_use: &["event", "intake", "text", "engine", "bench"] },
    Room { name: "client", floor: 0, may_use: &[] },
    Room { name: "xtask", floor: 0, may_use: &["bench"] },
];

/// Crates that cost much or bring a world of their own, with the rooms they may be in. Their families (`tokio-util`,
/// `arrow-schema`) go with them.
const HEAVY: [(&str, &[&str]); 9] = [
    ("axum", &["server"]),
    ("hyper", &["server"]),
    ("clap", &["server"]),
    ("tokio", &["server"]),
    ("reqwest", &["server"]),
    ("datafusion", &["query"]),
    ("arrow", &["store", "query"]),
    ("parquet", &["store", "query"]),
    ("rusqlite", &["store"]),
];

/// One line of a `[dependencies]` table.
struct Dependency {
    name: String,
    only_for_tests: bool,
}

pub(super) fn check(files: &[Listed]) -> Vec<Finding> {
    let xtask = files.iter().find(|file| file.path == "xtask/Cargo.toml").map(|file| ("xtask", file));
    crate_folders(files).chain(xtask).flat_map(|(folder, manifest)| check_crate(folder, manifest)).collect()
}

fn check_crate(folder: &str, manifest: &Listed) -> Vec<Finding> {
    let Some(room) = ROOMS.iter().find(|room| room.name == folder) else {
        let what = format!("nobody knows which crates `{folder}` may use");
        let mend = "give it a floor: a row in ROOMS in xtask/src/tidy/floors.rs, and a paragraph in ARCHITECTURE.md";
        return vec![Finding::new(&manifest.path, what, mend)];
    };
    let text = manifest.text().unwrap_or_default();
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            return vec![Finding::new(&manifest.path, format!("not TOML: {}", error.message()), "correct it")];
        }
    };
    let mut findings = Vec::new();
    if table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str) != Some(folder) {
        findings.push(Finding::new(
            &manifest.path,
            "the crate is not named as its folder",
            format!("name it {folder}"),
        ));
    }
    for dependency in dependencies(&table) {
        let line = line_of(text, &dependency.name);
        let finding = check_edge(room, &dependency, manifest).or_else(|| check_weight(room, &dependency, manifest));
        findings.extend(finding.map(|finding| finding.at_line(line)));
    }
    findings
}

fn check_edge(room: &Room, dependency: &Dependency, manifest: &Listed) -> Option<Finding> {
    let target = ROOMS.iter().find(|room| room.name == dependency.name)?;
    let for_tests = dependency.only_for_tests && (target.floor < room.floor || target.name == room.name);
    let aside = ["client", "xtask"].contains(&target.name) && target.name != room.name;
    if room.may_use.contains(&target.name) || (for_tests && !aside) {
        return None;
    }
    let allowed = if room.may_use.is_empty() { "no crate of ours".to_owned() } else { room.may_use.join(", ") };
    let what = format!("`{}` uses `{}`, but may use {allowed}", room.name, target.name);
    let mend = "move the code to the floor it belongs to; if the house itself changes, change ROOMS in \
                xtask/src/tidy/floors.rs and ARCHITECTURE.md in the same commit";
    Some(Finding::new(&manifest.path, what, mend))
}

/// Tests may use what the product may not: those of the engine need a runtime to drive a question.
fn check_weight(room: &Room, dependency: &Dependency, manifest: &Listed) -> Option<Finding> {
    if dependency.only_for_tests {
        return None;
    }
    let of_family = |heavy: &str| {
        let rest = dependency.name.strip_prefix(heavy);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let (_, homes) = HEAVY.iter().find(|(heavy, homes)| of_family(heavy) && !homes.contains(&room.name))?;
    let what = format!("`{}` uses `{}`, which is allowed in {} only", room.name, dependency.name, homes.join(", "));
    Some(Finding::new(&manifest.path, what, "hand in what is needed as a value, or move the code up to that crate"))
}

/// All dependencies of a manifest: those of tests and build scripts, and those for one target only, too.
fn dependencies(manifest: &Table) -> Vec<Dependency> {
    let for_targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = for_targets.filter_map(Value::as_table).chain([manifest]);
    let mut found = Vec::new();
    for table in tables {
        for (section, only_for_tests) in
            [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
        {
            let entries = table.get(section).and_then(Value::as_table).into_iter().flatten();
            found.extend(entries.map(|(key, value)| {
                // `key = { package = "name" }` gives a crate another name; the real one counts.
                let name = value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned();
                Dependency { name, only_for_tests }
            }));
        }
    }
    found
}

/// The line that first names a dependency, for the reader; 1 if it is written in an unusual way.
fn line_of(manifest: &str, name: &str) -> usize {
    let names = |line: &str| {
        line.trim_start().trim_start_matches('"').starts_with(name) || line.contains(&format!("\"{name}\""))
    };
    let after_package = manifest.lines().position(|line| line.contains("dependencies")).unwrap_or(0);
    let found = manifest.lines().skip(after_package).position(names);
    found.map_or(1, |line| after_package + line + 1)
}

#[cfg(test)]
mod tests {
    use super::super::tests;

    fn check(folder: &str, dependencies: &str) -> Vec<String> {
        let manifest = format!("[package]\nname = \"{folder}\"\n{dependencies}");
        tests::check(super::check, &[(&format!("crates/{folder}/Cargo.toml"), &manifest)])
    }

    #[test]
    fn an_arrow_goes_down() {
        assert!(check("query", "[dependencies]\nevent.workspace = true\nstore.workspace = true").is_empty());
        assert_eq!(
            check("store", "[dependencies]\nevent.workspace = true\nquery.workspace = true"),
            ["crates/store/Cargo.toml:5: `store` uses `query`, but may use event"]
        );
        assert_eq!(
            check("server", "[dependencies]\nstore = { path = \"../store\" }"),
            ["crates/server/Cargo.toml:4: `server` uses `store`, but may use event, intake, text, engine, bench"]
        );
        assert_eq!(
            check("client", "[dependencies]\nevent = \"1\""),
            ["crates/client/Cargo.toml:4: `client` uses `event`, but may use no crate of ours"]
        );
    }

    #[test]
    fn an_arrow_is_seen_in_every_kind_of_table() {
        let renamed = "[dependencies]\ndisk = { package = \"store\", path = \"../store\" }";
        let for_target = "[target.'cfg(unix)'.dependencies]\nstore.workspace = true";
        for dependencies in [renamed, for_target, "[build-dependencies]\nstore.workspace = true"] {
            assert_eq!(
                check("intake", dependencies),
                ["crates/intake/Cargo.toml:4: `intake` uses `store`, but may use event"]
            );
        }
    }

    #[test]
    fn tests_may_use_lower_floors_and_their_own_crate() {
        assert!(check("server", "[dev-dependencies]\nstore.workspace = true\nserver = { path = \".\" }").is_empty());
        assert_eq!(check("intake", "[dev-dependencies]\nstore.workspace = true").len(), 1);
        assert_eq!(check("store", "[dev-dependencies]\nengine.workspace = true").len(), 1);
        assert_eq!(check("server", "[dev-dependencies]\nxtask = { path = \"../../xtask\" }").len(), 1);
    }

    #[test]
    fn a_new_crate_needs_a_floor() {
        assert_eq!(check("cellar", ""), ["crates/cellar/Cargo.toml:1: nobody knows which crates `cellar` may use"]);
        let renamed = tests::check(super::check, &[("crates/store/Cargo.toml", "[package]\nname = \"shop\"")]);
        assert_eq!(renamed, ["crates/store/Cargo.toml:1: the crate is not named as its folder"]);
    }

    #[test]
    fn heavy_crates_stay_at_home() {
        assert!(check("server", "[dependencies]\ntokio.workspace = true\naxum.workspace = true").is_empty());
        assert!(check("store", "[dependencies]\nparquet.workspace = true\nrusqlite.workspace = true").is_empty());
        assert!(check("intake", "[dependencies]\narrowhead = \"1\"").is_empty());
        assert_eq!(
            check("engine", "[dependencies]\narrow-schema = \"59\"\ntokio.workspace = true"),
            [
                "crates/engine/Cargo.toml:4: `engine` uses `arrow-schema`, which is allowed in store, query only",
                "crates/engine/Cargo.toml:5: `engine` uses `tokio`, which is allowed in server only",
            ]
        );
        assert!(check("engine", "[dev-dependencies]\ntokio.workspace = true").is_empty(), "tests may use them");
    }
}
