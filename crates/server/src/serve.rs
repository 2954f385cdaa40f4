//! `everlog serve`: from an empty directory to a server that answers, and to a clean stop.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context as _, bail};
use engine::{Engine, LogSettings, Scope, StartReport, VARIABLE_BYTES_MAX};
use intake::Protocol;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::cli::{Client, Progress, ServeArguments, import_paths};
use crate::clock;
use crate::config::Config;
use crate::console::Console;
use crate::http::{Doors, ELASTICSEARCH, Entrance, Questions, serve};
use crate::listen::Listeners;
use crate::trouble::{self, Trouble};

/// The file that tells the command line where the server is.
const SERVER_FILE: &str = "server.json";

/// The file with the token for everything.
const TOKEN_FILE: &str = "admin.token";

/// Threads on which tables are computed: as many as SQL has partitions.
const QUESTION_THREADS: usize = 2;

/// Stack of a thread. JSON nested as deeply as is allowed takes 4 MiB in a build without optimisation, SQL less; a page
/// that is never touched takes no memory.
const STACK_BYTES: usize = 16 << 20;

/// Serves until it is told to stop.
///
/// # Errors
/// When it cannot start, or what was taken could not be written at the end (it stays in the journal).
pub(crate) fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let trouble = start_tracing();
    let config = config(&arguments)?;
    if arguments.print_config {
        let mut out = std::io::stdout().lock();
        return Ok(out.write_all(config.print().as_bytes()).and_then(|()| out.flush())?);
    }
    for path in &arguments.import {
        if path.as_os_str() != "-" && !path.try_exists().unwrap_or(true) {
            bail!("--import {}: there is nothing of that name", path.display());
        }
    }
    raise_file_limit();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .context("cannot start the threads of the server")?;
    let questions = question_threads().context("cannot start the threads that answer questions")?;
    let handle = questions.handle().clone();
    let result = runtime.block_on(serve_until_stopped(config, arguments, trouble, handle));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    questions.shutdown_background();
    result
}

/// Questions have threads of their own, which let those that take events go first: however much is asked, a writer is
/// answered.
fn question_threads() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(QUESTION_THREADS)
        .thread_name("question")
        .thread_stack_size(STACK_BYTES)
        .on_thread_start(|| engine::threads::step_back(engine::threads::QUESTIONS))
        .build()
}

/// Everything goes to standard error; trouble is collected for the stream INTERNAL besides.
fn start_tracing() -> Trouble {
    let wanted = std::env::var("EVERLOG_TRACE").unwrap_or_else(|_| "info".to_owned());
    let filter =
        tracing_subscriber::EnvFilter::try_new(&wanted).unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let written = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(terminal)
        .with_filter(filter);
    let (collector, trouble) = trouble::collect();
    let built = tracing_subscriber::registry().with(written).with(collector.with_filter(LevelFilter::WARN));
    // A second call, in tests, keeps the first.
    let _ = tracing::subscriber::set_global_default(built);
    trouble
}

fn config(arguments: &ServeArguments) -> anyhow::Result<Config> {
    let variable = std::env::var_os("EVERLOG_CONFIG").map(std::path::PathBuf::from);
    if variable.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
        bail!("the variable EVERLOG_CONFIG is empty: let it name a file, or unset it");
    }
    let file = arguments.config.clone().or(variable);
    // A variable that is not UTF-8 cannot be one of ours, but must not stop the start either.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    let mut config = Config::load(file.as_deref(), variables)?;
    if let Some(data) = &arguments.data {
        config.set_by_option("data", &data.to_string_lossy())?;
        // A path need not be text.
        config.data.clone_from(data);
    }
    if !arguments.listen.is_empty() {
        let listen: Vec<String> = arguments.listen.iter().map(ToString::to_string).collect();
        config.set_by_option("listen", &listen.join(","))?;
    }
    tracing::debug!("the configuration:\n{}", config.print());
    Ok(config)
}

/// As many open files as the system lets us have: each connection and each segment is one.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::debug!("the limit of open files stays: {error}");
    }
}

