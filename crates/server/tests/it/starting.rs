//! Starts that cannot be: the message says what is wrong and what to do.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::server::{EVERLOG, Server, program};

/// Runs `everlog serve` as it is, which must fail; returns what it says.
#[track_caller]
fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn serve(folder: &Path) -> Command {
    let mut command = program(EVERLOG, folder);
    command.args(["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_or_an_address_in_use() {
    let server = Server::start().await;
    let said = refused(serve(server.folder()));
    assert!(said.contains("the data directory data is in use by another everlog"), "{said}");
    let other = tempfile::tempdir().unwrap();
    let mut command = program(EVERLOG, other.path());
    command.args(["serve", "--listen", server.address()]);
    let said = refused(command);
    assert!(said.contains(server.address()) && said.contains("in use") && said.contains("--listen"), "{said}");
    assert!(!other.path().join("everlog-data").try_exists().unwrap(), "nothing is made in vain");
    server.send(&json!({"n": 1})).await;
}

#[test]
fn settings_that_are_not_known() {
    let folder = tempfile::tempdir().unwrap();
    for (file, expected) in [
        ("requre_token = true", "did you mean \"require_token\"?"),
        ("flush_after = \"soon\"", "expected a time such as 30s"),
        ("[logs.shop]\nretentoin = \"9d\"", "did you mean \"retention\"?"),
        ("listen = ", "everlog.toml"),
    ] {
        std::fs::write(folder.path().join("everlog.toml"), file).unwrap();
        let said = refused(serve(folder.path()));
        assert!(said.contains(expected) && said.contains("everlog.toml"), "{file}: {said}");
    }
    std::fs::remove_file(folder.path().join("everlog.toml")).unwrap();
    for (name, value, expected) in [
        ("EVERLOG_REQUIRE_TOKN", "true", "did you mean \"EVERLOG_REQUIRE_TOKEN\"?"),
        ("EVERLOG_DATA", "", "expected a directory"),
        ("EVERLOG_CONFIG", "", "EVERLOG_CONFIG is empty"),
        ("EVERLOG_REQUIRE_TOKEN", "perhaps", "expected true or false"),
        ("EVERLOG_CONFIG", "nowhere.toml", "nowhere.toml"),
    ] {
        let mut command = serve(folder.path());
        let said = refused({
            command.env(name, value);
            command
        });
        assert!(said.contains(expected), "{name}: {said}");
    }
    assert!(!folder.path().join("data").try_exists().unwrap());
}

#[test]
fn the_configuration_is_printed_and_can_be_fed_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("everlog.toml"), "logs_max = 5\n[logs.shop]\nretention = \"9d\"\n").unwrap();
    let print = |arguments: &[&str]| {
        let mut command = program(EVERLOG, folder.path());
        let output = command.args(["serve", "--print-config"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = print(&["--listen", "127.0.0.1:0", "--data", "here"]);
    for expected in ["# file everlog.toml", "# option --listen", "# option --data", "# default", "retention = \"9d\""] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    std::fs::write(folder.path().join("again.toml"), &printed).unwrap();
    let values = |printed: &str| {
        let lines = printed.lines().map(|line| line.split("  # ").next().unwrap().trim_end().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(values(&print(&["--config", "again.toml"])), values(&printed));
    assert!(!folder.path().join("here").try_exists().unwrap(), "nothing is started");
}

#[test]
fn directories_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file").unwrap();
    let said = refused(serve(folder.path()));
    assert!(said.contains("the data directory data cannot be used"), "{said}");
    std::fs::remove_file(folder.path().join("data")).unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(
        folder.path().join("data/catalog.sqlite"),
        "this is not a database, whatever its name says".repeat(100),
    )
    .unwrap();
    let said = refused(serve(folder.path()));
    assert!(said.contains("catalog"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_and_the_environment_are_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("everlog.toml"), "data = \"data\"\nlisten = \"127.0.0.1:0\"\nevent_bytes_max = \"1KiB\"\n[logs.shop]\nretention = { default = \"90d\", DEBUG = \"7d\" }\n").unwrap();
    let mut command = program(EVERLOG, folder.path());
    // A variable of somebody else that is not even text.
    command.arg("serve").env("SOMEBODY", OsString::from_vec(vec![0xff, 0xfe]));
    let data = folder.path().join("data");
    let server = Server::start_by(command, folder, |_| data.clone()).await;
    server
        .post(crate::server::EVENTS, json!({"message": "x".repeat(1024)}).to_string())
        .await
        .problem(413, "too_large");
    let shop = server.get("/api/v1/logs/shop").await.expect(200);
    assert_eq!(shop["retention"], json!({"": "90d", "DEBUG": "7d"}));
}
