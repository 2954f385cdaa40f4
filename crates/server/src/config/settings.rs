//! The list of all settings: their names, what they mean, how each is read and shown.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use axum::http::HeaderName;
use engine::{parse_duration, print_duration};
use event::Level;
use ipnet::IpNet;
use text::Compress;

use super::Config;
use crate::listen::Place;

pub(super) type Set = fn(&mut Config, &str) -> anyhow::Result<()>;
pub(super) type Show = fn(&Config) -> String;

/// A setting: its name, what it means, how it is set, how it is shown.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    pub(super) set: Set,
    pub(super) show: Show,
}

impl Setting {
    /// Its value, as a file would have it.
    pub(crate) fn value(&self, config: &Config) -> String {
        (self.show)(config)
    }
}

/// Every setting there is, beside the logs.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "data",
        meaning: "the data directory",
        set: |config, text| {
            if text.is_empty() {
                bail!("expected a directory such as ./everlog-data, found nothing");
            }
            config.data = text.into();
            Ok(())
        },
        show: |config| config.data.display().to_string(),
    },
    Setting {
        name: "listen",
        meaning: "addresses to listen on, separated by commas",
        set: set_listen,
        show: |config| show_addresses(&config.listen),
    },
    Setting {
        name: "listen_elasticsearch",
        meaning: "addresses (127.0.0.1:9200) at which clients of Elasticsearch find the door /es at the root, separated by commas; none by default",
        set: |config, text| {
            config.listen_elasticsearch = addresses(text)?;
            Ok(())
        },
        show: |config| show_addresses(&config.listen_elasticsearch),
    },
    Setting {
        name: "listen_otlp",
        meaning: "further addresses (127.0.0.1:4317) for exporters of OpenTelemetry, gRPC and HTTP, separated by commas; none by default",
        set: |config, text| {
            config.listen_otlp = addresses(text)?;
            Ok(())
        },
        show: |config| show_addresses(&config.listen_otlp),
    },
    Setting {
        name: "listen_syslog",
        meaning: "addresses that take syslog (127.0.0.1:5514 for UDP and TCP; udp://, tcp://, tls:// for one of them), separated by commas; none by default",
        set: |config, text| {
            config.listen_syslog = places(text)?;
            Ok(())
        },
        show: |config| show_places(&config.listen_syslog),
    },
    Setting {
        name: "syslog_log",
        meaning: "the log that what comes by syslog goes to",
        set: |config, text| {
            config.syslog_log = log_name(text)?;
            Ok(())
        },
        show: |config| config.syslog_log.clone(),
    },
    Setting {
        name: "syslog_allow",
        meaning: "who may send syslog besides this machine (10.0.0.0/8), separated by commas: there are no tokens",
        set: |config, text| {
            config.syslog_allow = list(text).map(network).collect::<anyhow::Result<_>>()?;
            Ok(())
        },
        show: |config| join(&config.syslog_allow),
    },
    Setting {
        name: "syslog_tls_cert",
        meaning: "file with the certificate for tls:// in PEM form, followed by those that signed it",
        set: |config, text| {
            config.syslog_tls_cert = text.into();
            Ok(())
        },
        show: |config| config.syslog_tls_cert.display().to_string(),
    },
    Setting {
        name: "syslog_tls_key",
        meaning: "file with the key of that certificate",
        set: |config, text| {
            config.syslog_tls_key = text.into();
            Ok(())
        },
        show: |config| config.syslog_tls_key.display().to_string(),
    },
    Setting {
        name: "listen_gelf",
        meaning: "addresses that take GELF (127.0.0.1:12201 for UDP and TCP; udp://, tcp:// for one of them), separated by commas; none by default",
        set: |config, text| {
            config.listen_gelf = places(text)?;
            Ok(())
        },
        show: |config| show_places(&config.listen_gelf),
    },
    Setting {
        name: "gelf_log",
        meaning: "the log that what comes by GELF over UDP and TCP goes to",
        set: |config, text| {
            config.gelf_log = log_name(text)?;
            Ok(())
        },
        show: |config| config.gelf_log.clone(),
    },
    Setting {
        name: "gelf_allow",
        meaning: "who may send GELF over UDP and TCP besides this machine (10.0.0.0/8), separated by commas",
        set: |config, text| {
            config.gelf_allow = list(text).map(network).collect::<anyhow::Result<_>>()?;
            Ok(())
        },
        show: |config| join(&config.gelf_allow),
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
        name: "trusted_proxies",
        meaning: "addresses of proxies (203.0.113.7, 10.0.0.0/8) whose X-Forwarded-For and user header count, separated by commas",
        set: |config, text| {
            config.trusted_proxies = list(text).map(network).collect::<anyhow::Result<_>>()?;
            Ok(())
        },
        show: |config| join(&config.trusted_proxies),
    },
    Setting {
        name: "user_header",
        meaning: "the header in which a trusted proxy, or a sender with a token, says who the user is",
        set: |config, text| {
            config.user_header = header(text)?;
            Ok(())
        },
        show: |config| config.user_header.to_string(),
    },
    Setting {
        name: "session_header",
        meaning: "the header in which the same say which session it is",
        set: |config, text| {
            config.session_header = header(text)?;
            Ok(())
        },
        show: |config| config.session_header.to_string(),
    },
    Setting {
        name: "name_servers",
        meaning: "name servers (192.0.2.53, 127.0.0.1:5353) that are asked whether a crawler is the one it says it is, separated by commas; system: those that this machine asks; none: nobody",
        set: |config, text| {
            config.name_servers = text.parse()?;
            Ok(())
        },
        show: |config| config.name_servers.to_string(),
    },
    Setting {
        name: "env_allowed",
        meaning: "variables of the environment that the keys env.NAME of logs may show, separated by commas",
        set: |config, text| {
            config.env_allowed = list(text).map(str::to_owned).collect();
            Ok(())
        },
        show: |config| config.env_allowed.join(","),
    },
    Setting {
        name: "create_logs",
        meaning: "whether the first event for a log makes it; else it is answered 404",
        set: |config, text| {
            config.engine.create_logs = truth(text)?;
            Ok(())
        },
        show: |config| config.engine.create_logs.to_string(),
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
        name: "attachment_bytes_max",
        meaning: "largest file that comes with an event",
        set: |config, text| {
            config.attachment_bytes_max = size(text)?;
            Ok(())
        },
        show: |config| print_size(config.attachment_bytes_max),
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
        meaning: "size of the buffer at which writers wait for a flush",
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
        name: "index_cache_bytes",
        meaning: "memory for what is kept of open segments: about 0.7 bytes an event",
        set: |config, text| {
            config.engine.index_cache_bytes = size(text)?;
            Ok(())
        },
        show: |config| print_size(config.engine.index_cache_bytes),
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
        name: "public_url",
        meaning: "address (https://logs.example.com) under which people see this server, for links in notices; that of this machine by default",
        set: |config, text| {
            let is_web = text.starts_with("http://") || text.starts_with("https://");
            if !text.is_empty() && !is_web {
                bail!("expected an address such as https://logs.example.com, found {text:?}");
            }
            config.engine.public_url = Some(text.to_owned()).filter(|text| !text.is_empty());
            Ok(())
        },
        show: |config| config.engine.public_url.clone().unwrap_or_default(),
    },
    Setting {
        name: "smtp",
        meaning: "mail server (smtp://localhost:25, smtp+starttls://user:password@host:587, smtps://host:465) for the two settings below",
        set: |config, text| {
            text.clone_into(&mut config.smtp);
            Ok(())
        },
        show: |config| config.smtp.clone(),
    },
    Setting {
        name: "mail_from",
        meaning: "whom these mails come from",
        set: |config, text| {
            text.clone_into(&mut config.mail_from);
            Ok(())
        },
        show: |config| config.mail_from.clone(),
    },
    Setting {
        name: "config_error_report_email",
        meaning: "who is mailed configuration errors, separated by commas; nobody by default",
        set: |config, text| {
            config.config_error_report_email = list(text).map(str::to_owned).collect();
            Ok(())
        },
        show: |config| config.config_error_report_email.join(","),
    },
    Setting {
        name: "config_error_report_rate_limit_hours",
        meaning: "hours between two mails about the same configuration error",
        set: |config, text| {
            let hours = text.parse().ok().filter(|hours| *hours > 0);
            config.engine.config_error_rate_limit_hours =
                hours.ok_or_else(|| anyhow!("expected a whole number of hours above 0, found {text:?}"))?;
            Ok(())
        },
        show: |config| config.engine.config_error_rate_limit_hours.to_string(),
    },
    Setting {
        name: "email_errors",
        meaning: "who is mailed new errors and errors that are back, separated by commas; nobody by default",
        set: |config, text| {
            config.email_errors = list(text).map(str::to_owned).collect();
            Ok(())
        },
        show: |config| config.email_errors.join(","),
    },
    Setting {
        name: "redact",
        meaning: "what is replaced before anything is stored, in logs that say nothing of it: off, standard or strict",
        set: |config, text| {
            let found = engine::Redaction::parse(text);
            config.engine.redact = found.ok_or_else(|| {
                anyhow!("expected off, standard or strict, found {text:?}: keys and patterns are settings of a log")
            })?;
            Ok(())
        },
        show: |config| config.engine.redact.name().to_owned(),
    },
    Setting {
        name: "tree",
        meaning: "whether entries are written to a tree of text files too",
        set: |config, text| {
            config.tree = truth(text)?;
            Ok(())
        },
        show: |config| config.tree.to_string(),
    },
    Setting {
        name: "tree_dir",
        meaning: "directory of the tree; none: `logs` in the data directory",
        set: |config, text| {
            config.tree_dir = Some(text).filter(|text| !text.is_empty()).map(PathBuf::from);
            Ok(())
        },
        show: |config| config.tree_dir.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
    },
    Setting {
        name: "tree_lines_max",
        meaning: "lines of a file of the tree before it is archived; 0: no limit",
        set: |config, text| {
            config.tree_settings.lines_max =
                text.replace('_', "").parse().map_err(|_| anyhow!("expected a whole number, found {text:?}"))?;
            Ok(())
        },
        show: |config| config.tree_settings.lines_max.to_string(),
    },
    Setting {
        name: "tree_bytes_max",
        meaning: "size of a file of the tree before it is archived, or none",
        set: |config, text| {
            config.tree_settings.bytes_max = (text != "none").then(|| size(text)).transpose()?.map(|size| size as u64);
            Ok(())
        },
        show: |config| match config.tree_settings.bytes_max.map(usize::try_from) {
            Some(Ok(bytes)) => print_size(bytes),
            _ => "none".to_owned(),
        },
    },
    Setting {
        name: "tree_daily",
        meaning: "whether a day (UTC) begins new files of the tree",
        set: |config, text| {
            config.tree_settings.daily = truth(text)?;
            Ok(())
        },
        show: |config| config.tree_settings.daily.to_string(),
    },
    Setting {
        name: "tree_compress",
        meaning: "how archives of the tree are compressed: gzip, zstd or none",
        set: |config, text| {
            let found = Compress::parse(text);
            config.tree_settings.compress =
                found.ok_or_else(|| anyhow!("expected gzip, zstd or none, found {text:?}"))?;
            Ok(())
        },
        show: |config| config.tree_settings.compress.name().to_owned(),
    },
    Setting {
        name: "tree_keep",
        meaning: "how long archives of the tree stay after their last entry, or forever",
        set: |config, text| {
            config.tree_settings.keep = (text != "forever").then(|| duration(text)).transpose()?;
            Ok(())
        },
        show: |config| config.tree_settings.keep.map_or_else(|| "forever".to_owned(), print_duration),
    },
    Setting {
        name: "tree_users",
        meaning: "whether each user has a folder in the tree; otherwise all is in sys",
        set: |config, text| {
            config.tree_settings.users = truth(text)?;
            Ok(())
        },
        show: |config| config.tree_settings.users.to_string(),
    },
    Setting {
        name: "log_errors",
        meaning: "whether events of level error and above are in a file of errors of the tree too, sys/ERRORS_log.log",
        set: |config, text| {
            config.engine.tree_errors = truth(text)?;
            Ok(())
        },
        show: |config| config.engine.tree_errors.to_string(),
    },
    Setting {
        name: "logfile_log_level",
        meaning: "least level of events that are written to the tree; all of them by default",
        set: |config, text| {
            config.engine.tree_level_min = level(text)?;
            Ok(())
        },
        show: |config| show_level(config.engine.tree_level_min),
    },
    Setting {
        name: "console_log_level",
        meaning: "least level of events that are printed to standard output as lines, as they come; none by default",
        set: |config, text| {
            config.console_log_level = level(text)?;
            Ok(())
        },
        show: |config| show_level(config.console_log_level),
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
        show: |config| config.archive_s3.secret_key.clone(),
    },
];

