//! The tables `[forward.NAME]`: which events go where, and with whose right.
//!
//! A value that is `${VARIABLE}` stands in the environment. Secrets are kept in headers marked as such, and never shown.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::filter::Filter;
use engine::{DEFAULT_LOG, ForwardSettings, Target, check_log_name, search};
use reqwest::Url;

use super::suggestion;

/// The keys of such a table.
const KEYS: [&str; 14] = [
    "log", "to", "url", "index", "format", "username", "password", "api_key", "bearer", "headers", "filter", "since",
    "gzip", "ca",
];

/// Those that are never shown.
const SECRETS: [&str; 4] = ["password", "api_key", "bearer", "headers"];

/// What is forwarded, and how its target is reached.
#[derive(Clone, Debug)]
pub(crate) struct ForwardConfig {
    pub(crate) settings: ForwardSettings,
    /// Where requests go, without a name or a password.
    pub(crate) url: Url,
    /// What every request has besides, secrets among them.
    pub(crate) headers: HeaderMap,
    /// Whether bodies are compressed.
    pub(crate) gzip: bool,
    /// Certificates of authorities that count beside those of the system.
    pub(crate) ca: Option<PathBuf>,
}

/// The texts of a table, with the environment put in.
struct Table<'a> {
    table: &'a toml::Table,
}

impl Table<'_> {
    fn text(&self, key: &str) -> anyhow::Result<Option<String>> {
        match self.table.get(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) => environment(text).with_context(|| key.to_owned()).map(Some),
            Some(other) => bail!("{key} takes a text, not {other}"),
        }
    }

    fn one_of(&self, key: &str, known: &[&'static str]) -> anyhow::Result<Option<&'static str>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let found = known.iter().find(|known| **known == text);
        found.map(|found| Some(*found)).ok_or_else(|| anyhow!("{key} is one of {}, found {text:?}", known.join(", ")))
    }
}

/// A text, or what the variable holds that it names.
fn environment(text: &str) -> anyhow::Result<String> {
    let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return Ok(text.to_owned());
    };
    std::env::var(name).map_err(|_| anyhow!("the variable {name} is not set in the environment of the server"))
}

impl ForwardConfig {
    /// Reads the table of a target.
    pub(super) fn read(name: &str, value: &toml::Value) -> anyhow::Result<Self> {
        check_log_name(name).map_err(|_| anyhow!("a target is named like a log: letters, digits, `_`, `-` and `.`"))?;
        let table = value.as_table().ok_or_else(|| anyhow!("expected a table"))?;
        if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            bail!("unknown key {unknown:?}{}", suggestion(unknown, KEYS.into_iter()));
        }
        let table = Table { table };
        let log = table.text("log")?.unwrap_or_else(|| DEFAULT_LOG.to_owned());
        check_log_name(&log)?;
        let target = target(&table, &log)?;
        let (url, mut headers) = address(&table, &target)?;
        own_headers(&table, &mut headers)?;
        let search = table.text("filter")?;
        let settings = ForwardSettings {
            name: name.to_owned(),
            log,
            shown_url: shown(&url),
            target,
            filter: filter(search.as_deref().unwrap_or_default())?,
            from_start: table.one_of("since", &["start", "now"])? == Some("start"),
        };
        let gzip = match table.table.get("gzip") {
            None => false,
            Some(toml::Value::Boolean(truth)) => *truth,
            Some(other) => bail!("gzip is true or false, found {other}"),
        };
        let ca = table.text("ca")?.map(PathBuf::from);
        Ok(Self { settings, url, headers, gzip, ca })
    }
}

fn target(table: &Table<'_>, log: &str) -> anyhow::Result<Target> {
    let to = table.one_of("to", &["elasticsearch", "otlp", "webhook"])?;
    let to = to.ok_or_else(|| anyhow!("to is missing: elasticsearch (OpenSearch too), otlp or webhook"))?;
    let only = |key: &str, at: &str| match table.table.contains_key(key) && to != at {
        true => Err(anyhow!("{key} is for to = {at:?}, this is {to:?}")),
        false => Ok(()),
    };
    only("index", "elasticsearch")?;
    only("format", "webhook")?;
    Ok(match to {
        "elasticsearch" => {
            let index = table.text("index")?.unwrap_or_else(|| log.to_owned());
            check_index(&index)?;
            Target::Elasticsearch { index }
        }
        "otlp" => Target::Otlp,
        _ => Target::Webhook { array: table.one_of("format", &["ndjson", "json"])? == Some("json") },
    })
}

