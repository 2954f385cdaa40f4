//! `cargo xtask clients`: the real clients of other products, from PyPI, npm, crates.io and Debian, against the release.
//!
//! Each folder of `clients/` is one of them. What it runs are the snippets of its page in `docs/connect/`, so that what
//! a reader copies is what was tried.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::cargo::root;
use crate::http::{Connection, Request};
use crate::options::refuse;
use crate::server::{Server, Workplace};
use crate::{cargo, packages, python, wait};

mod snippets;

/// How long one client may take, the installation apart.
const TIME_MAX: Duration = Duration::from_secs(600);

/// The addresses that snippets show, in the order of the places they stand for.
const SHOWN: [&str; 5] = ["localhost:7171", "localhost:9200", "localhost:4317", "localhost:5514", "localhost:12201"];

/// A token as Application Insights wants its key to look like.
const SHOWN_GUID: &str = "00000000-0000-0000-0000-000000000000";

/// What a `client.toml` says.
#[derive(Debug, Default)]
struct Client {
    name: String,
    page: String,
    python: Vec<String>,
    npm: Vec<String>,
    apt: Vec<String>,
    config: String,
    run: Vec<String>,
}

/// Runs the clients that are named, or all. Without `--binary` the release is built.
///
/// # Errors
///
/// When one of them fails; the others are run all the same.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (mut names, mut binary) = (Vec::new(), None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--binary" => binary = Some(rest.next().ok_or_else(|| refuse("`--binary` needs a path after it"))?),
            option if option.starts_with('-') => return Err(refuse(&format!("unexpected argument `{option}`"))),
            name => names.push(name.to_owned()),
        }
    }
    let clients = chosen(&names)?;
    let binary = match binary {
        Some(path) => fs::canonicalize(path).with_context(|| format!("there is no {path}"))?,
        None => cargo::build_release()?,
    };
    let mut outcomes = Vec::new();
    for client in &clients {
        println!("\n-- {}", client.name);
        let start = Instant::now();
        let outcome = try_client(client, &binary);
        if let Err(error) = &outcome {
            println!("FAILED {}: {error:#}", client.name);
        }
        outcomes.push((client.name.as_str(), outcome, start.elapsed()));
    }
    println!();
    for (name, outcome, time) in &outcomes {
        let said = match outcome {
            Ok(Some(checks)) => format!("{checks} checks"),
            Ok(None) => "skipped".to_owned(),
            Err(_) => "FAILED".to_owned(),
        };
        println!("  {name:28} {said:>10} {:8.1} s", time.as_secs_f64());
    }
    match outcomes.iter().filter(|(_, outcome, _)| outcome.is_err()).count() {
        0 => Ok(()),
        failed => Err(refuse(&format!("{failed} of {} clients failed", outcomes.len()))),
    }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Client>> {
    let folder = root().join("clients");
    let mut known = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.join("client.toml").is_file() {
            known.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    known.sort();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(refuse(&format!("no client is named `{unknown}`; there are: {}", known.join(", "))));
    }
    let wanted = known.iter().filter(|name| names.is_empty() || names.contains(name));
    wanted.map(|name| read(&folder.join(name), name)).collect()
}

fn read(folder: &Path, name: &str) -> anyhow::Result<Client> {
    let file = folder.join("client.toml");
    let table: toml::Table =
        fs::read_to_string(&file)?.parse().with_context(|| format!("cannot read {}", file.display()))?;
    let mut client = Client { name: name.to_owned(), ..Client::default() };
    for (key, value) in &table {
        let text = || value.as_str().map(str::to_owned).with_context(|| format!("{key} is no text"));
        let list = || {
            let items = value.as_array().with_context(|| format!("{key} is no list"))?;
            items.iter().map(|item| item.as_str().map(str::to_owned).context("no text")).collect::<anyhow::Result<_>>()
        };
        match key.as_str() {
            "page" => client.page = text()?,
            "python" => client.python = list()?,
            "npm" => client.npm = list()?,
            "apt" => client.apt = list()?,
            "config" => client.config = text()?,
            "run" => client.run = list()?,
            _ => bail!("{}: unknown key `{key}`", file.display()),
        }
    }
    if client.run.is_empty() { bail!("{}: `run` is missing", file.display()) } else { Ok(client) }
}

