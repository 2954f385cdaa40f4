//! PostgreSQL from Debian, as one would set it up for this: a cluster of its own on a socket, indexed for the questions.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::super::machine::{self, Process};
use super::super::{Run, median_ms};
use super::sql::{self, Dialect};
use super::{Files, RUNS};
use crate::options::refuse;
use crate::wait;

const HOMES: &str = "/usr/lib/postgresql";
/// PostgreSQL does not run as root, so there it runs as nobody.
const NOBODY: u32 = 65534;
const START_MAX: Duration = Duration::from_secs(30);
const SINGLE_SECONDS: u64 = 5;
const SINGLE_CONNECTIONS: usize = 16;

const TABLE: &str = r#"
CREATE EXTENSION pg_trgm;
CREATE TABLE bench (id uuid PRIMARY KEY, "timestamp" timestamptz NOT NULL, stream text, level text, event text, logger text,
  "user" text, ip text, request_id uuid, method text, path text, status int, duration_ms float8, user_agent text, message text,
  object_type text, object_id bigint);
CREATE INDEX ON bench ("timestamp");
CREATE INDEX ON bench ("user", "timestamp");
CREATE INDEX ON bench (request_id);
CREATE INDEX ON bench USING gin (to_tsvector('simple', message));
CREATE INDEX ON bench USING gin (message gin_trgm_ops);
"#;

const SINGLE: &str = r#"INSERT INTO single VALUES (gen_random_uuid(), now(), 'INFO', 'info', 'order_placed', 'shop.orders.views',
'ada' || (random() * 100000)::int || '@example.com', '10.1.2.3', gen_random_uuid(), 'POST', '/api/v1/orders', 201, random() * 100,
'okhttp/5.1.0', 'the order for user was stored after payment and the parcel is waiting in queue', NULL, NULL);
"#;

/// Loads and asks PostgreSQL.
pub(super) fn measure(run: &Run, files: &Files, folder: &Path) -> anyhow::Result<Value> {
    let programs = programs()?;
    let place = folder.join("postgresql");
    let cluster = Cluster::start(programs, place)?;
    cluster.sql(TABLE)?;
    run.settle("postgresql, loading")?;
    let before = (cluster.processor_seconds()?, Instant::now());
    cluster.copy(files)?;
    let took = before.1.elapsed().as_secs_f64();
    let cpu = cluster.processor_seconds()? - before.0;
    let events = run.options.events as f64;
    cluster.sql("VACUUM ANALYZE bench; CHECKPOINT;")?;
    let bytes: f64 = cluster.sql("SELECT pg_total_relation_size('bench')")?.trim().parse()?;
    run.settle("postgresql, questions")?;
    let mut questions = json!({});
    for question in sql::questions(run, Dialect::Postgres) {
        let rows = cluster.sql(&format!("SELECT count(*) FROM ({}) AS answer", question.sql))?;
        if rows.trim() != question.rows.to_string() {
            bail!("question {} has {} rows instead of {}", question.name, rows.trim(), question.rows);
        }
        questions[question.name] = json!(cluster.ask(&question.sql)?);
    }
    run.settle("postgresql, single inserts")?;
    cluster.sql("CREATE TABLE single (LIKE bench INCLUDING ALL)")?;
    let per_second = cluster.single_inserts()?;
    let version = cluster.sql("SHOW server_version")?;
    Ok(json!({
        "version": version.trim(),
        "events_per_s": events / took,
        "cpu_us": cpu * 1e6 / events,
        "bytes_per_event": bytes / events,
        "single_connections": SINGLE_CONNECTIONS,
        "single_per_s": per_second,
        "mean_ms": super::mean(&questions),
        "questions": questions,
    }))
}

