//! Python projects: where their application is made, and how it is connected.

use super::super::connect::{Connection, Edit, PYTHON};
use super::super::files::Folder;
use super::names_package;

/// Where a project says what it needs.
const REQUIREMENTS: [&str; 6] =
    ["requirements.txt", "requirements.in", "requirements/base.txt", "pyproject.toml", "setup.cfg", "Pipfile"];

/// Folders that hold no application.
const OTHER_FOLDERS: [&str; 9] =
    ["venv/", "env/", "node_modules/", "tests/", "test/", "docs/", "migrations/", "everlog-data/", "__pycache__/"];

/// Names of files in which applications are made, the likeliest first.
const LIKELY: [&str; 6] = ["app.py", "main.py", "wsgi.py", "asgi.py", "__init__.py", "server.py"];

/// Names of functions that make an application.
const FACTORIES: [&str; 4] = ["create_app", "make_app", "get_app", "build_app"];

/// Files looked into at most.
const FILES_MAX: usize = 300;

const CONNECTOR: &str = "everlog_connect.py";

/// A framework whose application is a value of a module, or made by a function of one.
struct Framework {
    name: &'static str,
    package: &'static str,
    /// How an application is made.
    makes: &'static [&'static str],
    factories: &'static [&'static str],
}

const FRAMEWORKS: [Framework; 3] = [
    Framework { name: "Flask", package: "flask", makes: &["Flask(", "flask.Flask("], factories: &FACTORIES },
    Framework { name: "FastAPI", package: "fastapi", makes: &["FastAPI(", "fastapi.FastAPI("], factories: &FACTORIES },
    Framework { name: "Pyramid", package: "pyramid", makes: &["Configurator("], factories: &["main"] },
];

pub(super) fn detect(folder: &Folder) -> Vec<Connection> {
    let needed: Vec<(&str, String)> =
        REQUIREMENTS.iter().chain(&["setup.py"]).filter_map(|file| Some((*file, folder.text(file)?))).collect();
    let needs = |package: &str| needed.iter().find(|(_, text)| names_package(text, package)).map(|(file, _)| *file);
    let mut found: Vec<Connection> = django(folder).into_iter().collect();
    let mut modules = None;
    for framework in &FRAMEWORKS {
        let Some(file) = needs(framework.package).map(str::to_owned).or_else(|| ini(folder, framework)) else {
            continue;
        };
        let modules = modules.get_or_insert_with(|| modules_of(folder));
        found.push(connection(folder, framework, &file, modules));
    }
    if let Some(file) = needs("celery") {
        found.push(celery(file, &found));
    }
    found
}

/// Pyramid is also known by the file that serves it.
fn ini(folder: &Folder, framework: &Framework) -> Option<String> {
    let files = folder.names("").into_iter().filter(|name| framework.package == "pyramid" && name.ends_with(".ini"));
    files.into_iter().find(|file| {
        let text = folder.text(file).unwrap_or_default();
        text.contains("[app:main]") && text.contains("pyramid.")
    })
}

fn django(folder: &Folder) -> Option<Connection> {
    let manage = folder.text("manage.py")?;
    let (_, rest) = manage.split_once("DJANGO_SETTINGS_MODULE")?;
    let module = rest.split(['"', '\'']).nth(2).filter(|module| {
        module
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
    });
    let path = module.map(|module| module.replace('.', "/")).and_then(|path| {
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        // What all of several settings begin with comes before the one that manage.py names.
        let files = [
            format!("{above}/base.py"),
            format!("{path}.py"),
            format!("{path}/base.py"),
            format!("{path}/__init__.py"),
        ];
        files.into_iter().find(|file| folder.text(file).is_some_and(|text| text.contains("INSTALLED_APPS")))
    });
    let lines = [
        "import everlog_connect",
        "LOGGING = everlog_connect.django_logging(globals().get(\"LOGGING\"))",
        "MIDDLEWARE = [\"everlog_connect.DjangoMiddleware\", *globals().get(\"MIDDLEWARE\", ())]",
    ]
    .map(str::to_owned);
    let edit = path.as_ref().and_then(|path| {
        let text = folder.text(path)?;
        Some(Edit::new(path, &text, text.len(), "#", &lines))
    });
    let mut by_hand = Vec::new();
    if edit.is_none() {
        by_hand.push("Django: the settings were not found; add to the end of them by hand:".to_owned());
        by_hand.push(String::new());
        by_hand.extend(lines.iter().map(|line| format!("    {line}")));
    }
    let seen = std::iter::once("manage.py".to_owned()).chain(path).collect::<Vec<_>>().join(", ");
    Some(Connection { framework: "Django", seen, files: vec![(CONNECTOR.to_owned(), PYTHON)], edit, by_hand })
}

fn celery(file: &str, others: &[Connection]) -> Connection {
    let files = if others.is_empty() { vec![(CONNECTOR.to_owned(), PYTHON)] } else { Vec::new() };
    let by_hand = [
        "Celery: what a worker logs, and entries as with API Logger, without a task of their own:",
        "",
        "    import celery.signals, everlog_connect",
        "    celery.signals.after_setup_logger.connect(",
        "        lambda logger, **rest: logger.addHandler(everlog_connect.Handler()), weak=False)",
        "    everlog_connect.logger.delay(\"LOGIN\", \"alice@example.com\", \"logged in\")",
    ];
    Connection {
        framework: "Celery",
        seen: file.to_owned(),
        files,
        by_hand: by_hand.map(str::to_owned).to_vec(),
        ..Connection::default()
    }
}

