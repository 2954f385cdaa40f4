//! `everlog redact --test`: what rules would replace in the events that are stored.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use engine::{Change, Redact, RedactKey, RedactSettings, Redaction};
use serde_json::{Map, Value, json};

use super::LOG;
use super::client::{Client, Connection, log_path};
use super::human::{count, count_of, cut};
use super::output::{Output, Style, WrongUsage, harmless, note};
use super::pages::{Pages, Question, lines};
use super::query::PAGE;
use super::table::{Side, Table};

/// How many samples of one rule are shown, unless said otherwise.
const SAMPLES: usize = 3;

/// Widest value of a sample, in places of the terminal.
const SAMPLE_PLACES_MAX: usize = 60;

/// Try what would be replaced in the events that are stored.
#[derive(Args, Debug)]
#[command(after_help = "\
Nothing is changed: what is stored is read, and shown with what the rules would make of it. Without --level, --key and
--pattern these are the rules of the log. What is a mark already is not counted.

Where nothing would be replaced, the answer says so, and the exit code is 0 all the same. The hashes that are shown are
made with a key of this run; the server has its own.

Examples:
  everlog redact --test
  everlog redact --test --log shop --level strict user:bob --limit 10000
  everlog redact --test --key card --pattern 'ticket=TCK-[0-9]{6}'
  everlog redact --test --json | jq '.rules'")]
pub(super) struct RedactArguments {
    /// Show what would be replaced
    #[arg(long)]
    test: bool,
    /// Which events, such as 'level:error user:bob' [default: all]
    #[arg(allow_hyphen_values = true, value_parser = super::search)]
    search: Option<String>,
    /// Log to read
    #[arg(long, value_name = "NAME", default_value = LOG)]
    log: String,
    /// off, standard or strict [default: that of the log]
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<Redaction>,
    /// Key whose values would go; repeat for several
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Regular expression with the name for its mark; repeat for several
    #[arg(long = "pattern", value_name = "NAME=REGEX", value_parser = pattern)]
    patterns: Vec<(String, String)>,
    /// At most so many events, the newest first
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u64,
    /// Only events from this time on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Samples of each rule
    #[arg(long, value_name = "N", default_value_t = SAMPLES)]
    samples: usize,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

fn level(text: &str) -> Result<Redaction, String> {
    Redaction::parse(text).ok_or_else(|| "the levels are off, standard and strict".to_owned())
}

fn pattern(text: &str) -> Result<(String, String), String> {
    let (name, pattern) = text.split_once('=').ok_or("expected NAME=REGEX, such as ticket=TCK-[0-9]{6}")?;
    Ok((name.to_owned(), pattern.to_owned()))
}

/// What one rule would do.
#[derive(Default)]
struct Found {
    values: u64,
    events: u64,
    samples: Vec<Change>,
}

pub(super) async fn run(arguments: RedactArguments) -> anyhow::Result<()> {
    if !arguments.test {
        let what = "add --test: what is stored is never changed, rules hold for what comes in from now on (`everlog logs set LOG redact=…`)";
        return Err(WrongUsage(what.to_owned()).into());
    }
    let client = Client::connect(&arguments.connection)?;
    let settings = settings(&client, &arguments).await?;
    let key = RedactKey::new(*uuid::Uuid::new_v4().as_bytes().repeat(2).first_chunk().unwrap_or(&[0; 32]));
    let rules =
        Redact::new(&settings, Redaction::Standard, Some(&key)).map_err(|error| WrongUsage(error.to_string()))?;
    let question = Question::default()
        .with_some("_q", arguments.search.as_deref())
        .with_some("_from", arguments.from.as_deref())
        .with("_format", "ndjson")
        .with("_limit", &arguments.limit.min(PAGE).to_string());
    let mut pages = Pages::new(&client, question.path(&arguments.log, "/events"));
    let (mut events, mut changed) = (0_u64, 0_u64);
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    while events < arguments.limit
        && let Some(page) = pages.next().await?
    {
        for line in lines(&page).take(usize::try_from(arguments.limit - events).unwrap_or(usize::MAX)) {
            events += 1;
            let (_, changes) = rules.preview(&String::from_utf8_lossy(line));
            changed += u64::from(!changes.is_empty());
            add(&mut found, changes, arguments.samples);
        }
    }
    let mut output = Output::new();
    if arguments.json {
        output.line(&serde_json::to_string_pretty(&shown(&rules, &arguments.log, (events, changed), &found))?)?;
        return output.flush();
    }
    show(&found, &mut output)?;
    output.flush()?;
    note(&summary(&rules, &arguments.log, events, changed));
    Ok(())
}

/// The rules that were asked for; those of the log, where nothing was.
async fn settings(client: &Client, arguments: &RedactArguments) -> anyhow::Result<RedactSettings> {
    if arguments.level.is_none() && arguments.keys.is_empty() && arguments.patterns.is_empty() {
        let log: Value = client.ask(client.get(&log_path(&arguments.log, ""))?).await?;
        return RedactSettings::parse(&log["redact"]).map_err(|error| anyhow::anyhow!("{error}"));
    }
    let patterns: Map<String, Value> =
        arguments.patterns.iter().map(|(name, pattern)| (name.clone(), pattern.as_str().into())).collect();
    let mut asked = json!({ "keys": arguments.keys, "patterns": patterns });
    if let Some(level) = arguments.level {
        asked["level"] = level.name().into();
    }
    Ok(RedactSettings::parse(&asked).map_err(|error| WrongUsage(error.to_string()))?)
}

fn add(found: &mut BTreeMap<String, Found>, changes: Vec<Change>, samples: usize) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for change in changes {
        for rule in &change.rules {
            let of_rule = found.entry(rule.clone()).or_default();
            of_rule.values += 1;
            of_rule.events += u64::from(seen.insert(rule.clone()));
            let is_new = of_rule.samples.iter().all(|sample| sample.before != change.before);
            if of_rule.samples.len() < samples && is_new {
                of_rule.samples.push(change.clone());
            }
        }
    }
}

