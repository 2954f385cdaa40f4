//! The command line: which words there are, and who answers each.
//!
//! What a command found goes to standard output, what it has to say about it to standard error, so that a pipe gets
//! events and nothing else. The exit code is 0 if all went well, 1 if something failed, 2 if the command was not understood.

mod archive;
mod bench;
mod channel;
mod client;
mod csv;
mod deploy;
mod export;
mod forward;
mod human;
mod import;
mod init;
mod issues;
mod layout;
mod line;
mod log;
mod logs;
mod notices;
mod output;
mod pages;
mod pairs;
mod query;
mod redact;
mod rule;
mod sse;
mod stream;
mod table;
mod tail;
mod token;
mod user;
mod when;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

pub(crate) use self::client::Client;
pub(crate) use self::import::{Progress, import_paths};
use self::output::{Paint, ReaderGone, WrongUsage, note};

/// The data directory, unless an option, `EVERLOG_DATA` or the configuration names another.
pub(crate) const DATA_DIRECTORY: &str = "./everlog-data";

/// The log that is written and read when none is named. It is made at the first start.
const LOG: &str = "default";

/// The commands in the order in which a newcomer needs them. A test compares it with the commands there are.
const HELP: &str = "\
{about}

Usage: everlog <COMMAND> [OPTIONS]

Get going:
  everlog serve                                      start a server on this machine
  everlog log INFO alice@example.com \"It works.\"     send it an event, from another terminal
  everlog tail                                       watch events arrive

Server:
  init     Set up Everlog for a project: its configuration, a service, the lines that connect the application
  serve    Start the server
  doctor   Check a data directory, and say what is wrong with it
  bench    Measure this machine: its disk, how fast it takes events, how fast it finds them

Events:
  log      Send one event
  import   Send log files, each line once, however often it is run
  tail     Show events as they arrive
  query    Find events, by the search language or by SQL
  user     Show what one person did, in all streams and logs
  export   Write events to a file, or to a tree of text files

Problems:
  issues   List the issues, show what led to one, resolve it, ignore it, assign it
  deploy   Tell of a deploy, list the deploys
  rule     List the rules by which people are called, write one, try it on the past
  channel  List the channels that notices go to, set one up, try it
  notices  Show what people were told, and what became of it

Administration:
  logs     List the logs, make one, show its settings, say how long one is kept
  stream   List the streams, add one, remove one
  archive  List, verify, restore and purge what is in the archive
  forward  List what is forwarded to other systems, pause it, begin anew
  redact   Try what would be replaced in the events that are stored
  token    Make, list and revoke the tokens of applications and people

Options:
{options}

`everlog <COMMAND> --help` tells more, with examples. On the machine of the server nothing has to be
configured; elsewhere say which one with --url and --token, or EVERLOG_URL and EVERLOG_TOKEN.
";

/// Keeps every event of a web API, and finds any of them in milliseconds.
#[derive(Parser, Debug)]
#[command(name = "everlog", version, help_template = HELP, disable_help_subcommand = true, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Init(init::InitArguments),
    Serve(ServeArguments),
    Doctor(DoctorArguments),
    Log(log::LogArguments),
    Import(import::ImportArguments),
    Tail(tail::TailArguments),
    Query(query::QueryArguments),
    Export(export::ExportArguments),
    User(user::UserArguments),
    Issues(issues::IssuesArguments),
    Deploy(deploy::DeployArguments),
    Rule(rule::RuleArguments),
    Channel(channel::ChannelArguments),
    Notices(notices::NoticesArguments),
    Logs(logs::LogsArguments),
    Stream(stream::StreamArguments),
    Archive(archive::ArchiveArguments),
    Forward(forward::ForwardArguments),
    Redact(redact::RedactArguments),
    Token(token::TokenArguments),
    Bench(bench::BenchArguments),
}

/// Start the server.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  everlog serve
  everlog serve --data /var/lib/everlog --listen 0.0.0.0:7171
  everlog serve --import /var/log/nginx --log web
  everlog serve --print-config")]
