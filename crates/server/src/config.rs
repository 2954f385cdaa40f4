//! Settings: from `everlog.toml`, from `EVERLOG_*`, from the command line; the last one named wins.
//!
//! One list names every setting with its type and its meaning; the file, the environment and the reference in
//! docs/operating.md follow it. A name that is not in the list is an error that suggests the near one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use engine::{LogSettings, Settings, parse_duration, print_duration};

use crate::s3::S3Settings;

/// Everything that was decided before the server starts.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Where to listen.
    pub(crate) listen: Vec<SocketAddr>,
    /// Whether requests from this machine need a token too.
    pub(crate) require_token: bool,
    /// Largest request body, in bytes after decompression.
    pub(crate) body_bytes_max: usize,
    /// Connections at a time.
    pub(crate) connections_max: usize,
    /// What the engine is told.
    pub(crate) engine: Settings,
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
            require_token: false,
            body_bytes_max: event::limits::BODY_BYTES_MAX,
            connections_max: 10_000,
            engine: Settings::default(),
            archive: String::new(),
            archive_s3: S3Settings::default(),
            logs: BTreeMap::new(),
            archiving: BTreeMap::new(),
        }
    }
}

type Set = fn(&mut Config, &str) -> anyhow::Result<()>;
type Show = fn(&Config) -> String;

/// A setting: its name, what it means, how it is set, how it is shown.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    set: Set,
    show: Show,
}

/// Every setting there is, beside the logs.
pub(crate) const SETTINGS: [Setting; 18] = [
    Setting {
        name: "data",
        meaning: "the data directory",
        set: |config, text| {
            config.data = text.into();
            Ok(())
        },
        show: |config| config.data.display().to_string(),
    },
    Setting {
        name: "listen",
        meaning: "addresses to listen on, separated by commas",
        set: set_listen,
        show: show_listen,
    },
    Setting {
        name: "require_token",
        meaning: "whether requests from this machine need a token too",
        set: |config, text| {
            config.require_token = truth(text)?;
            Ok(())
        },
        show: |config| config.require_token.to_string(),
    },
    Setting {
        name: "connections_max",
        meaning: "connections at a time",
        set: |config, text| {
            config.connections_max = number(text)?;
            Ok(())
        },
        show: |config| config.connections_max.to_string(),
    },
    Setting {
        name: "body_bytes_max",
        meaning: "largest request body, after decompression",
        set: |config, text| {
            config.body_bytes_max = size(text)?;
            Ok(())
        },
        show: |config| print_size(config.body_bytes_max),
    },
    Setting {
        name: "event_bytes_max",
        meaning: "largest event, as JSON",
        set: |config, text| {
            config.engine.event_bytes_max = size(text)?;
            Ok(())
        },
        show: |config| print_size(config.engine.event_bytes_max),
    },
    Setting {
        name: "flush_bytes",
        meaning: "size of the buffer at which it is written to segments",
        set: |config, text| {
            config.engine.flush_bytes = size(text)?;
            Ok(())
        },
        show: |config| print_size(config.engine.flush_bytes),
    },
    Setting {
        name: "flush_after",
        meaning: "how long events stay in the buffer at most",
        set: |config, text| {
            config.engine.flush_after = duration(text)?;
            Ok(())
        },
        show: |config| print_duration(config.engine.flush_after),
    },
    Setting {
        name: "buffer_bytes_max",
        meaning: "size of the buffer at which writers are asked to wait (429)",
        set: |config, text| {
            config.engine.buffer_bytes_max = size(text)?;
            Ok(())
        },
        show: |config| print_size(config.engine.buffer_bytes_max),
    },
    Setting {
        name: "query_memory_bytes",
        meaning: "memory for sorting, joining and grouping, of all questions together",
        set: |config, text| {
            config.engine.query_memory_bytes = size(text)?;
            Ok(())
        },
        show: |config| print_size(config.engine.query_memory_bytes),
    },
    Setting {
        name: "query_time_max",
        meaning: "how long one question may take",
        set: |config, text| {
            config.engine.query_time_max = duration(text)?;
            Ok(())
        },
        show: |config| print_duration(config.engine.query_time_max),
    },
    Setting {
        name: "query_rows_max",
        meaning: "rows of one SQL answer",
        set: |config, text| {
            config.engine.query_rows_max = number(text)?;
            Ok(())
        },
        show: |config| config.engine.query_rows_max.to_string(),
    },
    Setting {
        name: "logs_max",
        meaning: "how many logs there may be",
        set: |config, text| {
            config.engine.logs_max = number(text)?;
            Ok(())
        },
        show: |config| config.engine.logs_max.to_string(),
    },
    Setting {
        name: "archive",
        meaning: "where archived segments go: a folder, or s3://bucket/prefix",
        set: set_archive,
        show: |config| config.archive.clone(),
    },
    Setting {
        name: "archive_s3_endpoint",
        meaning: "address of the S3 service, if it is not Amazon's",
        set: |config, text| {
            config.archive_s3.endpoint = text.to_owned();
            Ok(())
        },
        show: |config| config.archive_s3.endpoint.clone(),
    },
    Setting {
        name: "archive_s3_region",
        meaning: "region of the bucket",
        set: |config, text| {
            config.archive_s3.region = text.to_owned();
            Ok(())
        },
        show: |config| config.archive_s3.region.clone(),
    },
    Setting {
        name: "archive_s3_access_key",
        meaning: "name of the key to the bucket",
        set: |config, text| {
            config.archive_s3.access_key = text.to_owned();
            Ok(())
        },
        show: |config| config.archive_s3.access_key.clone(),
    },
    Setting {
        name: "archive_s3_secret_key",
        meaning: "the secret of the key to the bucket",
        set: |config, text| {
            config.archive_s3.secret_key = text.to_owned();
            Ok(())
        },
        show: |config| masked(&config.archive_s3.secret_key),
    },
];

