//! How large files may be, what they may be named, and that they are text.

use std::path::Path;

use super::{Finding, Listed};

/// Longest Rust file, in lines, its tests not counted.
const LINES_MAX: usize = 800;
/// Files that were longer when the rule came, with the length they had. The list may only get shorter.
const LONGER: [(&str, usize); 0] = [];
/// Largest file of any kind, in bytes: a clone carries every version of it for ever.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Where data of others are kept as they were, whatever they are.
const DATA_FOLDER: &str = "fixtures";
/// Names that say nothing about what is inside, so that everything ends up there.
const EMPTY_NAMES: [&str; 5] = ["utils", "common", "helpers", "manager", "misc"];

pub(super) fn check(files: &[Listed]) -> Vec<Finding> {
    files.iter().flat_map(|file| [size(file), binary(file), length(file), name(file)].into_iter().flatten()).collect()
}

fn size(file: &Listed) -> Option<Finding> {
    let bytes = file.bytes.len();
    let mend = "make it on the spot, or download it in the chore that needs it";
    (bytes > FILE_BYTES_MAX).then(|| Finding::new(&file.path, format!("{bytes} bytes, more than 1 MiB"), mend))
}

fn binary(file: &Listed) -> Option<Finding> {
    if file.text().is_some() || components(&file.path).any(|part| part == DATA_FOLDER) {
        return None;
    }
    let mend = format!("keep its source instead; test data may be binary in a folder named `{DATA_FOLDER}`");
    Some(Finding::new(&file.path, "a binary file (zero bytes, or not UTF-8)", mend))
}

fn length(file: &Listed) -> Option<Finding> {
    let of_tests = components(&file.path).any(|part| part == "tests" || part == "tests.rs");
    if !file.has_ending("rs") || of_tests {
        return None;
    }
    let lines = lines_without_tests(file.text()?);
    let max = LONGER.iter().find(|(path, _)| *path == file.path).map_or(LINES_MAX, |(_, length)| *length);
    let what = format!("{lines} lines without its tests, more than {max}");
    (lines > max)
        .then(|| Finding::new(&file.path, what, "split it by idea: one sentence for each file").at_line(max + 1))
}

/// The lines before the `#[cfg(test)] mod tests` block at the end.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let opens_tests = |place: &usize| {
        let attributes_skipped = lines[*place + 1..].iter().find(|line| !line.trim_start().starts_with("#["));
        lines[*place] == "#[cfg(test)]" && attributes_skipped.is_some_and(|line| line.starts_with("mod tests"))
    };
    (0..lines.len()).rev().find(opens_tests).unwrap_or(lines.len())
}

fn name(file: &Listed) -> Option<Finding> {
    let mend = "name it after what is inside; what fits nowhere belongs where it is used";
    let stem = Path::new(&file.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if file.has_ending("rs") && stem == "mod" {
        let mend = "name the file as its folder and put it beside: `journal.rs` and `journal/`";
        return Some(Finding::new(&file.path, "a file named mod.rs", mend));
    }
    if let Some(part) = components(&file.path).chain([stem]).find(|part| EMPTY_NAMES.contains(part)) {
        return Some(Finding::new(&file.path, format!("`{part}` is a name that says nothing"), mend));
    }
    if !file.has_ending("rs") {
        return None;
    }
    let named = |line: &str| module_of(line).filter(|module| EMPTY_NAMES.contains(module)).map(str::to_owned);
    let (place, module) = file.text()?.lines().enumerate().find_map(|(place, line)| Some((place, named(line)?)))?;
    Some(Finding::new(&file.path, format!("`mod {module}` is a name that says nothing"), mend).at_line(place + 1))
}

/// The name of the module that a line declares.
fn module_of(line: &str) -> Option<&str> {
    let declaration = line.trim_start();
    let private = match declaration.strip_prefix("pub") {
        Some(rest) => rest.split_once(' ').map_or("", |(_, rest)| rest),
        None => declaration,
    };
    private.strip_prefix("mod ")?.split([';', '{', ' ']).next()
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::super::{Finding, Listed};

    fn check(path: &str, content: &str) -> Vec<String> {
        tests::check(super::check, &[(path, content)])
    }

    #[test]
    fn a_file_has_a_largest_length() {
        let code = "// one line\n".repeat(800);
        assert!(check("a/journal.rs", &code).is_empty());
        let longer = format!("{code}// one more\n");
        assert_eq!(check("a/journal.rs", &longer), ["a/journal.rs:801: 801 lines without its tests, more than 800"]);
        assert!(check("a/tests.rs", &longer).is_empty());
        assert!(check("a/tests/it/main.rs", &longer).is_empty());
        assert!(check("a/page.html", &longer).is_empty());
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        let code = "// one line\n".repeat(795);
        let tests = format!("#[cfg(test)]\n#[expect(x)]\nmod tests {{\n{}}}\n", "    // test\n".repeat(900));
        assert!(check("a/journal.rs", &format!("{code}{tests}")).is_empty());
        assert_eq!(check("a/journal.rs", &format!("{code}{code}{tests}")).len(), 1);
        // A function for tests only is not the block at the end.
        assert_eq!(check("a/journal.rs", &format!("#[cfg(test)]\nfn open() {{}}\n{code}{code}")).len(), 1);
    }

    #[test]
    fn large_and_binary_files_are_found() {
        let large = "x".repeat(1024 * 1024 + 1);
        assert_eq!(check("docs/a.txt", &large), ["docs/a.txt:1: 1048577 bytes, more than 1 MiB"]);
        assert_eq!(check("docs/a.bin", "\0"), ["docs/a.bin:1: a binary file (zero bytes, or not UTF-8)"]);
        assert!(check("crates/intake/fixtures/a.bin", "\0").is_empty());
        let latin = Listed { path: "a.txt".to_owned(), bytes: vec![b'f', 0xFC, b'r'] };
        let found: Vec<Finding> = super::check(&[latin]);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn names_say_something() {
        assert!(check("crates/store/src/journal.rs", "mod segment;\npub mod manifest;\n").is_empty());
        assert_eq!(check("src/utils.rs", ""), ["src/utils.rs:1: `utils` is a name that says nothing"]);
        assert_eq!(check("src/common/file.rs", ""), ["src/common/file.rs:1: `common` is a name that says nothing"]);
        assert_eq!(check("src/store/mod.rs", ""), ["src/store/mod.rs:1: a file named mod.rs"]);
        for module in ["mod misc {", "pub(crate) mod misc;", "    pub mod misc {}"] {
            assert_eq!(
                check("src/a.rs", &format!("\n{module}\n"))[0].split("is a").next(),
                Some("src/a.rs:2: `mod misc` ")
            );
        }
    }
}
