//! Express projects.

use super::super::connect::{Connection, Edit, NODE};
use super::super::files::Folder;

const CONNECTOR: &str = "everlog-connect.cjs";

const ENDINGS: [&str; 3] = [".js", ".mjs", ".cjs"];

/// Where an application is made, when package.json does not say.
const LIKELY: [&str; 3] = ["app", "server", "index"];

pub(super) fn express(folder: &Folder) -> Option<Connection> {
    let manifest: serde_json::Value = serde_json::from_str(&folder.text("package.json")?).ok()?;
    ["dependencies", "devDependencies"].iter().find(|table| manifest[**table].get("express").is_some())?;
    let named = manifest["main"].as_str().map(|path| path.trim_start_matches("./").to_owned());
    let named = named.filter(|path| !path.starts_with('/') && !path.split('/').any(|part| part == ".."));
    let likely = ["", "src/"].iter().flat_map(|above| {
        LIKELY.iter().flat_map(move |name| ENDINGS.iter().map(move |ending| format!("{above}{name}{ending}")))
    });
    let found = named.into_iter().chain(likely).find_map(|path| {
        let text = folder.text(&path)?;
        let (name, at) = application(&text)?;
        Some((path, text, name, at))
    });
    let Some((path, text, name, at)) = found else {
        let by_hand = [
            "Express: add this after the application is made and before its routes, by hand:",
            "",
            "    require(\"./everlog-connect.cjs\").connect(app)",
        ];
        return Some(Connection {
            framework: "Express",
            seen: "package.json".to_owned(),
            files: vec![(CONNECTOR.to_owned(), NODE)],
            edit: None,
            by_hand: by_hand.map(str::to_owned).to_vec(),
        });
    };
    let module = path.ends_with(".mjs") || (manifest["type"] == "module" && !path.ends_with(".cjs"));
    let lines = if module {
        vec![format!("import everlogConnect from \"./{CONNECTOR}\";"), format!("everlogConnect.connect({name});")]
    } else {
        vec![format!("require(\"./{CONNECTOR}\").connect({name});")]
    };
    let above = path.rsplit_once('/').map_or(String::new(), |(above, _)| format!("{above}/"));
    Some(Connection {
        framework: "Express",
        seen: format!("package.json, {path}"),
        files: vec![(format!("{above}{CONNECTOR}"), NODE)],
        edit: Some(Edit::new(&path, &text, at, "//", &lines)),
        by_hand: Vec::new(),
    })
}

/// The name of the application, and the end of the line that makes it.
fn application(text: &str) -> Option<(String, usize)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let Some(rest) = ["const ", "let ", "var "].iter().find_map(|word| line.strip_prefix(word)) else { continue };
        let Some((name, made)) = rest.split_once('=') else { continue };
        let (name, made) = (name.trim(), made.trim().trim_end_matches(';'));
        let plain =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'));
        if plain && matches!(made, "express()" | "require('express')()" | "require(\"express\")()") {
            return Some((name.to_owned(), at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::application;

    #[test]
    fn the_application_is_found_where_it_is_made() {
        assert_eq!(application("x\nconst app = express();\ny\n"), Some(("app".to_owned(), 25)));
        assert_eq!(application("var web = require('express')()"), Some(("web".to_owned(), 30)));
        assert_eq!(application("  const app = express()\n"), None);
        assert_eq!(application("const app = express.Router()\n"), None);
    }
}
