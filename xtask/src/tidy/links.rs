//! Relative links in the documents lead to a file or folder that is in git.

use std::collections::HashSet;

use super::{Finding, Listed};

pub(super) fn check(files: &[Listed]) -> Vec<Finding> {
    let places = places(files);
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.has_ending("md")) {
        for (line, target) in links(file.text().unwrap_or_default()) {
            if resolve(&file.path, &target).is_some_and(|place| !places.contains(place.as_str())) {
                let what = format!("the link `{target}` leads nowhere");
                let mend =
                    "correct it; it is read from the folder of the document, or from the root if it begins with `/`";
                findings.push(Finding::new(&file.path, what, mend).at_line(line));
            }
        }
    }
    findings
}

/// Every file and every folder, the root as the empty text.
fn places(files: &[Listed]) -> HashSet<&str> {
    let mut places = HashSet::from([""]);
    for file in files {
        places.insert(&file.path);
        places.extend(file.path.match_indices('/').map(|(end, _)| &file.path[..end]));
    }
    places
}

/// The path that a relative link means, from the root; nothing if it is not relative.
fn resolve(document: &str, target: &str) -> Option<String> {
    let path = target.split(['#', '?']).next().unwrap_or_default().replace("%20", " ");
    let has_scheme =
        path.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(|letter| letter.is_ascii_alphanumeric()));
    if path.is_empty() || path.starts_with("//") || has_scheme {
        return None;
    }
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    if path.starts_with('/') {
        parts.clear();
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            // Above the root is nothing of ours; the name cannot be found, and that is reported.
            ".." if parts.is_empty() => parts.push(".."),
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The targets of all links with their lines; code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (place, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(close)) if open == close => fence = None,
            (Some(_), _) => {}
            (None, None) => found.extend(links_of_line(&without_code(line)).map(|target| (place + 1, target))),
        }
    }
    found
}

fn links_of_line(line: &str) -> impl Iterator<Item = String> {
    let inline = line.split("](").skip(1).map(|rest| cut(rest, ')'));
    let pictures = ["src=\"", "href=\""].into_iter().flat_map(|key| line.split(key).skip(1)).map(|rest| cut(rest, '"'));
    let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    let targets = inline.chain(pictures).chain(definition);
    // Behind the target there may be a title: [text](target "title").
    let bare =
        |target: &str| target.trim().trim_start_matches('<').split([' ', '>']).next().unwrap_or_default().to_owned();
    targets.map(bare).collect::<Vec<_>>().into_iter()
}

fn cut(text: &str, end: char) -> &str {
    text.split(end).next().unwrap_or_default()
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    let pieces: Vec<&str> = line.split('`').collect();
    // A backtick without its fellow opens nothing.
    let closed = if pieces.len().is_multiple_of(2) { pieces.len() - 1 } else { pieces.len() };
    let outside = pieces.iter().enumerate().filter(|(place, _)| place % 2 == 0 || *place >= closed);
    outside.map(|(_, piece)| *piece).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::super::tests;

    fn check(content: &str) -> Vec<String> {
        let files = [
            ("docs/guide/start.md", content),
            ("docs/format.md", ""),
            ("crates/store/src/lib.rs", ""),
            ("LICENSE", ""),
        ];
        tests::check(super::check, &files)
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let fine = "[a](../format.md#fields) and [b](/LICENSE), ![c](./start.md \"title\")\n[d]: ../../crates/store\n\
                    [e](https://example.org/x) [f](#here) [g](mailto:a@example.org) [h](/) <img src=\"../format.md\">";
        assert_eq!(check(fine), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_named() {
        assert_eq!(check("\n[a](format.md)"), ["docs/guide/start.md:2: the link `format.md` leads nowhere"]);
        for link in ["[a](../../../LICENSE)", "[a]: missing.md", "<img src=\"x.png\">", "[a](/docs/x) `[b](y)`"] {
            assert_eq!(check(link).len(), 1, "{link}");
        }
    }

    #[test]
    fn code_holds_no_links() {
        assert!(check("```text\n[a](missing.md)\n```\n`[b](missing.md)` ``x``").is_empty());
        assert_eq!(check("~~~\n```\n~~~\n[a](missing.md)").len(), 1);
        assert_eq!(check("a ` alone [a](missing.md)").len(), 1);
    }
}