/// The programs of the newest version that is installed; as root, after an attempt to install it.
fn programs() -> anyhow::Result<PathBuf> {
    if let Some(found) = newest() {
        return Ok(found);
    }
    if rustix::process::geteuid().is_root() {
        println!("installing postgresql with apt-get");
        let install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql";
        let output = Command::new("sh").args(["-c", install]).env("DEBIAN_FRONTEND", "noninteractive").output()?;
        if !output.status.success() {
            bail!("it cannot be installed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    newest().context("it is not installed (Debian and Ubuntu: apt-get install postgresql)")
}

fn newest() -> Option<PathBuf> {
    let versions = fs::read_dir(HOMES).ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let programs = Path::new(HOMES).join(versions.max()?.to_string()).join("bin");
    programs.join("initdb").is_file().then_some(programs)
}

/// A running cluster. Dropped, it is killed; its folder goes with that of all peers.
struct Cluster {
    programs: PathBuf,
    place: PathBuf,
    server: Child,
}

impl Cluster {
    fn start(programs: PathBuf, place: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&place)?;
        if rustix::process::geteuid().is_root() {
            chown(&place, Some(NOBODY), Some(NOBODY))?;
        }
        let data = place.join("data");
        let output = as_user(&programs.join("initdb"), &place)
            .args(["--username=bench", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()?;
        if !output.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let buffers = (machine::memory_available() / 4) >> 20;
        let settings = [
            format!("shared_buffers={buffers}MB"),
            format!("unix_socket_directories={}", place.display()),
            "listen_addresses=".to_owned(),
            "max_wal_size=8GB".to_owned(),
            "work_mem=64MB".to_owned(),
            "maintenance_work_mem=512MB".to_owned(),
        ];
        let log = fs::File::create(place.join("log"))?;
        let mut command = as_user(&programs.join("postgres"), &place);
        command.arg("-D").arg(&data).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        settings.iter().for_each(|setting| {
            command.args(["-c", setting]);
        });
        let cluster = Self { server: command.spawn()?, programs, place };
        wait::until("an answer of postgres", START_MAX, || Ok(cluster.sql("SELECT 1").ok()))?;
        Ok(cluster)
    }

    fn psql(&self) -> Command {
        let mut command = as_user(&self.programs.join("psql"), &self.place);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "bench", "-d", "postgres", "-h"]);
        command.arg(&self.place).stdin(Stdio::null());
        command
    }

    /// Runs statements and returns what they print.
    fn sql(&self, text: &str) -> anyhow::Result<String> {
        // Each of them is a transaction of its own, as VACUUM wants it.
        let statements = text.split(';').map(str::trim).filter(|statement| !statement.is_empty());
        let output = self.psql().args(statements.flat_map(|statement| ["-c", statement])).output()?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Loads all files at the same time.
    fn copy(&self, files: &Files) -> anyhow::Result<()> {
        let mut running = Vec::new();
        for file in &files.rows {
            // The file is opened here, so that the user of the cluster need not be able to.
            let mut command = self.psql();
            running.push(command.args(["-c", "COPY bench FROM STDIN"]).stdin(fs::File::open(file)?).spawn()?);
        }
        for mut copy in running {
            let status = copy.wait()?;
            if !status.success() {
                bail!("COPY failed ({status})");
            }
        }
        Ok(())
    }

    /// The median time of a question, as psql measures it, in milliseconds.
    fn ask(&self, sql: &str) -> anyhow::Result<f64> {
        let mut command = self.psql();
        command.args(["-c", "\\timing on", "-c", "\\o /dev/null"]);
        (0..=RUNS).for_each(|_| {
            command.args(["-c", sql]);
        });
        let output = command.output()?;
        let said = String::from_utf8(output.stdout)?;
        let times = said.lines().filter_map(|line| line.strip_prefix("Time: ")?.split(' ').next()?.parse::<f64>().ok());
        let times: Vec<Duration> = times.skip(1).map(|time| Duration::from_secs_f64(time / 1e3)).collect();
        if times.len() != RUNS {
            bail!("psql: {} {said}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(median_ms(times))
    }

    /// Durable inserts of one row, a second.
    fn single_inserts(&self) -> anyhow::Result<f64> {
        let script = self.place.join("single.sql");
        fs::write(&script, SINGLE.replace('\n', " "))?;
        let output = as_user(&self.programs.join("pgbench"), &self.place)
            .args(["-n", "-M", "prepared", "-U", "bench", "-j", "2", "-h"])
            .arg(&self.place)
            .args(["-c", &SINGLE_CONNECTIONS.to_string(), "-T", &SINGLE_SECONDS.to_string(), "-f"])
            .arg(&script)
            .arg("postgres")
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.ok_or_else(|| refuse(&format!("pgbench: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// Processor time of all processes of the cluster so far.
    fn processor_seconds(&self) -> anyhow::Result<f64> {
        Process(self.server.id()).family_processor_seconds()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A fast shutdown, so that no process of it is left behind.
        if let Some(pid) = i32::try_from(self.server.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::INT).ok();
        }
        self.server.wait().ok();
    }
}

/// A program as somebody who is not root.
fn as_user(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("PGOPTIONS", "").env("LC_ALL", "C");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
