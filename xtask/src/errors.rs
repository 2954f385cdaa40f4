//! `cargo xtask errors`: how fast errors of Sentry's SDKs are taken, beside Bugsink on the same machine in the same run.
//!
//! Both get the same errors of a web application (20 kB), one a request, over the same number of connections. What counts is what can be read: Everlog's answer is after that, Bugsink's is before, so for Bugsink the
//! clock runs until its workers have put the last one into the database.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::http::{Connection, Request};
use crate::sentry::Envelopes;
use crate::server::{Workplace, explain};
use crate::{cargo, options, python, wait};

const CONNECTIONS: u64 = 8;
const PACKAGES: [&str; 2] = ["bugsink==2.6.1", "gunicorn==26.2.0"];
const DIGESTED_MAX: Duration = Duration::from_secs(1800);
const START_MAX: Duration = Duration::from_secs(60);

/// Unless told, Bugsink takes 1000 events of a project in five minutes.
const BUGSINK_SETTINGS: &str = r#"
BUGSINK["BASE_URL"] = "http://127.0.0.1"
BUGSINK["MAX_EVENTS_PER_PROJECT_PER_5_MINUTES"] = 100_000_000
BUGSINK["MAX_EVENTS_PER_PROJECT_PER_HOUR"] = 100_000_000
BUGSINK["MAX_EVENTS_PER_PROJECT_PER_MONTH"] = 100_000_000
BUGSINK["MAX_EVENTS_PER_5_MINUTES"] = 100_000_000
BUGSINK["MAX_EVENTS_PER_HOUR"] = 100_000_000
BUGSINK["MAX_EVENTS_PER_MONTH"] = 100_000_000
ALLOWED_HOSTS = ["*"]
"#;

/// Measures Everlog, and Bugsink unless `--events-bugsink 0`. `--binary PATH` comes first, if it is there.
///
/// # Errors
///
/// If one of them does not take every event.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (binary, numbers) = match arguments {
        [name, path, rest @ ..] if name == "--binary" => {
            (fs::canonicalize(path).with_context(|| format!("there is no {path}"))?, rest)
        }
        _ => (cargo::build_release()?, arguments),
    };
    let [events, others] = options::numbers(numbers, [("--events", 100_000), ("--events-bugsink", 3000)])?;
    let workplace = Workplace::new("errors", binary)?;
    explain(measure(&workplace, events, others), &workplace)?;
    workplace.clear()
}

fn measure(workplace: &Workplace, events: u64, others: u64) -> anyhow::Result<()> {
    println!("{} bytes an envelope, {CONNECTIONS} connections", Envelopes::new().of(0).len());
    let server = workplace.start()?;
    let started = Instant::now();
    send(server.address(), "/api/1/envelope/?sentry_key=local", events)?;
    let ours = report("Everlog", events, started.elapsed());
    let token = workplace.token()?;
    let target = "/api/v1/logs/default/events?event=exception&_limit=1&_c=id&_total=y";
    let asked = Request { token: Some(&token), ..Request::get(target) };
    let answer = Connection::open(server.address())?.ask(asked)?;
    let found = answer.header("x-total-count").and_then(|count| count.parse::<u64>().ok());
    if found != Some(events) {
        bail!("{events} were acknowledged and {found:?} are there: {}", answer.excerpt());
    }
    server.terminate()?;
    if others > 0 {
        let theirs = bugsink(&workplace.folder().join("bugsink"), others)?;
        println!("  {:.1} times as many", ours / theirs);
    }
    Ok(())
}

fn report(name: &str, events: u64, took: Duration) -> f64 {
    let rate = events as f64 / took.as_secs_f64();
    println!("  {name:8} {events:>8} events {:8.1} s {rate:10.0} events/s", took.as_secs_f64());
    rate
}

/// Sends so many under ids of their own; each must be answered 200.
fn send(address: &str, target: &str, events: u64) -> anyhow::Result<()> {
    let envelopes = Envelopes::new();
    let next = AtomicU64::new(0);
    let one = || -> anyhow::Result<()> {
        let mut connection = Connection::open(address)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= events {
                return Ok(());
            }
            let body = envelopes.of(number);
            let content_type = "application/x-sentry-envelope";
            let request = Request { method: "POST", target, token: None, content_type, body: body.as_bytes() };
            let answer = connection.ask(request)?;
            if answer.status != 200 {
                bail!("answered {}: {}", answer.status, answer.excerpt());
            }
            // What keeps no connection is given a new one each time.
            if answer.header("connection").is_some_and(|said| said.eq_ignore_ascii_case("close")) {
                connection = Connection::open(address)?;
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a sender panicked")))
    })
}

/// Programs that end with this.
struct Programs(Vec<Child>);

impl Drop for Programs {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // They may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Bugsink as its documents say for production: SQLite, gunicorn, and the workers of snappea.
fn bugsink(folder: &Path, events: u64) -> anyhow::Result<f64> {
    let programs = python::tools(&PACKAGES)?;
    fs::create_dir_all(folder)?;
    let run = |name: &str, arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(programs.join(name)).args(arguments).current_dir(folder).output()?;
        if !output.status.success() {
            bail!("{name} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let base = folder.display().to_string();
    run("bugsink-create-conf", &["--template=singleserver", "--host=127.0.0.1", "--base-dir", &base])?;
    let conf = folder.join("bugsink_conf.py");
    fs::write(&conf, fs::read_to_string(&conf)? + BUGSINK_SETTINGS)?;
    run("bugsink-manage", &["migrate", "-v0"])?;
    run("bugsink-manage", &["migrate", "snappea", "--database=snappea", "-v0"])?;
    let make = "from projects.models import Project; p = Project.objects.create(name='shop'); print('made', p.id, p.sentry_key.hex)";
    let made = run("bugsink-manage", &["shell", "-v0", "-c", make])?;
    let made: Vec<&str> = made.lines().find_map(|line| line.strip_prefix("made ")).unwrap_or("").split(' ').collect();
    let [project, key] = made[..] else { bail!("Bugsink made no project: {made:?}") };
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?;
        free.local_addr()?.to_string()
    };
    let spawn = |name: &str, arguments: &[&str]| {
        let log = fs::File::create(folder.join(format!("{name}.out")))?;
        let mut command = Command::new(programs.join(name));
        command.args(arguments).current_dir(folder).env("PYTHONUNBUFFERED", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("cannot run {name}"))
    };
    let bind = format!("--bind={address}");
    let gunicorn = [bind.as_str(), "--workers=4", "--timeout=60", "bugsink.wsgi"];
    let _running = Programs(vec![spawn("gunicorn", &gunicorn)?, spawn("bugsink-runsnappea", &[])?]);
    wait::until("Bugsink", START_MAX, || Ok(Connection::open(&address).ok().map(drop)))?;
    let count = || -> anyhow::Result<u64> {
        let script = "import sqlite3; print(sqlite3.connect('file:db.sqlite3?mode=ro', uri=True, timeout=60).execute('select count(*) from events_event').fetchone()[0])";
        Ok(run("python", &["-c", script])?.trim().parse()?)
    };
    let started = Instant::now();
    send(&address, &format!("/api/{project}/envelope/?sentry_key={key}"), events)?;
    println!("  Bugsink answered all after {:.1} s", started.elapsed().as_secs_f64());
    wait::until("Bugsink's workers", DIGESTED_MAX, || Ok((count()? >= events).then_some(())))?;
    Ok(report("Bugsink", events, started.elapsed()))
}