/// Settings that are never shown, only whether they are set.
pub(super) const SECRETS: &[&str] = &["archive_s3_secret_key", "smtp"];

fn set_archive(config: &mut Config, text: &str) -> anyhow::Result<()> {
    match text.split_once("://") {
        Some(("s3", rest)) if rest.split('/').next().is_some_and(|bucket| !bucket.is_empty()) => {}
        Some(_) => bail!("expected a folder or s3://bucket/prefix, found {text:?}"),
        None => {}
    }
    config.archive = text.trim_end_matches('/').to_owned();
    Ok(())
}

fn truth(text: &str) -> anyhow::Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" => Ok(true),
        "false" | "0" | "no" | "n" => Ok(false),
        _ => bail!("expected true or false, found {text:?}"),
    }
}

fn level(text: &str) -> anyhow::Result<Option<Level>> {
    if text.is_empty() {
        return Ok(None);
    }
    let names = || Level::ALL.map(Level::name).join(", ");
    Level::parse(text).map(Some).ok_or_else(|| anyhow!("expected one of {}, found {text:?}", names()))
}

fn show_level(level: Option<Level>) -> String {
    level.map_or_else(String::new, |level| level.name().to_owned())
}

pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn join(items: &[IpNet]) -> String {
    // One address alone is written as one.
    let one = |network: &IpNet| {
        if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
    };
    items.iter().map(one).collect::<Vec<_>>().join(",")
}

