//! Settings: from `everlog.toml`, from `EVERLOG_*`, from the command line; the last one named wins.
//!
//! One list names every setting with its type and its meaning; the file, the environment and the reference in
//! docs/operating.md follow it. A name that is not in the list is an error that suggests the near one.

mod alerts;
mod forward;
mod print;
mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use axum::http::HeaderName;
use engine::{LogSettings, Settings};
use ipnet::IpNet;

pub(crate) use forward::ForwardConfig;
use print::Origin;
pub(crate) use print::value as print_value;
use settings::{SECRETS, duration, print_size};
pub(crate) use settings::{SETTINGS, address, size};
use text::TreeSettings;

use crate::crawlers::NameServers;
use crate::listen::Place;
use crate::s3::S3Settings;

/// Everything that was decided before the server starts.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Where to listen.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where to listen for clients of Elasticsearch.
    pub(crate) listen_elasticsearch: Vec<SocketAddr>,
    /// Where to listen for exporters of OpenTelemetry.
    pub(crate) listen_otlp: Vec<SocketAddr>,
    /// Where syslog is taken.
    pub(crate) listen_syslog: Vec<Place>,
    pub(crate) syslog_log: String,
    pub(crate) syslog_allow: Vec<IpNet>,
    pub(crate) syslog_tls_cert: PathBuf,
    pub(crate) syslog_tls_key: PathBuf,
    /// Where GELF is taken.
    pub(crate) listen_gelf: Vec<Place>,
    pub(crate) gelf_log: String,
    pub(crate) gelf_allow: Vec<IpNet>,
    /// Whether requests from this machine need a token too.
    pub(crate) require_token: bool,
    /// Largest request body, in bytes after decompression.
    pub(crate) body_bytes_max: usize,
    /// Largest file that comes with an event, in bytes.
    pub(crate) attachment_bytes_max: usize,
    /// Connections at a time.
    pub(crate) connections_max: usize,
    /// What the engine is told.
    pub(crate) engine: Settings,
    /// Whether there is a tree of text files, where, and how it is written.
    pub(crate) tree: bool,
    pub(crate) tree_dir: Option<PathBuf>,
    pub(crate) tree_settings: TreeSettings,
    /// The rules of these logs: keys, fields, path and so on.
    pub(crate) log_options: BTreeMap<String, engine::Options>,
    /// Proxies whose word counts for who a request comes from.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// The header in which a trusted proxy says who the user is.
    pub(crate) user_header: HeaderName,
    /// The same for the session.
    pub(crate) session_header: HeaderName,
    /// Who is asked whether a crawler is the one it says it is.
    pub(crate) name_servers: NameServers,
    /// Variables of the environment that keys may show.
    pub(crate) env_allowed: Vec<String>,
    /// The table `logs` as the file has it.
    log_tables: toml::Table,
    /// The table `forward` as the file has it.
    forward_tables: toml::Table,
    /// What is forwarded to other systems.
    pub(crate) forwards: Vec<ForwardConfig>,
    /// Channels and rules as the file has them, and as they are read.
    channel_tables: toml::Table,
    rule_tables: toml::Table,
    channels: engine::Tables,
    rules: serde_json::Map<String, serde_json::Value>,
    /// The mail server, and whom mails come from.
    pub(crate) smtp: String,
    pub(crate) mail_from: String,
    /// Who is told of configuration errors, and of new errors.
    pub(crate) config_error_report_email: Vec<String>,
    pub(crate) email_errors: Vec<String>,
    /// The least level of events that are printed; none are without it.
    pub(crate) console_log_level: Option<event::Level>,
    /// Where a setting was named last; the others have their defaults.
    origins: BTreeMap<&'static str, Origin>,
    /// Where archived segments go: a folder, or `s3://bucket/prefix`; empty for `archive` in the data directory.
    pub(crate) archive: String,
    /// How the bucket is reached.
    pub(crate) archive_s3: S3Settings,
    /// Logs named in the file, with their retention by stream.
    pub(crate) logs: BTreeMap<String, BTreeMap<String, Duration>>,
    /// The same logs, with when their events go to the archive.
    pub(crate) archiving: BTreeMap<String, LogSettings>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./everlog-data"),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 7171))],
            listen_elasticsearch: Vec::new(),
            listen_otlp: Vec::new(),
            listen_syslog: Vec::new(),
            syslog_log: engine::DEFAULT_LOG.to_owned(),
            syslog_allow: Vec::new(),
            syslog_tls_cert: PathBuf::new(),
            syslog_tls_key: PathBuf::new(),
            listen_gelf: Vec::new(),
            gelf_log: engine::DEFAULT_LOG.to_owned(),
            gelf_allow: Vec::new(),
            require_token: false,
            body_bytes_max: event::limits::BODY_BYTES_MAX,
            attachment_bytes_max: 20 << 20,
            connections_max: 10_000,
            engine: Settings::default(),
            tree: false,
            tree_dir: None,
            tree_settings: TreeSettings::new(PathBuf::new()),
            log_options: BTreeMap::new(),
            trusted_proxies: Vec::new(),
            user_header: HeaderName::from_static("x-everlog-user"),
            session_header: HeaderName::from_static("x-everlog-session"),
            name_servers: NameServers::System,
            env_allowed: Vec::new(),
            log_tables: toml::Table::new(),
            forward_tables: toml::Table::new(),
            forwards: Vec::new(),
            channel_tables: toml::Table::new(),
            rule_tables: toml::Table::new(),
            channels: engine::Tables::new(),
            rules: serde_json::Map::new(),
            smtp: String::new(),
            mail_from: "everlog@localhost".to_owned(),
            config_error_report_email: Vec::new(),
            email_errors: Vec::new(),
            console_log_level: None,
            origins: BTreeMap::new(),
            archive: String::new(),
            archive_s3: S3Settings::default(),
            logs: BTreeMap::new(),
            archiving: BTreeMap::new(),
        }
    }
}