async fn serve_until_stopped(
    config: Config,
    arguments: ServeArguments,
    trouble: Trouble,
    questions: Handle,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let mut listeners = Vec::new();
    for address in &config.listen {
        listeners.push(bind(*address).await?);
    }
    let mut further = Vec::new();
    for address in &config.listen_elasticsearch {
        further.push(Entrance { listener: bind(*address).await?, prefix: ELASTICSEARCH });
    }
    for address in &config.listen_otlp {
        further.push(Entrance { listener: bind(*address).await?, prefix: "" });
    }
    let received = Listeners::bind(&config).await?;
    let mut settings = config.engine_settings();
    settings.environment = environment(&config.env_allowed)?;
    settings.crawlers = crate::crawlers::Crawlers::start(&config.name_servers);
    settings.port = listeners.first().and_then(|listener| listener.local_addr().ok()).map(|address| address.port());
    let bound = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    // Links lead to this machine where nobody said how others see it.
    settings.public_url.get_or_insert_with(|| url_of(&bound));
    let data = config.data.clone();
    let clock = clock::from_environment()?;
    let places = crate::s3::places(&config)?;
    let open = move || Engine::open_with_archive(&data, settings, clock, places);
    let opened = tokio::task::spawn_blocking(open).await?;
    let (engine, report) = opened?;
    engine.configure_logs(config.log_options.clone()).context("the settings of logs")?;
    engine.configure_alerts(config.alert_settings()?).context("rules and channels")?;
    engine.begin_reacting().context("cannot start the thread that reacts to events")?;
    trouble.tell(&engine)?;
    warn_of_silence(&config);
    keep_as_said(&engine, &config)?;
    let made = ensure_admin_token(&engine, &config.data)?;
    let addresses = bound;
    let url = url_of(&addresses);
    let running = json!({ "url": url, "pid": std::process::id(),
        "listen_syslog": received.addresses(Protocol::Syslog), "listen_gelf": received.addresses(Protocol::Gelf) });
    write_file(&config.data.join(SERVER_FILE), &running.to_string())?;
    greet(&config, &addresses, &url, &report, made)?;
    let (stop, stopping) = watch::channel(false);
    let doors = doors(&engine, config, &stopping, questions);
    let signals_of = crate::forward::Signals { stored: doors.stored.clone(), stopping: stopping.clone() };
    let elsewhere = further.iter().filter_map(|entrance| entrance.listener.local_addr().ok());
    let ours: Vec<SocketAddr> = addresses.iter().copied().chain(elsewhere).collect();
    let forwarding = crate::forward::start(&engine, &doors.config, &ours, &signals_of)?;
    let outlets = Outlets::open(&engine, &doors, &stopping)?;
    let data = doors.config.data.clone();
    let receiving = tokio::spawn(received.serve(Arc::clone(&engine), Arc::clone(&doors.config), stopping.clone()));
    let import = tokio::spawn(import(url.clone(), data.clone(), arguments, stopping.clone()));
    let main = listeners.into_iter().map(|listener| Entrance { listener, prefix: "" });
    let entrances = main.chain(further).collect();
    let serving = tokio::spawn(serve(entrances, doors, stopping));
    signals.first().await;
    tracing::info!("stopping: finishing what is under way");
    let _ = stop.send(true);
    serving.await?;
    receiving.await?;
    import.abort();
    if let Some(forwarding) = forwarding {
        forwarding.end().await;
    }
    outlets.end().await;
    let closed = tokio::task::spawn_blocking(move || engine.close()).await?;
    let _ = std::fs::remove_file(data.join(SERVER_FILE));
    closed.context(
        "the buffer could not be written; everything acknowledged is in the journal, where the next start finds it",
    )?;
    tracing::info!("stopped: everything is written");
    Ok(())
}

/// How long the events of logs are kept, and when they go to the archive, as the file says.
fn keep_as_said(engine: &Engine, config: &Config) -> anyhow::Result<()> {
    for (log, retention) in &config.logs {
        let retention = (!retention.is_empty()).then(|| retention.clone());
        let archiving = config.archiving.get(log).cloned().unwrap_or_default();
        engine.set_log(log, LogSettings { retention, ..archiving }).with_context(|| format!("[logs.{log}]"))?;
    }
    Ok(())
}

/// What tells people: notices, and lines on the terminal.
struct Outlets {
    notifying: crate::notify::Notifying,
    console: Option<Console>,
}

impl Outlets {
    fn open(engine: &Arc<Engine>, doors: &Doors, stopping: &watch::Receiver<bool>) -> anyhow::Result<Self> {
        let (sender, posted) = watch::channel(0);
        engine.on_notice(move || sender.send_modify(|posted| *posted += 1));
        let signals = crate::notify::Signals { posted, stopping: stopping.clone() };
        let outbox = Arc::clone(engine) as Arc<dyn crate::notify::Outbox>;
        let notifying = crate::notify::start(outbox, Arc::clone(&doors.transport), signals)?;
        let level_min = doors.config.console_log_level;
        let console = level_min.map(|level_min| Console::start(engine, level_min, doors.stored.clone())).transpose()?;
        Ok(Self { notifying, console })
    }

    async fn end(self) {
        self.notifying.end().await;
        if let Some(console) = self.console {
            console.end().await;
        }
    }
}

