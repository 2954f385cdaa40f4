//! What connects an application: a file of its own, and a few marked lines.

use super::files::Folder;

/// How the first of the marked lines is known.
pub(super) const MARK: &str = "everlog: begin";

pub(super) const PYTHON: &str = include_str!("../../../connect/everlog_connect.py");
pub(super) const NODE: &str = include_str!("../../../connect/everlog-connect.cjs");
pub(super) const RUBY: &str = include_str!("../../../connect/everlog_connect.rb");
pub(super) const RAILS: &str = include_str!("../../../connect/everlog_initializer.rb");
pub(super) const RUST: &str = include_str!("../../../connect/everlog_connect.rs");

/// A framework that was found, and how it is connected.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection {
    pub(super) framework: &'static str,
    /// The files by which it was recognised.
    pub(super) seen: String,
    /// Files to write, with their templates.
    pub(super) files: Vec<(String, &'static str)>,
    /// Lines to add; none when it is not clear where.
    pub(super) edit: Option<Edit>,
    /// What remains to be done by hand, whether applied or not.
    pub(super) by_hand: Vec<String>,
}

/// Lines to be added to a file.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) path: String,
    /// The byte before which they come.
    pub(super) at: usize,
    /// The line before which they come, counted from 1.
    pub(super) line: usize,
    /// The lines with their marks, and with a line break before them where the file has none.
    pub(super) block: String,
}

impl Edit {
    /// Lines for a place in a file, with the file's own kind of line break.
    pub(super) fn new(path: &str, text: &str, at: usize, comment: &str, lines: &[String]) -> Self {
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut block = String::new();
        if at > 0 && !text[..at].ends_with('\n') {
            block.push_str(end);
        }
        let (first, last) = (format!("{comment} {MARK}"), format!("{comment} everlog: end"));
        for line in std::iter::once(&first).chain(lines).chain([&last]) {
            block.push_str(line);
            block.push_str(end);
        }
        Self { path: path.to_owned(), at, line: text[..at].lines().count() + 1, block }
    }
}

impl Connection {
    /// What to tell about it: the lines that connect it, unless that is done, and what remains to be done by hand.
    pub(super) fn to_show(&self, folder: &Folder, applied: bool, asked: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let names: Vec<&str> = self.files.iter().map(|(path, _)| path.as_str()).collect();
        if !applied && !asked && (self.edit.is_some() || !names.is_empty()) {
            let what = match &self.edit {
                Some(edit) => format!("writes {} and adds to {}, line {}:", names.join(", "), edit.path, edit.line),
                None => format!("writes {}.", names.join(", ")),
            };
            let command = format!("everlog init {}", folder.shown("")).trim_end().to_owned();
            lines.push(format!("To connect {}, `{command} --apply` {what}", self.framework));
            if let Some(edit) = &self.edit {
                lines.push(String::new());
                lines.extend(edit.block.lines().filter(|line| !line.is_empty()).map(|line| format!("    {line}")));
            }
        }
        if !self.by_hand.is_empty() {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.extend(self.by_hand.iter().cloned());
        }
        lines
    }
}

/// A connector for this log and this server.
pub(super) fn fill(template: &str, log: &str, url: &str) -> String {
    template.replacen("= \"default\"", &format!("= \"{log}\""), 1).replacen(
        "= \"http://127.0.0.1:7171\"",
        &format!("= \"{url}\""),
        1,
    )
}

/// Whether a file has the marked lines already.
pub(super) fn is_marked(folder: &Folder, path: &str) -> bool {
    folder.text(path).is_some_and(|text| text.contains(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connector_has_a_log_and_a_server() {
        for template in [PYTHON, NODE, RUBY, RUST] {
            let filled = fill(template, "shop.v2", "http://[::1]:80");
            assert_eq!(filled.matches("\"shop.v2\"").count(), 1);
            assert_eq!(filled.matches("\"http://[::1]:80\"").count(), 1);
            assert!(!filled.contains("\"default\"") && !filled.contains("7171"), "{filled}");
        }
        assert_eq!(fill(RAILS, "a", "b"), RAILS);
    }

    fn check(text: &str, at: usize, expected: &str) {
        let edit = Edit::new("x", text, at, "#", &["one".to_owned()]);
        assert_eq!(format!("{}{}{}", &text[..at], edit.block, &text[at..]), expected);
    }

    #[test]
    fn lines_follow_the_file() {
        check("a\n", 2, "a\n# everlog: begin\none\n# everlog: end\n");
        check("a", 1, "a\n# everlog: begin\none\n# everlog: end\n");
        check("a\r\nb\r\n", 3, "a\r\n# everlog: begin\r\none\r\n# everlog: end\r\nb\r\n");
        check("", 0, "# everlog: begin\none\n# everlog: end\n");
    }
}
