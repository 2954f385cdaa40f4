//! ARCHITECTURE.md is there, is short enough to be read, and leaves no crate out.

use super::{Finding, Listed, crate_folders};

const MAP: &str = "ARCHITECTURE.md";
const LINES_MAX: usize = 200;

pub(super) fn check(files: &[Listed]) -> Vec<Finding> {
    let Some(map) = files.iter().find(|file| file.path == MAP) else {
        return vec![Finding::new(MAP, "there is no map of the house", "write it: one paragraph for each crate")];
    };
    let text = map.text().unwrap_or_default();
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        let what = format!("{lines} lines, more than {LINES_MAX}");
        let mend = "keep what will hold for a year; the rest belongs to the docs of the crates";
        findings.push(Finding::new(MAP, what, mend).at_line(LINES_MAX + 1));
    }
    for (folder, _) in crate_folders(files).filter(|(folder, _)| !names(text, folder)) {
        findings.push(Finding::new(
            MAP,
            format!("the crate `{folder}` is not on the map"),
            format!("say what `{folder}` is"),
        ));
    }
    findings
}

/// Whether the map means the crate, and not only uses its name as a word.
fn names(text: &str, folder: &str) -> bool {
    ["`{}`", "`{}/`", "`crates/{}", "**{}**"].iter().any(|form| text.contains(&form.replace("{}", folder)))
}

#[cfg(test)]
mod tests {
    use super::super::tests;

    fn check(map: &str) -> Vec<String> {
        tests::check(
            super::check,
            &[("ARCHITECTURE.md", map), ("crates/store/Cargo.toml", ""), ("crates/event/Cargo.toml", "")],
        )
    }

    #[test]
    fn every_crate_is_on_the_map() {
        assert!(check("`crates/store` keeps, `event` names").is_empty());
        assert_eq!(check("`store` keeps every event"), ["ARCHITECTURE.md:1: the crate `event` is not on the map"]);
        assert_eq!(tests::check(super::check, &[]), ["ARCHITECTURE.md:1: there is no map of the house"]);
    }

    #[test]
    fn the_map_is_short() {
        let long = format!("`store` `event`{}", "\n.".repeat(200));
        assert_eq!(check(&long), ["ARCHITECTURE.md:201: 201 lines, more than 200"]);
    }
}