/// What nobody would be told of, said once at the start.
fn warn_of_silence(config: &Config) {
    if config.config_error_report_email.is_empty() {
        tracing::warn!(
            target: trouble::SAID_AT_START,
            "configuration errors are kept and reported to nobody: set config_error_report_email, and smtp, to have them mailed"
        );
    }
}

/// The variables that keys may show.
fn environment(allowed: &[String]) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let read = |name: &String| {
        let value = std::env::var(name).ok();
        let bytes = value.as_ref().map_or(0, String::len);
        if bytes > VARIABLE_BYTES_MAX {
            bail!(
                "env_allowed: the variable {name} has {bytes} bytes; at most {VARIABLE_BYTES_MAX} are kept with each event"
            );
        }
        Ok((name.clone(), value))
    };
    allowed.iter().map(read).collect()
}

fn doors(engine: &Arc<Engine>, config: Config, stopping: &watch::Receiver<bool>, questions: Handle) -> Doors {
    let (sender, stored) = watch::channel(engine.last_sequence());
    engine.on_stored(move |sequence| {
        sender.send_replace(sequence);
    });
    Doors {
        engine: Arc::clone(engine),
        config: Arc::new(config),
        stored,
        body_bytes: Arc::new(AtomicUsize::new(0)),
        tails: Arc::new(Semaphore::new(crate::http::TAILS_MAX)),
        questions: Questions::new(questions),
        stopping: stopping.clone(),
        transport: Arc::new(crate::notify::Transport::new(Arc::new(crate::notify::SystemNames))),
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "{address} is in use by another program (perhaps an Everlog that is running already): stop it, or choose another address with --listen"
            )
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            bail!("{address} may not be used: ports below 1024 need a privilege; choose another with --listen")
        }
        Err(error) => bail!("cannot listen on {address}: {error}"),
    }
}

/// Makes the token for everything when there is none. True when it was made now.
fn ensure_admin_token(engine: &Engine, data: &Path) -> anyhow::Result<bool> {
    let file = data.join(TOKEN_FILE);
    if file.try_exists().unwrap_or(false) {
        return Ok(false);
    }
    let made = engine.create_token(engine::FIRST_TOKEN, &[Scope::Admin], &[])?;
    write_file(&file, &made.token)?;
    Ok(true)
}

/// Writes a file that only its owner can read.
fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    let aside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// The address under which this machine reaches the server.
pub(crate) fn url_of(addresses: &[SocketAddr]) -> String {
    let address = addresses.iter().find(|address| address.ip().is_loopback()).or_else(|| addresses.first());
    address.map_or_else(String::new, |address| {
        let host = match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => "127.0.0.1".to_owned(),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => "[::1]".to_owned(),
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        format!("http://{host}:{}", address.port())
    })
}

fn greet(config: &Config, addresses: &[SocketAddr], url: &str, report: &StartReport, made: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let token = config.data.join(TOKEN_FILE);
    writeln!(
        out,
        "Everlog {} is running at {url}, with its data in {}",
        env!("CARGO_PKG_VERSION"),
        config.data.display()
    )?;
    if report.recovered > 0 {
        writeln!(
            out,
            "{} events were read back from the journal: the last stop was not a clean one",
            report.recovered
        )?;
    }
    if made {
        writeln!(out, "\nThe token for everything was made and is in {} (readable by you alone).", token.display())?;
        writeln!(
            out,
            "Programs on this machine need none to write and read; `everlog token create` makes tokens for others."
        )?;
    }
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        writeln!(
            out,
            "\nIt can be reached from other machines: they need a token, and it speaks plain HTTP, so put TLS in front of it."
        )?;
    }
    writeln!(out, "\n  everlog log INFO alice@example.com \"It works.\"    send an event")?;
    writeln!(out, "  everlog query alice                               find it")?;
    writeln!(out, "  everlog import /var/log                           take in log files")?;
    writeln!(out, "  everlog tail                                      watch events come in\n")?;
    Ok(out.flush()?)
}

/// Imports what `--import` names, through the same door as everybody.
async fn import(url: String, data: std::path::PathBuf, arguments: ServeArguments, stopping: watch::Receiver<bool>) {
    if arguments.import.is_empty() {
        return;
    }
    let token = tokio::fs::read_to_string(data.join(TOKEN_FILE)).await.ok();
    let work = async {
        let client = Client::new(&url, token.as_deref().map(str::trim))?;
        import_paths(&client, &arguments.log, &arguments.import, Progress::standard_error()).await
    };
    match work.await {
        Ok(summary) => {
            for line in summary.lines(crate::cli::plain()) {
                tracing::info!("{line}");
            }
        }
        Err(error) if *stopping.borrow() => tracing::debug!("the import ended with the server: {error:#}"),
        Err(error) => tracing::error!("{error:#}"),
    }
}

/// The signals that end the server. Listened for from the first moment: one that comes during the start counts too.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