fn network(text: &str) -> anyhow::Result<IpNet> {
    let one = || text.parse::<std::net::IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    text.parse::<IpNet>()
        .or_else(|_| one())
        .map_err(|_| anyhow!("expected addresses such as 203.0.113.7 or 10.0.0.0/8, found {text:?}"))
}

fn header(text: &str) -> anyhow::Result<HeaderName> {
    text.parse().map_err(|_| anyhow!("expected the name of a header such as X-Everlog-User, found {text:?}"))
}

fn number(text: &str) -> anyhow::Result<usize> {
    text.replace('_', "")
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| anyhow!("expected a whole number above 0, found {text:?}"))
}

pub(super) fn duration(text: &str) -> anyhow::Result<Duration> {
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

pub(super) fn print_size(bytes: usize) -> String {
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

/// Reads a list of addresses to listen on.
pub(super) fn addresses(text: &str) -> anyhow::Result<Vec<SocketAddr>> {
    list(text).map(address).collect()
}

fn set_listen(config: &mut Config, text: &str) -> anyhow::Result<()> {
    config.listen = addresses(text)?;
    if config.listen.is_empty() { bail!("expected an address such as 127.0.0.1:7171") } else { Ok(()) }
}

fn places(text: &str) -> anyhow::Result<Vec<Place>> {
    list(text).map(Place::parse).collect()
}

fn show_places(places: &[Place]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn log_name(text: &str) -> anyhow::Result<String> {
    engine::check_log_name(text)?;
    Ok(text.to_owned())
}

pub(super) fn show_addresses(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
