//! `everlog init`: what it finds, what it writes, and the way back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::server::{EVERLOG, Server, program};

/// Every file below a folder with its content, and every folder and link.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.insert(format!("{name}/"), Vec::new());
            found.extend(tree(&entry.path()).into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            let mode = entry.metadata().unwrap().permissions().mode();
            let content = fs::read(entry.path()).unwrap_or_default();
            found.insert(format!("{name} {mode:o}"), content);
        }
    }
    found
}

fn init(folder: &Path, arguments: &[&str]) -> Output {
    program(EVERLOG, folder).arg("init").args(arguments).output().unwrap()
}

#[track_caller]
fn init_ok(folder: &Path, arguments: &[&str]) -> String {
    let output = init(folder, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn init_fails(folder: &Path, arguments: &[&str]) -> String {
    let output = init(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_becomes_a_server() {
    let folder = project(&[]);
    let said = init_ok(folder.path(), &["--listen", "127.0.0.1:0", "--log", "shop"]);
    assert!(said.contains("everlog.toml") && said.contains("everlog serve"), "{said}");
    let before = tree(folder.path());
    assert!(init_ok(folder.path(), &[]).contains("nothing to do"));
    let said = init_ok(folder.path(), &["--data", "elsewhere", "--log", "shop", "--system-only"]);
    assert!(said.contains("not applied: --data, --system-only. Edit it"), "{said}");
    assert!(init_ok(folder.path(), &["--log", "other"]).contains("not applied: --log. Edit it"));
    assert!(!init_ok(folder.path(), &["--listen", "127.0.0.1:0", "--log", "shop"]).contains("not applied"));
    assert_eq!(tree(folder.path()), before);
    let mut command = program(EVERLOG, folder.path());
    command.arg("serve");
    let data = folder.path().join("everlog-data");
    let server = Server::start_by(command, folder, |_| data.clone()).await;
    server.get("/healthz").await.expect(200);
    server.get("/api/v1/logs/shop").await.expect(200);
    server.cli_ok(&["log", "--log", "shop", "INFO", "alice", "It works."]);
    assert!(server.cli_ok(&["query", "--log", "shop", "alice"]).contains("It works."));
    // Events outlive what init wrote.
    let said = init_ok(server.folder(), &["--uninstall"]);
    assert!(said.contains("removed  everlog.toml") && said.contains("Events are never removed"), "{said}");
    assert!(server.data().join("server.json").try_exists().unwrap());
}

#[test]
fn a_tree_of_the_system_only() {
    let folder = project(&[]);
    let said = init_ok(folder.path(), &["--system-only"]);
    assert!(said.contains("tree = true and tree_users = false"), "{said}");
    let written = fs::read_to_string(folder.path().join("everlog.toml")).unwrap();
    assert!(written.contains("\ntree = true\n") && written.contains("\ntree_users = false\n"), "{written}");
}

const FLASK: &str = "from flask import Flask\n\napp = Flask(__name__)\n\nif __name__ == '__main__':\n    app.run()\n";
const EXPRESS: &str = "const express = require('express')\r\nconst app = express()\r\napp.get('/', home)\r\n";
const DJANGO: &str = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n";
const PYRAMID: &str = "def main(global_config, **settings):\n    config = Configurator(settings=settings)\n    return config.make_wsgi_app()";

/// A project, the framework that is to be found, the file that is to be changed, and how it is to begin or end then.
#[track_caller]
fn check(files: &[(&str, &str)], framework: &str, changed: &str, expected: &str) {
    let folder = project(files);
    let before = tree(folder.path());
    let preview = init_ok(folder.path(), &["--apply", "--systemd", "--dry-run"]);
    assert_eq!(tree(folder.path()), before, "a dry run changes nothing");
    let said = init_ok(folder.path(), &[]);
    assert!(said.contains(framework), "{said}");
    assert_eq!(fs::read_to_string(folder.path().join(files[0].0)).unwrap(), files[0].1, "only shown");
    let said = init_ok(folder.path(), &["--apply", "--systemd"]);
    assert!(said.contains(framework), "{said}");
    let text = fs::read_to_string(folder.path().join(changed)).unwrap();
    assert!(text.contains(expected), "{text}");
    for (path, bytes) in tree(folder.path()) {
        let path = path.rsplit_once(' ').map_or(path.as_str(), |(path, _)| path);
        if !path.ends_with('/') && !path.starts_with('.') && !files.iter().any(|(known, _)| *known == path) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(preview.contains(&format!("==> {path} (new file)\n{text}")), "{path} is not in:\n{preview}");
        }
    }
    let after = tree(folder.path());
    assert!(init_ok(folder.path(), &["--apply", "--systemd"]).contains("nothing to do"));
    assert_eq!(tree(folder.path()), after, "a second run changes nothing");
    init_ok(folder.path(), &["--uninstall", "--dry-run"]);
    assert_eq!(tree(folder.path()), after, "a dry run changes nothing");
    init_ok(folder.path(), &["--uninstall"]);
    assert_eq!(tree(folder.path()), before, "everything is as it was");
}

#[test]
fn python_projects_are_connected_and_restored() {
    let lines =
        "# everlog: begin\nimport everlog_connect\napp = everlog_connect.connect(app)\n# everlog: end\nif __name__";
    check(
        &[("app.py", FLASK), ("requirements.txt", "Flask==3\n")],
        "Flask (requirements.txt, app.py)",
        "app.py",
        lines,
    );
    let main = "api = FastAPI()\n";
    let files = [("app/main.py", main), ("pyproject.toml", "[project]\nname = \"x\"\ndependencies = [\"fastapi\"]\n")];
    check(
        &files,
        "FastAPI (pyproject.toml, app/main.py)",
        "app/main.py",
        "except ImportError:\n    import everlog_connect\napi = everlog_connect.connect(api)\n",
    );
    let files = [("shop/__init__.py", PYRAMID), ("dev.ini", "[app:main]\npyramid.debug = true\n")];
    check(
        &files,
        "Pyramid (dev.ini, shop/__init__.py)",
        "shop/__init__.py",
        "make_wsgi_app()\n# everlog: begin\nfrom . import everlog_connect\nmain = everlog_connect.connect(main)\n",
    );
    let files = [("shop/settings.py", "INSTALLED_APPS = []"), ("manage.py", DJANGO)];
    check(
        &files,
        "Django (manage.py, shop/settings.py)",
        "shop/settings.py",
        "INSTALLED_APPS = []\n# everlog: begin\nimport everlog_connect\nLOGGING",
    );
}

#[test]
fn other_projects_are_connected_and_restored() {
    let package = ("package.json", "{\"main\": \"./index.js\", \"dependencies\": {\"express\": \"5\"}}");
    let lines = "express()\r\n// everlog: begin\r\nrequire(\"./everlog-connect.cjs\").connect(app);\r\n// everlog: end\r\napp.get";
    check(&[("index.js", EXPRESS), package], "Express (package.json, index.js)", "index.js", lines);
    let module = ("package.json", "{\"type\": \"module\", \"dependencies\": {\"express\": \"5\"}}");
    let lines = "import everlogConnect from \"./everlog-connect.cjs\";\neverlogConnect.connect(app);\n";
    check(&[("src/server.js", "const app = express();\n"), module], "Express", "src/server.js", lines);
    let cargo = ("Cargo.toml", "[package]\nname = \"shop\"\n[dependencies]\naxum = \"0.8\"\n");
    check(
        &[("src/main.rs", "fn main() {}\n"), cargo],
        "axum",
        "src/main.rs",
        "// everlog: begin\nmod everlog_connect;\n",
    );
    let files = [("Gemfile", "gem \"rails\", \"~> 8\"\n"), ("config/application.rb", "module Shop; end\n")];
    check(&files, "Rails", "config/initializers/everlog.rb", "insert_before 0, EverlogConnect::Middleware");
    check(&[("gramex.yaml", "url: {}\n")], "Gramex (gramex.yaml)", "gramex.yaml", "schedule:\n  everlog:\n");
}

#[test]
fn several_frameworks_and_celery() {
    let requirements = ("requirements.txt", "flask\ncelery[redis]\n# fastapi\n");
    let folder = project(&[("app.py", FLASK), requirements, ("gramex.yaml", "schedule: {}\n")]);
    let said = init_ok(folder.path(), &["--apply"]);
    for expected in ["Flask (requirements.txt, app.py)", "Celery", "Gramex", "logger.delay(", "add to it by hand"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("FastAPI"), "{said}");
    let connector = fs::read_to_string(folder.path().join("everlog_connect.py")).unwrap();
    assert!(!connector.contains("LOG = \"default\""), "it has the project's log");
}

#[test]
fn what_somebody_changed_is_kept() {
    let folder = project(&[("app.py", FLASK), ("requirements.txt", "flask\n")]);
    init_ok(folder.path(), &["--apply"]);
    let edit = |path: &str, from: &str, to: &str| {
        let path = folder.path().join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replace(from, to)).unwrap();
    };
    // A change beside the marked lines does not matter; they are taken out, and it stays.
    edit("app.py", "__name__)\n", "__name__)\napp.debug = True\n");
    edit("everlog.toml", "# logs_max = 1000", "logs_max = 7");
    let before = tree(folder.path());
    assert!(init_ok(folder.path(), &["--apply"]).contains("nothing to do"));
    assert_eq!(tree(folder.path()), before, "a changed file is left alone");
    let said = init_ok(folder.path(), &["--uninstall"]);
    assert!(said.contains("kept     everlog.toml") && said.contains("restored app.py"), "{said}");
    assert_eq!(
        fs::read_to_string(folder.path().join("app.py")).unwrap(),
        FLASK.replace("__name__)\n", "__name__)\napp.debug = True\n")
    );
    assert!(fs::read_to_string(folder.path().join("everlog.toml")).unwrap().contains("logs_max = 7"));
    assert!(!folder.path().join("everlog_connect.py").try_exists().unwrap());
    assert!(init_ok(folder.path(), &["--uninstall"]).contains("nothing to do"));
    // Now the configuration is somebody's own.
    let said = init_ok(folder.path(), &["--apply"]);
    assert!(said.contains("everlog.toml was there already"), "{said}");
    edit("app.py", "app = everlog_connect.connect(app)", "app = everlog_connect.connect(app)  # mine");
    let said = init_ok(folder.path(), &["--uninstall"]);
    assert!(said.contains("kept     app.py"), "{said}");
}

#[test]
fn folders_that_cannot_be_used() {
    let folder = project(&[("file", ""), ("app.py", FLASK), ("requirements.txt", "flask\n")]);
    let said = init_fails(folder.path(), &["nowhere"]);
    assert!(said.contains("there is no folder nowhere"), "{said}");
    assert!(init_fails(folder.path(), &["file"]).contains("file is a file"));
    let said = init_fails(folder.path(), &["--log", "../x"]);
    assert!(said.contains("cannot be the name of a log"), "{said}");
    // A link is never written through.
    let elsewhere = project(&[("settings", "kept\n")]);
    symlink(elsewhere.path().join("nothing"), folder.path().join("everlog.toml")).unwrap();
    assert!(init_fails(folder.path(), &[]).contains("everlog.toml"));
    fs::remove_file(folder.path().join("everlog.toml")).unwrap();
    fs::rename(folder.path().join("app.py"), elsewhere.path().join("app.py")).unwrap();
    symlink(elsewhere.path().join("app.py"), folder.path().join("app.py")).unwrap();
    let before = tree(folder.path());
    assert!(init_fails(folder.path(), &["--apply"]).contains("app.py is a link"));
    assert_eq!(tree(folder.path()), before, "nothing is written by halves");
    fs::write(folder.path().join(".everlog-init.json"), r#"{"version":1,"log":"x","files":{"../settings":"00"}}"#)
        .unwrap();
    assert!(init_fails(folder.path(), &["--uninstall"]).contains("not in this folder"));
    // A configuration that is wrong is said so, and not worked around.
    fs::remove_file(folder.path().join(".everlog-init.json")).unwrap();
    fs::write(folder.path().join("everlog.toml"), "lisen = 1\n").unwrap();
    assert!(init_fails(folder.path(), &[]).contains("did you mean \"listen\"?"));
}

/// A manifest as a stranger would write it.
fn forge(folder: &Path, log: &str, files: &[(&str, &str)], lines: &[(&str, &str)], folders: &[&str]) {
    let (files, lines): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (files.iter().copied().collect(), lines.iter().copied().collect());
    let manifest =
        serde_json::json!({"version": 1, "log": log, "files": files, "lines": lines, "folders": folders}).to_string();
    fs::write(folder.join(".everlog-init.json"), manifest).unwrap();
}

#[test]
fn a_linked_folder_leads_nowhere() {
    let outside = project(&[("ssh/keys", "ours\ntheirs\n"), ("ssh/gone", "")]);
    fs::create_dir(outside.path().join("empty")).unwrap();
    let before = tree(outside.path());
    let folder = project(&[("own/keys", "ours\ntheirs\n")]);
    symlink(outside.path(), folder.path().join("link")).unwrap();
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let lines = [("link/ssh/keys", "ours\n"), ("own/keys", "ours\n")];
    for arguments in [&["--uninstall", "--dry-run"][..], &["--uninstall"]] {
        forge(folder.path(), "x", &[("link/ssh/gone", nothing)], &lines, &["link/empty"]);
        let said = init_ok(folder.path(), arguments);
        for path in ["link/ssh/keys", "link/ssh/gone"] {
            assert!(said.contains(&format!("kept     {path}: a linked folder leads it out")), "{said}");
        }
        assert!(said.contains("restored own/keys"), "{said}");
        assert_eq!(said.contains("kept     link/empty: "), arguments.len() == 1, "{said}");
        assert_eq!(tree(outside.path()), before, "nothing outside is touched");
    }
    assert_eq!(fs::read_to_string(folder.path().join("own/keys")).unwrap(), "theirs\n");
}

#[test]
fn the_log_of_a_strangers_manifest_is_checked() {
    let folder = project(&[("app.py", FLASK), ("requirements.txt", "flask\n")]);
    for log in ["", "x\"\nimport evil #", "../x"] {
        forge(folder.path(), log, &[], &[], &[]);
        let before = tree(folder.path());
        for arguments in [&["--apply"][..], &["--uninstall"]] {
            let said = init_fails(folder.path(), arguments);
            assert!(said.contains(".everlog-init.json was not written by init"), "{said}");
            assert_eq!(tree(folder.path()), before);
        }
    }
    fs::remove_file(folder.path().join(".everlog-init.json")).unwrap();
    fs::write(folder.path().join("everlog.toml"), "[logs.\"x\\\"\\nimport evil #\"]\n").unwrap();
    assert!(init_fails(folder.path(), &["--apply"]).contains("cannot be the name of a log"));
}

#[test]
fn a_folder_that_is_read_only() {
    // Whoever runs the tests, nobody makes files there.
    assert!(init_fails(Path::new("/"), &["/proc/sys"]).contains("look at the permissions"));
}