/// A secret as it may be shown.
fn masked(secret: &str) -> String {
    if secret.is_empty() { String::new() } else { "********".to_owned() }
}

fn set_archive(config: &mut Config, text: &str) -> anyhow::Result<()> {
    match text.split_once("://") {
        Some(("s3", rest)) if rest.split('/').next().is_some_and(|bucket| !bucket.is_empty()) => {}
        Some(_) => bail!("expected a folder or s3://bucket/prefix, found {text:?}"),
        None => {}
    }
    config.archive = text.trim_end_matches('/').to_owned();
    Ok(())
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
const OTHER_VARIABLES: [&str; 4] = ["EVERLOG_URL", "EVERLOG_TOKEN", "EVERLOG_CONFIG", "EVERLOG_TRACE"];

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
            config.read_file(&text).with_context(|| format!("in {}", file.display()))?;
        }
        config.read_environment(environment)?;
        config.check()?;
        Ok(config)
    }

    fn read_file(&mut self, text: &str) -> anyhow::Result<()> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| anyhow!("{error}"))?;
        for (name, value) in &table {
            if name == "logs" {
                let logs = value
                    .as_table()
                    .ok_or_else(|| anyhow!("`logs` is a table: write [logs.NAME] and its settings below"))?;
                for (log, settings) in logs {
                    self.read_log(log, settings).with_context(|| format!("[logs.{log}]"))?;
                }
                continue;
            }
            let text = plain(value).ok_or_else(|| anyhow!("{name} takes one value, not a table"))?;
            self.set(name, &text)?;
        }
        Ok(())
    }

    fn read_log(&mut self, log: &str, settings: &toml::Value) -> anyhow::Result<()> {
        let table = settings.as_table().ok_or_else(|| anyhow!("expected a table"))?;
        let retention = self.logs.entry(log.to_owned()).or_default();
        let archiving = self.archiving.entry(log.to_owned()).or_default();
        for (name, value) in table {
            match name.as_str() {
                "retention" => retention.extend(by_stream(value)?),
                "archive_after" => archiving.archive_after = Some(by_stream(value)?),
                "archive_bytes" => archiving.archive_bytes = Some(size(&plain(value).unwrap_or_default())? as u64),
                _ => bail!(
                    "unknown key {name:?}{}",
                    suggestion(name, ["retention", "archive_after", "archive_bytes"].into_iter())
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
            self.set(&name.to_ascii_lowercase(), &value).with_context(|| format!("the variable {variable}"))?;
        }
        Ok(())
    }

    /// Sets one setting by its name.
    pub(crate) fn set(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let known = SETTINGS.iter().find(|setting| setting.name == name);
        let setting = known.ok_or_else(|| {
            anyhow!(
                "unknown key {name:?}{}",
                suggestion(name, SETTINGS.iter().map(|setting| setting.name).chain(["logs"]))
            )
        })?;
        (setting.set)(self, text).with_context(|| format!("{name} ({})", setting.meaning))
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.engine.event_bytes_max > self.body_bytes_max {
            bail!(
                "event_bytes_max ({}) is larger than body_bytes_max ({}): no such event could be sent",
                print_size(self.engine.event_bytes_max),
                print_size(self.body_bytes_max)
            );
        }
        if self.engine.flush_bytes > self.engine.buffer_bytes_max {
            bail!(
                "flush_bytes ({}) is larger than buffer_bytes_max ({}): writers would wait before anything is flushed",
                print_size(self.engine.flush_bytes),
                print_size(self.engine.buffer_bytes_max)
            );
        }
        Ok(())
    }

    /// Every setting with its value, as lines of a configuration file.
    pub(crate) fn show(&self) -> Vec<(String, String)> {
        SETTINGS.iter().map(|setting| (setting.name.to_owned(), (setting.show)(self))).collect()
    }
}

fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match engine::suggest(name, known.iter().copied()) {
        Some(near) => format!(": did you mean {near:?}?"),
        None => format!("; the keys are {}", known.join(", ")),
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

fn truth(text: &str) -> anyhow::Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" => Ok(true),
        "false" | "0" | "no" | "n" => Ok(false),
        _ => bail!("expected true or false, found {text:?}"),
    }
}

