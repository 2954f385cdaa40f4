//! Snippets of a page: fenced blocks that name a file.

use anyhow::bail;

/// Every block whose fence has a title, as in ```` ```python title="app.py" ````, with the file it names.
///
/// # Errors
///
/// When a block does not end, or would be written outside of its folder.
pub(super) fn of(page: &str) -> anyhow::Result<Vec<(&str, &str)>> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(start) = fence(rest) {
        let block = &rest[start + 3..];
        let Some((info, body)) = block.split_once('\n') else { bail!("a fence without an end") };
        let Some(end) = fence(body) else { bail!("the block `{info}` has no end") };
        if let Some((_, title)) = info.split_once("title=\"") {
            let title = title.split('"').next().unwrap_or_default();
            if title.is_empty() || title.starts_with('/') || title.split('/').any(|part| part == "..") {
                bail!("`{title}` is no file name for a snippet");
            }
            found.push((title, &body[..end]));
        }
        rest = body[end..].split_once('\n').map_or("", |(_, rest)| rest);
    }
    Ok(found)
}

/// Where the next line begins that is a fence.
fn fence(text: &str) -> Option<usize> {
    if text.starts_with("```") { Some(0) } else { text.find("\n```").map(|at| at + 1) }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn blocks_with_a_title() {
        let page = "# A\n\n```sh\nls\n```\n\n```python title=\"app.py\"\nimport a\n\nb()\n```\ntext\n```js title=\"x/y.js\"\n```\n";
        assert_eq!(of(page).unwrap(), [("app.py", "import a\n\nb()\n"), ("x/y.js", "")]);
        assert!(of("```python title=\"../app.py\"\n```\n").is_err());
        assert!(of("```python title=\"app.py\"\nimport").is_err());
    }
}
