//! The real server as another process, on a port of its own and with a data directory of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::answer::Answer;

/// How long anything may take before a test gives up on it. Nothing that works needs as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The door that most tests use.
pub(crate) const EVENTS: &str = "/api/v1/logs/default/events";

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A client of its own, with connections of its own.
pub(crate) fn client() -> reqwest::Client {
    // The first one counts, whichever test makes it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap()
}

/// The binary.
pub(crate) const EVERLOG: &str = env!("CARGO_BIN_EXE_everlog");

/// A program in this folder, far from any configuration of the person who runs the tests.
pub(crate) fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EVERLOG_")) {
        command.env_remove(name);
    }
    command
}

/// A server and its folder.
pub(crate) struct Server {
    folder: TempDir,
    /// Where we see its data directory.
    data: PathBuf,
    variables: Vec<(String, String)>,
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl Server {
    /// Starts a server on an empty data directory.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with these variables in its environment.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let child = serve(folder.path(), &variables);
        let data = folder.path().join("data");
        let mut server = Self { folder, data, variables, child, url: String::new(), http: client() };
        server.wait_for_answer().await;
        server
    }

    async fn wait_for_answer(&mut self) {
        let file = self.data.join("server.json");
        self.url = until("the server's start", async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended ({ended:?}): {}", self.said());
            let found: Value = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
            // A killed predecessor leaves its file.
            let url = found["url"].as_str().filter(|_| found["pid"] == self.child.id())?;
            let answer = self.http.get(format!("{url}/healthz")).send().await.ok()?;
            answer.status().is_success().then(|| url.to_owned())
        })
        .await;
    }

    /// Starts the server that a command becomes. `seen_at` tells from its process where we see its data directory.
    pub(crate) async fn start_by(mut command: Command, folder: TempDir, seen_at: impl Fn(u32) -> PathBuf) -> Self {
        let child = command.stdout(Stdio::null()).stderr(log_file(folder.path())).spawn().unwrap();
        let data = seen_at(child.id());
        let mut server = Self { folder, data, variables: Vec::new(), child, url: String::new(), http: client() };
        server.wait_for_answer().await;
        server
    }

    /// The folder that holds the data directory and nothing else of the server.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// What the server said on standard error.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("server.err")).unwrap_or_default()).into_owned()
    }

    /// All that the server has printed to its standard output.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.folder.path().join(PRINTED)).unwrap()
    }

    /// The token for everything.
    pub(crate) fn admin_token(&self) -> String {
        fs::read_to_string(self.data.join("admin.token")).unwrap()
    }

    /// Ends the server as a power cut does.
    pub(crate) fn kill9(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "the server ended by itself: {}", self.said());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the server again on the same data directory.
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "it is still running");
        self.child = serve(self.folder.path(), &self.variables);
        self.wait_for_answer().await;
    }

    /// A variable that the server is started with from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Asks the server to stop.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for the end of the server.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the server's end", async || self.child.try_wait().unwrap()).await
    }

    /// Ends the server as an operator does; it must end well.
    pub(crate) async fn stop(&mut self) {
        self.terminate();
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.said());
    }

    /// A request to a path.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        ask(self.request(reqwest::Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        ask(self.request(reqwest::Method::POST, path).body(body)).await
    }

    /// A request with the token for everything.
    pub(crate) async fn as_admin(&self, method: reqwest::Method, path: &str, body: &Value) -> Answer {
        ask(self.request(method, path).bearer_auth(self.admin_token()).json(body)).await
    }

    /// Writes the buffer to segments.
    pub(crate) async fn flush(&self) {
        self.as_admin(reqwest::Method::POST, "/api/v1/flush", &json!({})).await.expect(200);
    }

    /// Sends one event, which must be accepted.
    pub(crate) async fn send(&self, event: &Value) {
        self.post(EVENTS, event.to_string()).await.accepted(1, 0);
    }

    /// The events of the log `default` that answer a query string.
    pub(crate) async fn events(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("{EVENTS}?{query}")).await.expect(200);
        answer.as_array().unwrap().clone()
    }

    /// The issues of the log `default` that answer a query string.
    pub(crate) async fn issues(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/logs/default/issues?{query}")).await.expect(200);
        answer.as_array().unwrap().clone()
    }

    /// Waits until so many notices are known as sent: a server that is killed before sends them again, under the same id.
    pub(crate) async fn told(&self, count: usize) {
        until("all notices to be known as sent", async || {
            let told = self.as_admin(reqwest::Method::GET, "/api/v1/notices", &Value::Null).await.json();
            let sent = told.as_array()?.iter().filter(|told| told["deliveries"][0]["state"] == "sent").count();
            (sent == count).then_some(())
        })
        .await;
    }

    /// The issue whose title holds a text, once it has so many occurrences.
    pub(crate) async fn issue(&self, title: &str, occurrences: u64) -> Value {
        let path = format!("q={}", form_urlencoded::byte_serialize(title.as_bytes()).collect::<String>());
        until(&format!("{occurrences} occurrences of {title}"), async || {
            let found = self.issues(&path).await;
            found.into_iter().find(|issue| issue["occurrences"] == occurrences)
        })
        .await
    }

    /// Makes a channel, or changes one.
    pub(crate) async fn set_channel(&self, name: &str, settings: &Value) -> Value {
        self.as_admin(reqwest::Method::PUT, &format!("/api/v1/channels/{name}"), settings).await.expect(200)
    }

    /// How many events of the stream INTERNAL have this name.
    pub(crate) async fn internal(&self, event: &str) -> usize {
        self.events(&format!("stream=INTERNAL&event={event}&_limit=1000")).await.len()
    }

    /// Sends bytes as they are, and returns what comes until the server hangs up.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Runs a command of the command line on this server.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        program(EVERLOG, self.folder.path()).args(arguments).env("EVERLOG_DATA", &self.data).output().unwrap()
    }

    /// The standard output of a command that must succeed.
    #[track_caller]
    pub(crate) fn cli_ok(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "everlog {arguments:?}: {}\n{out}\n{err}", output.status);
        out.into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request that must be answered.
pub(crate) async fn ask(request: reqwest::RequestBuilder) -> Answer {
    Answer::read(request.send().await.unwrap()).await.unwrap()
}

/// The file with what the server prints.
const PRINTED: &str = "server.out";

fn log_file(folder: &Path) -> File {
    File::options().create(true).append(true).open(folder.join("server.err")).unwrap()
}

fn serve(folder: &Path, variables: &[(String, String)]) -> Child {
    let mut command = program(EVERLOG, folder);
    // No test asks the network, unless it says whom.
    command.env("EVERLOG_NAME_SERVERS", "none").envs(variables.iter().map(|(name, value)| (name, value)));
    command.arg("serve").arg("--data").arg(folder.join("data")).args(["--listen", "127.0.0.1:0"]);
    let printed = File::options().create(true).append(true).open(folder.join(PRINTED)).unwrap();
    command.stdout(printed).stderr(log_file(folder)).spawn().unwrap()
}