/// The number of checks that held; nothing when it was skipped.
fn try_client(client: &Client, binary: &Path) -> anyhow::Result<Option<usize>> {
    let Some(tools) = tools(client)? else { return Ok(None) };
    let place = std::env::temp_dir().join(format!("everlog-client-{}", client.name));
    if place.try_exists()? {
        fs::remove_dir_all(&place)?;
    }
    let workplace = Workplace::at(place, binary.to_owned())?;
    let others = free_addresses()?;
    let mut replaced: BTreeMap<String, String> =
        SHOWN[1..].iter().map(|shown| (*shown).to_owned()).zip(others.clone()).collect();
    workplace.write("everlog.toml", &put(&client.config, &replaced))?;
    let server = workplace.start()?;
    let token = make_token(&server, &workplace.token()?, "write")?;
    let reader = make_token(&server, &workplace.token()?, "read")?;
    replaced.insert(SHOWN[0].to_owned(), server.address().to_owned());
    replaced.insert(SHOWN_GUID.to_owned(), token.clone());
    // The longer name is replaced first, as the order of the map has it.
    replaced.insert("READ_TOKEN".to_owned(), reader.replace('-', ""));
    replaced.insert("TOKEN".to_owned(), token.replace('-', ""));
    let work = workplace.folder().join("work");
    prepare(client, &work, &replaced)?;
    let environment = [
        ("EVERLOG_URL", format!("http://{}", server.address())),
        ("EVERLOG_TOKEN", token),
        ("EVERLOG_ADMIN_TOKEN", workplace.token()?),
        ("EVERLOG_ES_URL", format!("http://{}", others[0])),
        ("EVERLOG_OTLP", others[1].clone()),
        ("EVERLOG_SYSLOG", others[2].clone()),
        ("EVERLOG_GELF", others[3].clone()),
        ("EVERLOG_BINARY", binary.display().to_string()),
        ("EVERLOG_DATA", workplace.data().display().to_string()),
        ("PYTHONPATH", root().join("clients").display().to_string()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ];
    let checks = check(client, &tools, &work, &environment).with_context(|| workplace.kept())?;
    let status = server.terminate()?;
    if !status.success() {
        bail!("the server ended with {status} after SIGTERM; {}", workplace.kept());
    }
    workplace.clear()?;
    Ok(Some(checks))
}

/// The folders with the programs of a client, first in `PATH`, and its modules; nothing when it cannot be had here.
fn tools(client: &Client) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let installed = || -> anyhow::Result<Vec<PathBuf>> {
        packages::debian(&client.apt)?;
        let mut folders = Vec::new();
        if !client.python.is_empty() {
            folders.push(python::tools(&client.python.iter().map(String::as_str).collect::<Vec<_>>())?);
        }
        if !client.npm.is_empty() {
            folders.push(packages::npm(&client.npm)?);
        }
        Ok(folders)
    };
    match installed() {
        Ok(folders) => Ok(Some(folders)),
        Err(error) if std::env::var_os("CI").is_some() => Err(error),
        Err(error) => {
            println!("SKIPPED {}: {error:#}", client.name);
            Ok(None)
        }
    }
}

/// Addresses on which nothing listens, for the doors that are no part of the main address.
fn free_addresses() -> anyhow::Result<Vec<String>> {
    let mut held = Vec::new();
    for _ in 1..SHOWN.len() {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        // Some of them are for datagrams too.
        held.push((address.to_string(), UdpSocket::bind(address)?, listener));
    }
    Ok(held.into_iter().map(|(address, _, _)| address).collect())
}

fn make_token(server: &Server, admin: &str, scope: &str) -> anyhow::Result<String> {
    let body = format!("{{\"label\":\"client\",\"scopes\":[\"{scope}\"]}}");
    let request = Request {
        method: "POST",
        target: "/api/v1/tokens",
        token: Some(admin),
        content_type: "application/json",
        body: body.as_bytes(),
    };
    let answer = Connection::open(server.address())?.ask(request)?;
    let made: serde_json::Value = serde_json::from_slice(&answer.body)?;
    made["token"].as_str().map(str::to_owned).with_context(|| format!("no token: {}", answer.excerpt()))
}

/// The text with the addresses and tokens of this run.
fn put(text: &str, replaced: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for (shown, real) in replaced {
        text = text.replace(shown.as_str(), real);
        if let Some(port) = shown.strip_prefix("localhost:") {
            text = text.replace(&format!("127.0.0.1:{port}"), real);
        }
    }
    text
}

/// Fills the folder that the client is run in: its own files, and the snippets of its page.
fn prepare(client: &Client, work: &Path, replaced: &BTreeMap<String, String>) -> anyhow::Result<()> {
    copy(&root().join("clients").join(&client.name), work)?;
    if client.page.is_empty() {
        return Ok(());
    }
    let page = root().join("docs/connect").join(&client.page);
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    for (title, snippet) in snippets::of(&text)? {
        let file = work.join(title);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, put(snippet, replaced))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn check(client: &Client, tools: &[PathBuf], work: &Path, environment: &[(&str, String)]) -> anyhow::Result<usize> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = tools.iter().cloned().chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders)?;
    // Node looks for modules beside the program, not in `PATH`.
    if let Some(modules) = tools.iter().find_map(|folder| folder.parent().filter(|up| up.ends_with("node_modules"))) {
        std::os::unix::fs::symlink(modules, work.join("node_modules"))?;
    }
    let output = work.join("check.out");
    let written = File::create(&output)?;
    // `env` finds the program along the new path.
    let mut command = Command::new("env");
    command.args(&client.run).current_dir(work).env("PATH", path).env_remove("VIRTUAL_ENV");
    command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
    let mut child =
        command.stdin(Stdio::null()).stdout(written.try_clone()?).stderr(written).spawn().context("cannot run it")?;
    let ended = wait::until("its end", TIME_MAX, || Ok(child.try_wait()?));
    if ended.is_err() {
        child.kill().ok();
        child.wait().ok();
    }
    let said = String::from_utf8_lossy(&fs::read(&output)?).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    let checks = lines.iter().filter(|line| line.starts_with("ok  ")).count();
    match ended {
        Ok(status) if status.success() && checks > 0 => {
            println!("{checks} checks");
            Ok(checks)
        }
        ended => {
            println!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            match ended? {
                status if status.success() => bail!("it checked nothing"),
                status => bail!("`{}` ended with {status}", client.run.join(" ")),
            }
        }
    }
}