fn show(found: &BTreeMap<String, Found>, output: &mut Output) -> anyhow::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[("rule", Side::Left), ("values", Side::Right), ("events", Side::Right)]);
    for (rule, found) in found {
        table.row([rule, &count(found.values), &count(found.events)]);
    }
    let paint = output.paint();
    output.lines(&table.lines(paint))?;
    for (rule, found) in found.iter().filter(|(_, found)| !found.samples.is_empty()) {
        output.line("")?;
        output.line(&paint.apply(Style::Bold, rule))?;
        for sample in &found.samples {
            let (before, after) = (short(&sample.before), short(&sample.after));
            let (before, after) = (paint.apply(Style::Red, &before), paint.apply(Style::Green, &after));
            let key = harmless(&sample.key);
            output.line(&format!("  {}  {before}  \u{2192}  {after}", paint.apply(Style::Dim, &key)))?;
        }
    }
    Ok(())
}

fn short(value: &str) -> String {
    cut(&harmless(value), SAMPLE_PLACES_MAX)
}

fn summary(rules: &Redact, log: &str, events: u64, changed: u64) -> String {
    match (events, changed) {
        (0, _) => format!("the log {log} has no such events"),
        (_, 0) => {
            format!("nothing would be replaced in {} at the level {}", count_of(events, "event"), rules.level().name())
        }
        _ => format!("something would be replaced in {} of {}", count(changed), count_of(events, "event")),
    }
}

fn shown(rules: &Redact, log: &str, (events, changed): (u64, u64), found: &BTreeMap<String, Found>) -> Value {
    let sample = |change: &Change| json!({ "key": change.key, "before": change.before, "after": change.after });
    let rule = |(rule, found): (&String, &Found)| {
        let samples: Vec<Value> = found.samples.iter().map(sample).collect();
        (rule.clone(), json!({ "values": found.values, "events": found.events, "samples": samples }))
    };
    let rules_found: Map<String, Value> = found.iter().map(rule).collect();
    json!({ "log": log, "level": rules.level().name(), "events": events, "changed": changed, "rules": rules_found })
}
