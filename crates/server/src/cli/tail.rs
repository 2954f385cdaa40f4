//! `everlog tail`: events as they arrive.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use jiff::tz::TimeZone;

use super::LOG;
use super::client::{Client, Connection, Failure};
use super::layout::{LayoutName, Lines};
use super::line::{Liner, Row};
use super::output::{Output, note};
use super::pages::{Pages, Question, lines};
use super::sse::{Message, Messages};

/// Longest pause between two attempts to reach the server again.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Show events as they arrive.
#[derive(Args, Debug)]
#[command(after_help = "\
If the connection drops, the tail goes on where it was as soon as the server is back.
The search language is that of `everlog query`.

Examples:
  everlog tail
  everlog tail 'level:>=warning -path:/health' --log shop
  everlog tail user:bob -n 100 --no-follow
  everlog tail --format text user:bob >> bob.log
  everlog tail --json | jq .request_id")]
pub(super) struct TailArguments {
    /// Only events that fit, such as 'level:error user:bob'
    #[arg(allow_hyphen_values = true, value_parser = super::search)]
    search: Option<String>,
    /// Log to show
    #[arg(long, value_name = "NAME", default_value = LOG)]
    log: String,
    /// How many of the latest events to begin with
    #[arg(short = 'n', long = "last", value_name = "N", default_value_t = 10)]
    last: u32,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// How to write them [default: lines for people]
    #[arg(long, value_enum, conflicts_with = "json")]
    format: Option<LayoutName>,
    /// Stop after the latest events
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(arguments: TailArguments) -> anyhow::Result<()> {
    let client = Client::connect(&arguments.connection)?;
    let output = Output::new();
    let liner = Liner::new(output.paint(), TimeZone::system());
    let lines = match arguments.format {
        Some(format) => Some(Lines::new(&client, format).await?),
        None => None,
    };
    let mut tail = Tail { client, liner, lines, output, json: arguments.json, last_id: None, pause: Duration::ZERO };
    if arguments.no_follow { tail.latest(&arguments).await } else { tail.follow(&arguments).await }
}

struct Tail {
    client: Client,
    liner: Liner,
    lines: Option<Lines>,
    output: Output,
    json: bool,
    /// After which event to go on.
    last_id: Option<String>,
    pause: Duration,
}

impl Tail {
    async fn latest(&mut self, arguments: &TailArguments) -> anyhow::Result<()> {
        let question = Question::default()
            .with_some("_q", arguments.search.as_deref())
            .with("_format", "ndjson")
            .with("_total", "n")
            .with("_limit", &arguments.last.to_string());
        let page = Pages::new(&self.client, question.path(&arguments.log, "/events")).next().await?.unwrap_or_default();
        for event in lines(&page).rev() {
            self.show(&String::from_utf8_lossy(event))?;
        }
        self.output.flush()
    }

    /// Until the reader has enough, or the server says that the question is wrong.
    async fn follow(&mut self, arguments: &TailArguments) -> anyhow::Result<()> {
        let mut connected = false;
        loop {
            let why = match self.listen(arguments, &mut connected).await {
                Ok(()) => "the server ended the connection".to_owned(),
                // What was wrong at the first attempt is told at once: it may be a mistyped address.
                Err(error) if !connected => return Err(error),
                Err(error) => match error.downcast_ref::<Failure>() {
                    Some(failure) if failure.wait().is_some() => failure.to_string(),
                    _ => return Err(error),
                },
            };
            if self.pause.is_zero() {
                note(&format!("-- {why}; trying again, and going on where we were --"));
            }
            self.pause = (self.pause * 2).clamp(Duration::from_millis(500), PAUSE_MAX);
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn listen(&mut self, arguments: &TailArguments, connected: &mut bool) -> anyhow::Result<()> {
        let mut question = Question::default().with_some("_q", arguments.search.as_deref());
        if self.last_id.is_none() {
            question = question.with("_last", &arguments.last.to_string());
        }
        let path = question.path(&arguments.log, "/tail");
        let mut request = self.client.get(&path)?.header("accept", "text/event-stream");
        if let Some(id) = &self.last_id {
            request = request.header("last-event-id", id);
        }
        let mut answer = self.client.send(request).await?;
        if !self.pause.is_zero() {
            note("-- connected again --");
            self.pause = Duration::ZERO;
        }
        *connected = true;
        let mut messages = Messages::default();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.client.unreachable(&error))? {
            for message in messages.push(&piece) {
                self.take(message)?;
            }
            self.output.flush()?;
        }
        Ok(())
    }

    fn take(&mut self, message: Message) -> anyhow::Result<()> {
        match message.kind.as_str() {
            "" => self.show(&message.data)?,
            "problem" => bail!("the server cannot go on: {}", message.data),
            kind => note(&format!("-- {kind}: {} --", message.data)),
        }
        self.last_id = message.id.or_else(|| self.last_id.take());
        Ok(())
    }

    fn show(&mut self, event: &str) -> anyhow::Result<()> {
        if self.json {
            return self.output.line(event);
        }
        if let Some(lines) = &self.lines {
            let mut out = String::new();
            lines.push(&serde_json::from_str(event)?, &mut out);
            return self.output.bytes(out.as_bytes());
        }
        match serde_json::from_str::<Row>(event) {
            Ok(row) => self.output.lines(&self.liner.lines(&row)),
            Err(_) => self.output.line(event),
        }
    }
}