/// A length of time for all streams, or one for each.
fn by_stream(value: &toml::Value) -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut found = BTreeMap::new();
    match value {
        toml::Value::Table(streams) => {
            for (stream, value) in streams {
                let stream = if stream == "default" { "" } else { event::shared::stream_name(stream) };
                found.insert(stream.to_owned(), duration(&plain(value).unwrap_or_default())?);
            }
        }
        other => drop(found.insert(String::new(), duration(&plain(other).unwrap_or_default())?)),
    }
    Ok(found)
}

/// Variables of the environment that are no settings of the server.
const OTHER_VARIABLES: [&str; 5] =
    ["EVERLOG_URL", "EVERLOG_TOKEN", "EVERLOG_CONFIG", "EVERLOG_TRACE", crate::clock::VARIABLE];

impl Config {
    /// Reads the file (`everlog.toml` here, if none is named and it is there), then the environment.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut config = Self::default();
        let default_file = Path::new("everlog.toml");
        let file = match file {
            Some(file) => Some(file),
            None => default_file.try_exists().unwrap_or(false).then_some(default_file),
        };
        if let Some(file) = file {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("the configuration {} cannot be read", file.display()))?;
            config.read_file(file, &text).with_context(|| format!("in {}", file.display()))?;
        }
        config.read_environment(environment)?;
        config.check()?;
        Ok(config)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// When it is no configuration.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut config = Self::default();
        config.read_file(Path::new("everlog.toml"), text)?;
        config.check()?;
        Ok(config)
    }

    fn read_file(&mut self, file: &Path, text: &str) -> anyhow::Result<()> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| anyhow!("{error}"))?;
        for (name, value) in &table {
            if name == "logs" {
                let logs = value
                    .as_table()
                    .ok_or_else(|| anyhow!("`logs` is a table: write [logs.NAME] and its settings below"))?;
                for (log, settings) in logs {
                    self.read_log(log, settings).with_context(|| format!("[logs.{log}]"))?;
                }
                self.log_tables.clone_from(logs);
                continue;
            }
            if name == "forward" {
                self.read_forwards(value)?;
                continue;
            }
            if name == "channels" {
                self.read_channels(value)?;
                continue;
            }
            if name == "rules" {
                self.read_rules(value)?;
                continue;
            }
            if value.is_table() && !SETTINGS.iter().any(|setting| setting.name == name) {
                bail!("unknown table [{name}]{}", table_suggestion(name, value));
            }
            let text = plain(value).ok_or_else(|| anyhow!("{name} takes one value, not a table"))?;
            self.set(name, &text, Origin::File(file.to_owned()))?;
        }
        Ok(())
    }

    fn read_forwards(&mut self, value: &toml::Value) -> anyhow::Result<()> {
        let targets = value
            .as_table()
            .filter(|targets| targets.values().all(toml::Value::is_table))
            .ok_or_else(|| anyhow!("`forward` is a table of targets: write [forward.NAME] and its settings below"))?;
        for (name, table) in targets {
            let read = ForwardConfig::read(name, table).with_context(|| format!("[forward.{name}]"))?;
            self.forwards.push(read);
        }
        self.forward_tables.clone_from(targets);
        Ok(())
    }

    fn read_log(&mut self, log: &str, settings: &toml::Value) -> anyhow::Result<()> {
        let table = settings.as_table().ok_or_else(|| anyhow!("expected a table"))?;
        let retention = self.logs.entry(log.to_owned()).or_default();
        let archiving = self.archiving.entry(log.to_owned()).or_default();
        for (name, value) in table {
            match name.as_str() {
                option if engine::OPTIONS.contains(&option) => {
                    let options = self.log_options.entry(log.to_owned()).or_default();
                    options.insert(name.clone(), serde_json::to_value(value)?);
                }
                "retention" => retention.extend(by_stream(value)?),
                "archive_after" => archiving.archive_after = Some(by_stream(value)?),
                "archive_bytes" => archiving.archive_bytes = Some(size(&plain(value).unwrap_or_default())? as u64),
                setting if SETTINGS.iter().any(|known| known.name == setting) => {
                    bail!("{name} is a setting of the server: put it above the first [logs.…] table")
                }
                _ => bail!(
                    "unknown key {name:?}{}",
                    suggestion(
                        name,
                        ["retention", "archive_after", "archive_bytes"].into_iter().chain(engine::OPTIONS)
                    )
                ),
            }
        }
        Ok(())
    }

    fn read_environment(&mut self, environment: impl Iterator<Item = (String, String)>) -> anyhow::Result<()> {
        for (variable, value) in environment {
            let Some(name) = variable.strip_prefix("EVERLOG_") else { continue };
            if OTHER_VARIABLES.contains(&variable.as_str()) {
                continue;
            }
            let name = name.to_ascii_lowercase();
            if !SETTINGS.iter().any(|setting| setting.name == name) {
                let known = SETTINGS.iter().map(|setting| format!("EVERLOG_{}", setting.name.to_ascii_uppercase()));
                let known: Vec<String> = known.chain(OTHER_VARIABLES.map(str::to_owned)).collect();
                bail!("unknown variable {variable}{}", suggestion(&variable, known.iter().map(String::as_str)));
            }
            let origin = Origin::Environment(variable.clone());
            self.set(&name, &value, origin).with_context(|| format!("the variable {variable}"))?;
        }
        Ok(())
    }

    /// Sets one setting by its name.
    fn set(&mut self, name: &str, text: &str, origin: Origin) -> anyhow::Result<()> {
        let known = SETTINGS.iter().find(|setting| setting.name == name);
        let setting = known.ok_or_else(|| {
            anyhow!(
                "unknown key {name:?}{}",
                suggestion(name, SETTINGS.iter().map(|setting| setting.name).chain(["logs"]))
            )
        })?;
        (setting.set)(self, text).with_context(|| format!("{name} ({})", setting.meaning))?;
        self.origins.insert(setting.name, origin);
        Ok(())
    }

    /// Sets what the command line names.
    ///
    /// # Errors
    /// When the value cannot be.
    pub(crate) fn set_by_option(&mut self, name: &'static str, text: &str) -> anyhow::Result<()> {
        self.set(name, text, Origin::Option(name))
    }

    /// What the engine is told, with the directory of the tree, which lies in the data directory if none was named.
    pub(crate) fn engine_settings(&self) -> Settings {
        let directory = self.tree_dir.clone().unwrap_or_else(|| self.data.join("logs"));
        let tree = self.tree.then(|| TreeSettings { directory, ..self.tree_settings.clone() });
        Settings { tree, ..self.engine.clone() }
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.engine.event_bytes_max > self.body_bytes_max {
            bail!(
                "event_bytes_max ({}) is larger than body_bytes_max ({}): no such event could be sent",
                print_size(self.engine.event_bytes_max),
                print_size(self.body_bytes_max)
            );
        }
        if self.engine.tree_errors && !self.tree {
            bail!("log_errors writes a file of the tree of text files, and there is none: set tree = true");
        }
        self.alert_settings().map(drop)?;
        if self.engine.flush_bytes > self.engine.buffer_bytes_max {
            bail!(
                "flush_bytes ({}) is larger than buffer_bytes_max ({}): writers would wait before anything is flushed",
                print_size(self.engine.flush_bytes),
                print_size(self.engine.buffer_bytes_max)
            );
        }
        Ok(())
    }
}

fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match engine::suggest(name, known.iter().copied()) {
        Some(near) => format!(": did you mean {near:?}?"),
        None => format!("; the keys are {}", known.join(", ")),
    }
}

/// What a table that there is not may have been meant to be: `[log.shop]` is `[logs.shop]`, and `[shop]` too.
fn table_suggestion(name: &str, value: &toml::Value) -> String {
    let inner = value.as_table().and_then(|table| table.iter().find(|(_, value)| value.is_table()));
    match (inner, engine::suggest(name, ["logs", "forward", "channels", "rules"].into_iter())) {
        (Some((inner, _)), Some(table)) => format!(": did you mean [{table}.{inner}]?"),
        (None, None) => format!(": did you mean [logs.{name}]?"),
        _ => "; the only tables are [logs.NAME], [forward.NAME], [channels.NAME] and [rules.NAME]".to_owned(),
    }
}

fn plain(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Option<Vec<_>>>()?.join(","),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let mut config = Config::default();
        let read = config.read_file(Path::new("everlog.toml"), file).and_then(|()| {
            config.read_environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
        });
        read.and_then(|()| config.check()).map(|()| config).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn reads_file_and_environment() {
        let config = load("listen = \"0.0.0.0:80\"\nbody_bytes_max = \"64MiB\"\n[logs.shop]\nretention = { default = \"90d\", DEBUG = \"7d\" }\n", &[("EVERLOG_REQUIRE_TOKEN", "y"), ("HOME", "/")]).unwrap();
        assert_eq!(config.listen[0].port(), 80);
        assert_eq!(config.body_bytes_max, 64 << 20);
        assert!(config.require_token);
        assert_eq!(config.logs["shop"].len(), 2);
        assert_eq!(config.logs["shop"]["DEBUG"].as_secs(), 7 * 86_400);
    }

    #[test]
    fn archives_and_their_secrets() {
        let file = "archive = \"s3://bucket/everlog/\"\narchive_s3_secret_key = \"hush\"\n[logs.shop]\narchive_after = { default = \"30d\", DEBUG = \"7d\" }\narchive_bytes = \"50GiB\"";
        let config = load(file, &[]).unwrap();
        assert_eq!(config.archive, "s3://bucket/everlog");
        assert!(!format!("{} {:?}", config.print(), config.archive_s3).contains("hush"));
        let shop = &config.archiving["shop"];
        assert_eq!((shop.archive_after.as_ref().map(BTreeMap::len), shop.archive_bytes), (Some(2), Some(50 << 30)));
        assert!(load("archive = \"ftp://host\"", &[]).unwrap_err().contains("s3://bucket/prefix"));
        assert!(load("archive = \"s3:///x\"", &[]).is_err());
    }

    #[test]
    fn a_wrong_key_suggests_the_right_one() {
        assert!(load("lisen = \"1\"", &[]).unwrap_err().contains("did you mean \"listen\"?"));
        assert!(load("", &[("EVERLOG_BODY_BYTES_MX", "1")]).unwrap_err().contains("EVERLOG_BODY_BYTES_MX"));
        assert!(load("[logs.a]\nretentoin = \"1d\"", &[]).unwrap_err().contains("did you mean \"retention\"?"));
        let misplaced = load("[logs.a]\ntree = true", &[]).unwrap_err();
        assert!(misplaced.contains("setting of the server: put it above the first [logs.…] table"), "{misplaced}");
        for (table, meant) in [("log.shop", "logs.shop"), ("shop", "logs.shop"), ("chanels.ops", "channels.ops")] {
            let error = load(&format!("[{table}]\nretention = \"1d\""), &[]).unwrap_err();
            assert!(error.contains(&format!("did you mean [{meant}]?")), "{error}");
        }
        assert!(load("[a.b]\nc = 1", &[]).unwrap_err().contains("the only tables are [logs.NAME], [forward.NAME]"));
        assert!(load("[listen]\na = 1", &[]).unwrap_err().contains("listen takes one value"));
        assert!(load("body_bytes_max = \"many\"", &[]).unwrap_err().contains("expected a size"));
        assert!(load("event_bytes_max = \"1GiB\"", &[]).unwrap_err().contains("larger than body_bytes_max"));
        assert!(load("flush_after = \"soon\"", &[]).unwrap_err().contains("expected a time"));
    }

    #[test]
    fn levels_of_sinks() {
        let variables = [("EVERLOG_LOGFILE_LOG_LEVEL", "WARNING"), ("EVERLOG_CONSOLE_LOG_LEVEL", "")];
        let config = load("tree = true\nlog_errors = true\nconsole_log_level = \"debug\"", &variables).unwrap();
        let settings = config.engine_settings();
        assert_eq!((settings.tree_level_min, settings.tree_errors), (Some(event::Level::Warning), true));
        assert_eq!(config.console_log_level, None);
        assert!(config.print().contains("logfile_log_level = \"warning\""));
        assert!(load("log_errors = true", &[]).unwrap_err().contains("set tree = true"));
        assert!(load("console_log_level = \"loud\"", &[]).unwrap_err().contains("expected one of trace, debug"));
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let file = "listen = [\"0.0.0.0:80\", \"[::1]:81\"]
logs_max = 7
[logs.\"a b\"]
retention = \"9d\"
";
        let config = load(file, &[("EVERLOG_DATA", "a \"b\""), ("EVERLOG_REQUIRE_TOKEN", "yes")]).unwrap();
        let printed = config.print();
        let place = |name: &str| printed.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(place("data = ").ends_with("# environment EVERLOG_DATA"), "{printed}");
        assert!(place("logs_max = 7 ").ends_with("# file everlog.toml"), "{printed}");
        assert!(place("flush_after = \"5m\" ").ends_with("# default"), "{printed}");
        let again = load(&printed, &[]).unwrap();
        assert_eq!(again.data, PathBuf::from("a \"b\""));
        let values = |config: &Config| SETTINGS.iter().map(|setting| setting.value(config)).collect::<Vec<_>>();
        assert_eq!((values(&again), &again.logs), (values(&config), &config.logs));
    }

    #[test]
    fn a_secret_is_marked_as_one() {
        let named = |name: &str| {
            name.contains("secret") || name.contains("password") || name.ends_with("_token") || name == "smtp"
        };
        for setting in SETTINGS.iter().filter(|setting| named(setting.name) && setting.name != "require_token") {
            assert!(SECRETS.contains(&setting.name), "{} is printed", setting.name);
        }
        assert!(SECRETS.iter().all(|name| SETTINGS.iter().any(|setting| setting.name == *name)));
    }
}