/// What Elasticsearch and OpenSearch ask of the name of an index.
fn check_index(index: &str) -> anyhow::Result<()> {
    let forbidden = |character: char| character.is_uppercase() || " \"*\\<|,>/?#:".contains(character);
    if index.is_empty() || index.len() > 255 || index.starts_with(['-', '_', '+']) || index.contains(forbidden) {
        bail!(
            "index: {index:?} cannot be the name of an index: lower case, none of space \" * \\ < | , > / ? # :, and not beginning with - _ +"
        );
    }
    Ok(())
}

/// Where requests go, and the header that says with whose right.
fn address(table: &Table<'_>, target: &Target) -> anyhow::Result<(Url, HeaderMap)> {
    let text = table.text("url")?.ok_or_else(|| anyhow!("url is missing: such as http://127.0.0.1:9200"))?;
    // What is wrong with it may be shown, but not the whole: a password may stand in it.
    let mut url = Url::parse(&text).map_err(|error| anyhow!("url: {error}: expected one like https://host:9200"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        bail!("url: expected one like https://host:9200");
    }
    let in_url = |text: &str| percent_decoded(text);
    let username = table.text("username")?.or_else(|| Some(in_url(url.username())).filter(|name| !name.is_empty()));
    let password = table.text("password")?.or_else(|| url.password().map(in_url));
    let (Ok(()), Ok(())) = (url.set_username(""), url.set_password(None)) else {
        bail!("url: this host takes no user")
    };
    url.set_fragment(None);
    let base = url.path().trim_end_matches('/').to_owned();
    match target {
        Target::Elasticsearch { .. } => {
            let base = base.strip_suffix("/_bulk").unwrap_or(&base);
            url.set_path(&format!("{base}/_bulk"));
            url.query_pairs_mut().append_pair("filter_path", "errors,items.*.status,items.*.error");
        }
        Target::Otlp if !base.ends_with("/v1/logs") => url.set_path(&format!("{base}/v1/logs")),
        Target::Otlp | Target::Webhook { .. } => {}
    }
    let basic = |name: String| STANDARD.encode(format!("{name}:{}", password.clone().unwrap_or_default()));
    let rights: Vec<String> = [
        username.map(|name| format!("Basic {}", basic(name))),
        table.text("api_key")?.map(|key| format!("ApiKey {key}")),
        table.text("bearer")?.map(|token| format!("Bearer {token}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut headers = HeaderMap::new();
    match &rights[..] {
        [] => {}
        [right] => drop(headers.insert(header::AUTHORIZATION, secret(right)?)),
        _ => bail!("username, api_key and bearer do not go together: name one"),
    }
    Ok((url, headers))
}

fn own_headers(table: &Table<'_>, headers: &mut HeaderMap) -> anyhow::Result<()> {
    let Some(named) = table.table.get("headers") else { return Ok(()) };
    let named = named.as_table().ok_or_else(|| anyhow!("headers is a table: headers = {{ \"X-Key\" = \"…\" }}"))?;
    for (name, value) in named {
        let text = value.as_str().ok_or_else(|| anyhow!("headers: {name} takes a text"))?;
        let name: HeaderName = name.parse().map_err(|_| anyhow!("headers: {name:?} is no name of a header"))?;
        let value = environment(text).and_then(|text| secret(&text)).with_context(|| format!("headers: {name}"))?;
        headers.insert(name, value);
    }
    Ok(())
}

fn secret(text: &str) -> anyhow::Result<HeaderValue> {
    // What it holds is not said.
    let mut value = HeaderValue::from_str(text).map_err(|_| anyhow!("this cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn percent_decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn filter(text: &str) -> anyhow::Result<Filter> {
    search::parse(text, jiff::Timestamp::now()).map_err(|error| anyhow!("filter:\n{}", error.pointed(text)))
}

/// An address as people may see it: its query may hold a key.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.to_string()
}

/// The tables as a file would have them, without their secrets.
pub(super) fn print(tables: &toml::Table) -> String {
    let mut out = String::new();
    for (name, table) in tables {
        out.extend([format!("\n[forward.{}]\n", key(name))]);
        for (name, value) in table.as_table().into_iter().flatten() {
            let telling = value.as_str().is_some_and(|text| text.contains('@') || text.contains('?'));
            let named = value.as_str().is_some_and(|text| text.starts_with("${") && text.ends_with('}'));
            let is_secret = SECRETS.contains(&name.as_str()) || (name == "url" && telling);
            let line = if is_secret && !named { format!("# {name} = (set)\n") } else { format!("{name} = {value}\n") };
            out.extend([line]);
        }
    }
    out
}

fn key(name: &str) -> String {
    let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { name.to_owned() } else { toml::Value::String(name.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ForwardConfig, String> {
        let table: toml::Table = text.parse().unwrap();
        ForwardConfig::read("es", &toml::Value::Table(table)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_target_is_read_and_its_secrets_are_not_shown() {
        let text = "to = \"elasticsearch\"\nurl = \"https://bob:hush%2B1@es:9200/x\"\nlog = \"log2\"\nindex = \"log1\"\nfilter = \"level:error\"\nsince = \"start\"\n";
        let found = read(text).unwrap();
        assert_eq!(found.url.as_str(), "https://es:9200/x/_bulk?filter_path=errors%2Citems.*.status%2Citems.*.error");
        assert_eq!(found.settings.shown_url, "https://es:9200/x/_bulk");
        assert_eq!(found.settings.target, Target::Elasticsearch { index: "log1".to_owned() });
        assert!(found.settings.from_start && found.settings.filter != Filter::All);
        assert_eq!(found.headers[header::AUTHORIZATION], format!("Basic {}", STANDARD.encode("bob:hush+1")));
        let shown = format!(
            "{found:?} {}",
            print(&toml::Table::from_iter([("es".to_owned(), text.parse::<toml::Table>().unwrap().into())]))
        );
        assert!(!shown.contains("hush") && shown.contains("# url = (set)"), "{shown}");
        let otlp = read("to = \"otlp\"\nurl = \"http://c:4318\"\nbearer = \"t\"\nheaders = { X-Key = \"k\" }").unwrap();
        assert_eq!((otlp.url.path(), otlp.headers.len()), ("/v1/logs", 2));
        assert!(!format!("{otlp:?}").contains("Bearer"));
    }

    #[test]
    fn a_mistake_is_named() {
        let base = "to = \"webhook\"\nurl = \"http://h\"\n";
        for (text, told) in [
            ("to = \"elastic\"\nurl = \"http://h\"".to_owned(), "to is one of elasticsearch, otlp, webhook"),
            ("to = \"webhook\"".to_owned(), "url is missing"),
            ("url = \"http://h\"".to_owned(), "to is missing"),
            ("to = \"webhook\"\nurl = \"ftp://h\"".to_owned(), "expected one like"),
            (format!("{base}usrname = \"x\""), "did you mean \"username\"?"),
            (format!("{base}index = \"x\""), "index is for to = \"elasticsearch\""),
            (format!("{base}since = \"yesterday\""), "since is one of start, now"),
            (format!("{base}bearer = \"x\"\napi_key = \"y\""), "do not go together"),
            (format!("{base}bearer = \"${{EVERLOG_NO_SUCH_VARIABLE}}\""), "EVERLOG_NO_SUCH_VARIABLE is not set"),
            (format!("{base}filter = \"level:(\""), "filter:"),
            (format!("{base}gzip = \"y\""), "gzip is true or false"),
            ("to = \"elasticsearch\"\nurl = \"http://h\"\nlog = \"Shop\"".to_owned(), "lower case"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
