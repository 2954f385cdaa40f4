//! A page of HTML as a browser reads it: tags, their attributes, texts.

/// What a page consists of, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Open(String, Vec<(String, String)>),
    Close(String),
    Text(String),
}

/// A page, taken apart.
#[derive(Debug)]
pub(crate) struct Page(pub(crate) Vec<Part>);

impl Page {
    /// Takes a page apart, and checks that nothing in it can run, load something, or lead elsewhere.
    #[track_caller]
    pub(crate) fn read(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text.strip_prefix("<!doctype html>").expect("a page begins with its doctype");
        while !rest.is_empty() {
            let Some(tag) = rest.strip_prefix('<') else {
                let end = rest.find('<').unwrap_or(rest.len());
                parts.push(Part::Text(unescaped(&rest[..end])));
                rest = &rest[end..];
                continue;
            };
            let (part, after) = read_tag(tag);
            rest = after;
            if part == Part::Open("style".into(), vec![]) {
                // What stands in it is no markup.
                rest = &rest[rest.find("</style>").unwrap()..];
            }
            parts.push(part);
        }
        let page = Self(parts);
        page.check();
        page
    }

    fn check(&self) {
        const TAGS: [&str; 41] = [
            "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav", "h1", "p", "a", "b",
            "i", "div", "span", "form", "input", "select", "option", "datalist", "button", "label", "fieldset",
            "legend", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "time", "pre", "section",
            "ul", "li", "br", "em",
        ];
        for part in &self.0 {
            let Part::Open(tag, attributes) = part else { continue };
            assert!(TAGS.contains(&tag.as_str()), "<{tag}> has no place on a page");
            for (name, value) in attributes {
                assert!(
                    !name.starts_with("on")
                        && !["style", "src", "srcset", "formaction", "action"].contains(&name.as_str()),
                    "{tag} {name}"
                );
                let leads_here = value.starts_with('?') || (value.starts_with('/') && !value.starts_with("//"));
                assert!(name != "href" || leads_here, "a link to {value}");
            }
        }
    }

    /// The attributes of the tags of a name.
    pub(crate) fn tags(&self, wanted: &str) -> Vec<&[(String, String)]> {
        let tag = |part: &'_ Part| matches!(part, Part::Open(tag, _) if tag == wanted);
        self.0
            .iter()
            .filter(|part| tag(part))
            .map(|part| if let Part::Open(_, found) = part { &found[..] } else { &[] })
            .collect()
    }

    /// The texts of the cells of each row of the table's body.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let (mut rows, mut in_body, mut in_cell) = (Vec::<Vec<String>>::new(), false, false);
        for part in &self.0 {
            match part {
                Part::Open(tag, _) if tag == "tbody" => in_body = true,
                Part::Close(tag) if tag == "tbody" => in_body = false,
                Part::Open(tag, _) if in_body && tag == "tr" => rows.push(Vec::new()),
                Part::Open(tag, _) if in_body && matches!(tag.as_str(), "td" | "th") => {
                    in_cell = true;
                    rows.last_mut().unwrap().push(String::new());
                }
                Part::Close(tag) if matches!(tag.as_str(), "td" | "th") => in_cell = false,
                Part::Text(text) if in_body && in_cell => rows.last_mut().unwrap().last_mut().unwrap().push_str(text),
                _ => {}
            }
        }
        rows
    }

    /// The first link with this text.
    #[track_caller]
    pub(crate) fn link(&self, text: &str) -> String {
        let at = self.0.windows(2).position(
            |pair| matches!(pair, [Part::Open(tag, _), Part::Text(found)] if tag == "a" && found.trim() == text),
        );
        match at.map(|at| &self.0[at]) {
            Some(Part::Open(_, attributes)) => attribute(attributes, "href").unwrap().to_owned(),
            _ => panic!("there is no link {text:?}"),
        }
    }

    /// All text between tags.
    pub(crate) fn text(&self) -> String {
        self.0.iter().filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None }).collect()
    }

    /// The value of an input.
    #[track_caller]
    pub(crate) fn input(&self, name: &str) -> String {
        let inputs = self.tags("input");
        let found = inputs.iter().find(|input| attribute(input, "name") == Some(name));
        found
            .and_then(|input| attribute(input, "value"))
            .unwrap_or_else(|| panic!("there is no input {name:?}"))
            .to_owned()
    }
}

pub(crate) fn attribute<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The tag behind a `<`, and what comes after it.
fn read_tag(text: &str) -> (Part, &str) {
    let end = text.find(|character: char| character.is_whitespace() || character == '>').unwrap();
    let (name, mut rest) = text.split_at(end);
    if let Some(name) = name.strip_prefix('/') {
        return (Part::Close(name.to_owned()), rest.trim_start().strip_prefix('>').unwrap());
    }
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            return (Part::Open(name.to_owned(), attributes), after);
        }
        let end = rest.find(|character: char| character.is_whitespace() || matches!(character, '=' | '>')).unwrap();
        let (key, after) = rest.split_at(end);
        assert!(key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "an attribute {key:?}");
        let mut value = "";
        rest = after;
        if let Some(after) = after.strip_prefix("=\"") {
            (value, rest) = after.split_once('"').unwrap();
        }
        attributes.push((key.to_owned(), unescaped(value)));
    }
}

fn unescaped(text: &str) -> String {
    assert!(!text.contains(['<', '>']), "a sign that is not escaped in {text:?}");
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    text.replace("&amp;", "&")
}