fn connection(folder: &Folder, framework: &Framework, file: &str, modules: &[String]) -> Connection {
    let found = modules.iter().find_map(|path| {
        let text = folder.text(path)?;
        let name = application(&text, framework)?;
        Some((path, text, name))
    });
    let Some((path, text, name)) = found else {
        let by_hand = vec![
            format!("{}: add these lines where the application is made, by hand:", framework.name),
            String::new(),
            "    import everlog_connect".to_owned(),
            "    app = everlog_connect.connect(app)".to_owned(),
        ];
        let files = vec![(CONNECTOR.to_owned(), PYTHON)];
        return Connection { framework: framework.name, seen: file.to_owned(), files, edit: None, by_hand };
    };
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    let mut lines: Vec<String> = import(folder, above).iter().map(|line| (*line).to_owned()).collect();
    lines.push(format!("{name} = everlog_connect.connect({name})"));
    let at = place(&text);
    Connection {
        framework: framework.name,
        seen: format!("{file}, {path}"),
        files: vec![(if above.is_empty() { CONNECTOR.to_owned() } else { format!("{above}/{CONNECTOR}") }, PYTHON)],
        edit: Some(Edit::new(path, &text, at, "#", &lines)),
        by_hand: Vec::new(),
    }
}

/// The connector lies beside the module; how it is imported depends on how the module is.
fn import(folder: &Folder, above: &str) -> &'static [&'static str] {
    if above.is_empty() {
        &["import everlog_connect"]
    } else if folder.has(&format!("{above}/__init__.py")) {
        &["from . import everlog_connect"]
    } else {
        &["try:", "    from . import everlog_connect", "except ImportError:", "    import everlog_connect"]
    }
}

/// The name of the application, or of the function that makes it.
fn application(text: &str, framework: &Framework) -> Option<String> {
    let value = text.lines().find_map(|line| {
        let (left, right) = line.split_once('=')?;
        let name = left.split(':').next()?.trim_end();
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (plain
            && framework.package != "pyramid"
            && framework.makes.iter().any(|make| right.trim_start().starts_with(make)))
        .then(|| name.to_owned())
    });
    let makes = framework.makes.iter().any(|make| text.contains(make));
    let factory = || {
        let named = |name: &&&str| text.lines().any(|line| line.starts_with(&format!("def {name}(")));
        framework.factories.iter().filter(|_| makes).find(named).map(|name| (*name).to_owned())
    };
    value.or_else(factory)
}

/// Where lines at the end of a module belong: before what only runs when it is the program.
fn place(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("if __name__") {
            return at;
        }
        at += line.len();
    }
    text.len()
}

/// Modules in the folder and one below, the likeliest first.
fn modules_of(folder: &Folder) -> Vec<String> {
    let mut found = Vec::new();
    let mut visit = |above: &str| {
        let python = |name: &String| std::path::Path::new(name).extension().is_some_and(|ending| ending == "py");
        found.extend(folder.names(above).into_iter().filter(python).map(|name| format!("{above}{name}")));
    };
    visit("");
    let below = |above: &str| {
        let names = folder.names(above).into_iter();
        let names = names
            .filter(|name| name.ends_with('/') && !name.starts_with('.') && !OTHER_FOLDERS.contains(&name.as_str()));
        names.map(|name| format!("{above}{name}")).collect::<Vec<_>>()
    };
    for sub in below("") {
        visit(&sub);
        if sub == "src/" {
            below(&sub).iter().for_each(|sub| visit(sub));
        }
    }
    found.retain(|path| !path.ends_with(CONNECTOR));
    let rank = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let likely = LIKELY.iter().position(|likely| *likely == name).unwrap_or(LIKELY.len());
        (path.matches('/').count(), likely, path.clone())
    };
    found.sort_by_key(rank);
    found.truncate(FILES_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_are_found_where_they_are_made() {
        let [flask, fastapi, pyramid] = &FRAMEWORKS;
        for (text, framework, expected) in [
            ("app = Flask(__name__)\n", flask, Some("app")),
            ("web: Flask = flask.Flask(\n    __name__)\n", flask, Some("web")),
            ("def create_app(config=None):\n    app = Flask(__name__)\n", flask, Some("create_app")),
            ("def create_app():\n    pass\n", flask, None),
            ("api = FastAPI(title=\"x\")\n", fastapi, Some("api")),
            ("app.x = FastAPI()\n", fastapi, None),
            (
                "def main(global_config, **settings):\n    with Configurator(settings=settings) as c:\n",
                pyramid,
                Some("main"),
            ),
        ] {
            assert_eq!(application(text, framework).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn lines_come_before_the_program() {
        assert_eq!(place("a\nif __name__ == '__main__':\n    b\n"), 2);
        assert_eq!(place("a\n"), 2);
    }
}
