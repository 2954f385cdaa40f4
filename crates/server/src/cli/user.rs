//! `everlog user`: what one person did, in all streams and logs.

use clap::Args;

use super::client::{Client, Connection, percent};
use super::output::{Output, note};
use super::pages::{Pages, Question};
use super::query::{Format, Kind, PAGE, show_pages};

/// Show what one person did, in all streams and logs.
#[derive(Args, Debug)]
#[command(after_help = "\
The events of all logs come as one sequence in time; each says in _log which log it is of. `system` is a user too: \
what belongs to nobody. SEARCH and the times are those of `everlog query`.

On a terminal the newest event is the last line; in a pipe one JSON object a line comes, newest first.

Examples:
  everlog user alice@example.com
  everlog user bob --stream LOGIN --stream \"SECURITY ALERT\" --from -7d
  everlog user 7 'level:>=warning' --log shop --limit 1000
  everlog user alice@example.com --format csv > alice.csv")]
pub(super) struct UserArguments {
    /// Whose events
    #[arg(value_name = "NAME")]
    user: String,
    /// Only events that fit, such as 'level:error' [default: all]
    #[arg(allow_hyphen_values = true, value_parser = super::search)]
    search: Option<String>,
    /// Only events of this stream; repeat for several
    #[arg(long, value_name = "STREAM")]
    stream: Vec<String>,
    /// Only events of this log; repeat for several [default: all that you may read]
    #[arg(long, value_name = "NAME")]
    log: Vec<String>,
    /// Only events from this time on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only events up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// At most so many events
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// How to write the answer [default: table on a terminal, ndjson in a pipe]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// One JSON object a line
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(arguments: UserArguments) -> anyhow::Result<()> {
    let client = Client::connect(&arguments.connection)?;
    let mut output = Output::new();
    let asked = if arguments.json { Some(Format::Ndjson) } else { arguments.format };
    let format = asked.unwrap_or_else(|| Format::usual(&output));
    let mut pages = Pages::new(&client, path(&arguments));
    let kind = Kind::Events { newest_first: true };
    let shown = show_pages(&mut pages, kind, arguments.limit, format, &mut output).await?;
    output.flush()?;
    if shown == 0 && arguments.limit > 0 {
        note(&nothing(&arguments, pages.hint.as_deref()));
    }
    Ok(())
}

fn path(arguments: &UserArguments) -> String {
    let mut question = Question::default()
        .with_some("_q", arguments.search.as_deref())
        .with_some("_from", arguments.from.as_deref())
        .with_some("_to", arguments.to.as_deref());
    for stream in &arguments.stream {
        question = question.with("stream", event::shared::stream_name(stream));
    }
    for log in &arguments.log {
        question = question.with("_log", log);
    }
    question = question.with("_format", "ndjson").with("_limit", &arguments.limit.min(PAGE).to_string());
    question.below(&format!("/api/v1/users/{}/events", percent(&arguments.user)))
}

fn nothing(arguments: &UserArguments, hint: Option<&str>) -> String {
    let UserArguments { user, search, stream, log, from, to, .. } = arguments;
    let narrowed = search.is_some() || from.is_some() || to.is_some() || !stream.is_empty() || !log.is_empty();
    let so = if narrowed { " that fits" } else { "" };
    let hint = hint
        .map_or_else(|| format!(". The first one: everlog log INFO {user:?} \"Hello.\""), |hint| format!(": {hint}"));
    format!("there is no event of {user:?}{so}{}", if narrowed && hint.starts_with('.') { "" } else { hint.as_str() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        user: UserArguments,
    }

    fn read(words: &[&str]) -> UserArguments {
        Line::try_parse_from(std::iter::once("user").chain(words.iter().copied())).unwrap().user
    }

    #[test]
    fn what_is_asked() {
        let check = |words: &[&str]| path(&read(words));
        assert_eq!(check(&["a/b"]), "/api/v1/users/a%2Fb/events?_format=ndjson&_limit=100");
        assert_eq!(
            check(&[
                "7",
                "-path:/x",
                "--stream",
                "SECURITY_ALERT",
                "--log",
                "a",
                "--log",
                "b",
                "--from",
                "-1h",
                "--limit",
                "99999"
            ]),
            "/api/v1/users/7/events?_q=-path%3A%2Fx&_from=-1h&stream=SECURITY%20ALERT&_log=a&_log=b&_format=ndjson&_limit=10000"
        );
    }

    #[test]
    fn nothing_found() {
        let check = |words: &[&str], hint| nothing(&read(words), hint);
        assert_eq!(
            check(&["bob"], None),
            "there is no event of \"bob\". The first one: everlog log INFO \"bob\" \"Hello.\""
        );
        assert_eq!(check(&["bob", "--log", "a"], None), "there is no event of \"bob\" that fits");
        assert_eq!(
            check(&["bbo"], Some("did you mean \"bob\"?")),
            "there is no event of \"bbo\": did you mean \"bob\"?"
        );
    }
}