fn number(text: &str) -> anyhow::Result<usize> {
    text.replace('_', "")
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| anyhow!("expected a whole number above 0, found {text:?}"))
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    parse_duration(text).ok_or_else(|| anyhow!("expected a time such as 30s, 5m, 12h or 90d, found {text:?}"))
}

pub(crate) fn size(text: &str) -> anyhow::Result<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kib" | "k" | "kb" => 10,
        "mib" | "m" | "mb" => 20,
        "gib" | "g" | "gb" => 30,
        "tib" | "t" | "tb" => 40,
        _ => bail!("expected a size such as 64KiB, 32MiB or 1GiB, found {text:?}"),
    };
    let number: usize = text[..digits].parse().map_err(|_| anyhow!("expected a size such as 32MiB, found {text:?}"))?;
    number.checked_mul(1 << shift).filter(|size| *size > 0).ok_or_else(|| anyhow!("{text:?} is no possible size"))
}

fn print_size(bytes: usize) -> String {
    let (unit, shift) = [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift))
        .unwrap_or(("B", 0));
    format!("{}{unit}", bytes >> shift)
}

/// Reads an address to listen on; a port alone is one of this machine.
pub(crate) fn address(text: &str) -> anyhow::Result<SocketAddr> {
    let full = if text.contains(':') { text.to_owned() } else { format!("127.0.0.1:{text}") };
    full.replace("localhost:", "127.0.0.1:")
        .parse()
        .map_err(|_| anyhow!("expected an address such as 127.0.0.1:7171, found {text:?}"))
}

fn set_listen(config: &mut Config, text: &str) -> anyhow::Result<()> {
    config.listen =
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(address).collect::<anyhow::Result<_>>()?;
    if config.listen.is_empty() { bail!("expected an address such as 127.0.0.1:7171") } else { Ok(()) }
}

fn show_listen(config: &Config) -> String {
    config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let mut config = Config::default();
        let read = config.read_file(file).and_then(|()| {
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
        assert!(!format!("{:?} {:?}", config.show(), config.archive_s3).contains("hush"));
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
        assert!(load("body_bytes_max = \"many\"", &[]).unwrap_err().contains("expected a size"));
        assert!(load("event_bytes_max = \"1GiB\"", &[]).unwrap_err().contains("larger than body_bytes_max"));
        assert!(load("flush_after = \"soon\"", &[]).unwrap_err().contains("expected a time"));
    }

    #[test]
    fn shows_what_it_reads() {
        let shown: String =
            Config::default().show().iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
        assert!(load(&shown, &[]).is_ok(), "{shown}");
    }
}