pub(crate) struct ServeArguments {
    /// Directory in which everything is kept [default: ./everlog-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address to listen on; repeat for several [default: 127.0.0.1:7171]
    #[arg(long, value_name = "ADDR", value_parser = crate::config::address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Configuration file [default: everlog.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// File or directory of logs to import while serving; repeat for several. What was imported before is skipped
    #[arg(long, value_name = "PATH")]
    pub(crate) import: Vec<PathBuf>,
    /// Log that gets what is imported
    #[arg(long, value_name = "NAME", default_value = LOG)]
    pub(crate) log: String,
    /// Print the configuration, each value with where it comes from, and start nothing
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// Check a data directory, and say what is wrong with it.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  everlog doctor
  everlog doctor --data /var/lib/everlog")]
pub(crate) struct DoctorArguments {
    /// Directory to check
    #[arg(long, value_name = "DIR", env = "EVERLOG_DATA", hide_env_values = true, default_value = DATA_DIRECTORY)]
    pub(crate) data: PathBuf,
}

/// Reads a search, which may begin with `-`. What begins with two is an option that does not exist.
fn search(text: &str) -> anyhow::Result<String> {
    if text.starts_with("--") {
        anyhow::bail!("there is no option {text}; `--help` lists them");
    }
    Ok(text.to_owned())
}

/// Text without colours, for the server's own messages.
pub(crate) fn plain() -> Paint {
    Paint::none()
}

/// Runs the command that the process was started with.
pub(crate) fn run() -> ExitCode {
    match Arguments::try_parse_from(std::env::args_os()) {
        Ok(arguments) => exit_code(&dispatch(arguments.command)),
        Err(error) => {
            // Help and version come here too; if nobody reads them, there is nobody to tell.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Serve(arguments) => crate::serve::run(arguments),
        Command::Doctor(arguments) => crate::doctor::run(arguments),
        Command::Log(arguments) => wait(log::run(arguments)),
        Command::Import(arguments) => wait(import::run(arguments)),
        Command::Tail(arguments) => wait(tail::run(arguments)),
        Command::Query(arguments) => wait(query::run(arguments)),
        Command::Export(arguments) => wait(export::run(arguments)),
        Command::User(arguments) => wait(user::run(arguments)),
        Command::Issues(arguments) => wait(issues::run(arguments)),
        Command::Deploy(arguments) => wait(deploy::run(arguments)),
        Command::Rule(arguments) => wait(rule::run(arguments)),
        Command::Channel(arguments) => wait(channel::run(arguments)),
        Command::Notices(arguments) => wait(notices::run(arguments)),
        Command::Logs(arguments) => wait(logs::run(arguments)),
        Command::Stream(arguments) => wait(stream::run(arguments)),
        Command::Archive(arguments) => wait(archive::run(arguments)),
        Command::Forward(arguments) => wait(forward::run(arguments)),
        Command::Redact(arguments) => wait(redact::run(arguments)),
        Command::Token(arguments) => wait(token::run(arguments)),
        Command::Bench(arguments) => wait(bench::run(arguments)),
    }
}

fn wait(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the threads of this command")?;
    let result = runtime.block_on(work);
    // A thread that waits for standard input must not keep the process alive.
    runtime.shutdown_background();
    result
}

fn exit_code(result: &anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if error.is::<ReaderGone>() {
        return ExitCode::SUCCESS;
    }
    note(&format!("error: {error}"));
    let mut said = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some errors tell their cause themselves.
        if !said.ends_with(&cause) {
            note(&format!("  because: {cause}"));
        }
        said = cause;
    }
    ExitCode::from(if error.is::<WrongUsage>() { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser as _};

    use super::{Arguments, Command, HELP};

    fn refusal(line: &[&str]) -> String {
        let words = std::iter::once("everlog").chain(line.iter().copied());
        Arguments::try_parse_from(words).unwrap_err().render().to_string()
    }

    #[test]
    fn the_tree_of_commands_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_command_and_every_command_has_examples() {
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            assert!(HELP.contains(&format!("\n  {name} ")), "{name} is missing in the help");
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Examples:"), "{name} has no examples");
        }
    }

    #[test]
    fn a_message_by_option_excludes_the_positional_form() {
        let text = refusal(&["log", "INFO", "-m", "hello"]);
        assert!(text.contains("'--message <MESSAGE>'") && text.contains("'[STREAM]'"), "{text}");
        let text = refusal(&["log", "-m", "hello", "INFO", "bob", "hi"]);
        assert!(text.contains("cannot be used with"), "{text}");
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        assert!(refusal(&["query", "level:error", "--sql", "SELECT 1"]).contains("cannot be used with"));
        assert!(refusal(&["logs", "retention", "shop", "90d", "--forever"]).contains("cannot be used with"));
        assert!(refusal(&["tail", "-n", "many"]).contains("invalid value"));
    }

    #[test]
    fn a_search_may_begin_with_a_dash() {
        for (command, words) in [
            ("query", &["-path:/health", "--limit", "5"][..]),
            ("query", &["-host:a", "--format", "json"]),
            ("tail", &["-name:x", "-n", "5"]),
            ("export", &["--from", "-1h", "-level:info"]),
        ] {
            let words = ["everlog", command].into_iter().chain(words.iter().copied());
            assert!(Arguments::try_parse_from(words.clone()).is_ok(), "{:?}", words.collect::<Vec<_>>());
        }
        assert!(Arguments::try_parse_from(["everlog", "tail", "-n5"]).is_ok());
        assert!(refusal(&["query", "--jsn"]).contains("there is no option --jsn"));
    }

    #[test]
    fn several_addresses_and_paths() {
        let words =
            ["everlog", "serve", "--listen", "localhost:1", "--listen", "[::1]:2", "--import", "a", "--import", "b"];
        let Command::Serve(serve) = Arguments::try_parse_from(words).unwrap().command else { panic!("not serve") };
        assert_eq!((serve.listen.len(), serve.import.len(), serve.log.as_str()), (2, 2, "default"));
    }
}
