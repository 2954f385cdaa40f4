//! Words that do not belong into what we hand out: notes to ourselves, and places on our own desks.

use super::{Finding, Listed};

// Each is put together here, so that this file keeps the rule it checks.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const DESK: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("../sh", "ared/"),
    concat!("fa", "rm-"),
    concat!("this se", "ssion"),
    concat!(" the work", "shop"),
];

pub(super) fn check(files: &[Listed]) -> Vec<Finding> {
    files.iter().filter_map(|file| Some((file, file.text()?))).flat_map(|(file, text)| check_text(file, text)).collect()
}

fn check_text(file: &Listed, text: &str) -> Vec<Finding> {
    let takes_no_notes = file.has_ending("rs") || file.has_ending("md");
    let mut findings = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let note = NOTES.iter().find(|word| takes_no_notes && has_word(line, word));
        let mend = "do it now, or open an issue and say in the comment what holds today";
        findings.extend(note.map(|word| Finding::new(&file.path, format!("a {word}"), mend).at_line(place + 1)));
        let desk = DESK.iter().find(|word| line.contains(**word));
        let mend = "say it so that a reader who has only this repository understands it";
        findings.extend(desk.map(|word| {
            Finding::new(&file.path, format!("`{word}` means nothing to a reader"), mend).at_line(place + 1)
        }));
    }
    findings
}

/// Whether the word stands there alone, not as a part of another.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        !joins(before.chars().next_back()) && !joins(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::{DESK, NOTES};

    fn check(path: &str, content: &str) -> Vec<String> {
        tests::check(super::check, &[(path, content)])
    }

    #[test]
    fn notes_to_ourselves_are_found() {
        let note = NOTES[0];
        assert_eq!(check("src/a.rs", &format!("fn a() {{}}\n// {note}: later\n")), [format!("src/a.rs:2: a {note}")]);
        assert_eq!(check("README.md", &format!("{}(ann)", NOTES[1])).len(), 1);
        assert!(check("src/a.rs", &format!("let name = \"{}{}\";", NOTES[2], NOTES[2])).is_empty());
        assert!(check("fixtures/a.json", note).is_empty());
    }

    #[test]
    fn places_on_our_desks_are_found() {
        for word in DESK {
            assert_eq!(
                check("docs/a.txt", &format!("see{word}")),
                [format!("docs/a.txt:1: `{word}` means nothing to a reader")]
            );
        }
        assert!(check("docs/a.md", "issue #12, the platform-wide session").is_empty());
    }
}
