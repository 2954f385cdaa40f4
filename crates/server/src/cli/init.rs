//! `everlog init`: from a project's folder to a configuration, a service, and an application that is connected.
//!
//! It looks, says what it found, and writes only what was not there. What it wrote stands in a manifest, so that a second
//! run has nothing to do and `--uninstall` takes back exactly that.

mod connect;
mod detect;
mod files;
mod manifest;
mod settings;
mod unit;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use self::connect::Connection;
use self::files::Folder;
use self::manifest::Manifest;
use super::output::{Output, Style, harmless};
use crate::config::Config;

/// The configuration, as `everlog serve` looks for it.
const SETTINGS_FILE: &str = "everlog.toml";

/// The unit of systemd.
const UNIT_FILE: &str = "everlog.service";

/// Set up Everlog for a project: its configuration, a service, and the lines that connect the application.
#[derive(Args, Debug)]
#[command(after_help = "\
Nothing that is there is overwritten, and a second run changes nothing. Without --apply no file of your own
is touched: the lines to add are shown.

Examples:
  everlog init
  everlog init --apply
  everlog init /srv/shop --systemd --data /var/lib/everlog
  everlog init --dry-run --apply
  everlog init --uninstall")]
pub(super) struct InitArguments {
    /// The folder of the project
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Connect the application: write the connector, and add marked lines where they belong
    #[arg(long)]
    apply: bool,
    /// Write a systemd unit too, into DIR
    #[arg(long)]
    systemd: bool,
    /// Write a tree of text files too, of the system only: no folder for each user
    #[arg(long)]
    system_only: bool,
    /// Data directory to set; a relative one counts from DIR
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on; repeat for several
    #[arg(long, value_name = "ADDR", value_parser = crate::config::address)]
    listen: Vec<SocketAddr>,
    /// Log of the project [default: its name]
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    /// Take back what init wrote, as far as nobody changed it since. Events are never removed
    #[arg(long, conflicts_with_all = ["apply", "systemd", "system_only", "data", "listen", "log"])]
    uninstall: bool,
    /// Show what would be written or removed, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// A file to be written whole.
pub(super) struct NewFile {
    path: String,
    text: String,
    what: &'static str,
}

/// What is to be done.
struct Plan {
    files: Vec<NewFile>,
    edits: Vec<connect::Edit>,
    /// What was left as it is, and why.
    notes: Vec<String>,
    manifest: Manifest,
    connections: Vec<Connection>,
    config: Config,
}

/// Sets a project up, or takes that back.
///
/// # Errors
/// When the folder cannot be used, or the configuration in it is wrong.
pub(super) fn run(arguments: &InitArguments) -> anyhow::Result<()> {
    let folder = Folder::open(&arguments.dir)?;
    let manifest = Manifest::read(&folder)?;
    let mut output = Output::new();
    if arguments.uninstall {
        let lines = manifest::uninstall(&folder, manifest, arguments.dry_run)?;
        output.lines(&lines)?;
        return output.flush();
    }
    let plan = plan(&folder, manifest.unwrap_or_default(), arguments)?;
    if arguments.dry_run {
        preview(&plan, &mut output)?;
    } else {
        files::carry_out(&folder, &plan.files, &plan.edits, plan.manifest.clone())?;
        report(&folder, &plan, arguments, &mut output)?;
    }
    output.flush()
}

fn plan(folder: &Folder, manifest: Manifest, arguments: &InitArguments) -> anyhow::Result<Plan> {
    let mut plan = Plan {
        files: Vec::new(),
        edits: Vec::new(),
        notes: Vec::new(),
        manifest,
        connections: Vec::new(),
        config: Config::default(),
    };
    plan.choose_log(folder, arguments)?;
    plan.want(folder, SETTINGS_FILE, "settings, each with its meaning and default", |plan| {
        settings::render(arguments, &plan.manifest.log)
    });
    if plan.files.is_empty() {
        plan.config = settings::read(folder)?;
        let options = not_applied(&plan.config, arguments).join(", ");
        if !options.is_empty() {
            plan.notes.push(format!(
                "{SETTINGS_FILE} was there already, so these options are not applied: {options}. Edit it"
            ));
        }
    } else {
        plan.config = settings::parse(&plan.files[0].text)?;
        if arguments.system_only {
            let note =
                "tree = true and tree_users = false: entries are written to a tree of text files too, all in sys";
            plan.notes.push(note.to_owned());
        }
    }
    if arguments.systemd {
        let unit = unit::render(folder, &plan.config)?;
        plan.want(folder, UNIT_FILE, "systemd unit", |_| unit);
    }
    let url = crate::serve::url_of(&plan.config.listen);
    plan.connections = detect::detect(folder, &plan.manifest.log);
    if arguments.apply {
        plan.apply(folder, &url);
    }
    Ok(plan)
}

/// The options that say something else than the settings that are there.
fn not_applied(config: &Config, arguments: &InitArguments) -> Vec<&'static str> {
    let is_system_only = config.tree && !config.tree_settings.users;
    [
        ("--data", arguments.data.as_ref().is_some_and(|data| *data != config.data)),
        ("--listen", !arguments.listen.is_empty() && arguments.listen != config.listen),
        ("--log", arguments.log.as_ref().is_some_and(|log| !config.logs.contains_key(log))),
        ("--system-only", arguments.system_only && !is_system_only),
    ]
    .into_iter()
    .filter_map(|(option, differs)| differs.then_some(option))
    .collect()
}

impl Plan {
    /// The log of the project: as asked, as the last time, as the file says, or as the project is called.
    fn choose_log(&mut self, folder: &Folder, arguments: &InitArguments) -> anyhow::Result<()> {
        if let Some(log) = &arguments.log {
            if !settings::is_log_name(log) {
                bail!(
                    "--log {log:?} cannot be the name of a log: use letters, digits, `_`, `-` and `.`, beginning with a letter or a digit"
                );
            }
            self.manifest.log.clone_from(log);
        } else if self.manifest.log.is_empty() {
            let there = if folder.has(SETTINGS_FILE) { settings::read(folder)?.logs } else { Default::default() };
            self.manifest.log = there.into_keys().next().unwrap_or_else(|| detect::project_name(folder));
            // It goes into source files, and the settings come with the project.
            engine::check_log_name(&self.manifest.log)
                .with_context(|| format!("{SETTINGS_FILE} names a log wrongly"))?;
        }
        Ok(())
    }

    /// Plans a file, unless there is something of that name.
    fn want(&mut self, folder: &Folder, path: &str, what: &'static str, text: impl FnOnce(&Self) -> String) -> bool {
        if self.files.iter().any(|file| file.path == path) {
            return true;
        }
        if folder.has(path) {
            let ours = self.manifest.files.contains_key(path);
            if !ours {
                self.notes.push(format!("{path} was there already and is left as it is"));
            }
            return ours;
        }
        let text = text(self);
        self.files.push(NewFile { path: path.to_owned(), text, what });
        true
    }

    /// Plans what connects the application.
    fn apply(&mut self, folder: &Folder, url: &str) {
        let connections = std::mem::take(&mut self.connections);
        for connection in &connections {
            let log = self.manifest.log.clone();
            let all = connection.files.iter().all(|(path, template)| {
                self.want(folder, path, "connects the application", |_| connect::fill(template, &log, url))
            });
            let Some(edit) = connection.edit.as_ref().filter(|_| all) else { continue };
            let known = self.edits.iter().any(|other| other.path == edit.path);
            if !known && !connect::is_marked(folder, &edit.path) {
                self.edits.push(edit.clone());
            }
        }
        self.connections = connections;
    }

    fn has_nothing_to_do(&self) -> bool {
        self.files.is_empty() && self.edits.is_empty()
    }
}

/// Shows what would be written, to the letter.
fn preview(plan: &Plan, output: &mut Output) -> anyhow::Result<()> {
    let paint = output.paint();
    for file in &plan.files {
        output.line(&paint.apply(Style::Bold, &format!("==> {} (new file)", file.path)))?;
        output.line(&file.text)?;
    }
    for edit in &plan.edits {
        output.line(&paint.apply(Style::Bold, &format!("==> {} (lines added at line {})", edit.path, edit.line)))?;
        output.line(edit.block.trim_start_matches(['\r', '\n']))?;
    }
    for note in &plan.notes {
        output.line(note)?;
    }
    output.line(if plan.has_nothing_to_do() { "nothing to do" } else { "nothing was written: this was a dry run" })
}

fn report(folder: &Folder, plan: &Plan, arguments: &InitArguments, output: &mut Output) -> anyhow::Result<()> {
    let paint = output.paint();
    let title =
        |text: &str| format!("{}{}", paint.apply(Style::Bold, text), " ".repeat(9_usize.saturating_sub(text.len())));
    for (index, connection) in plan.connections.iter().enumerate() {
        let seen = harmless(&connection.seen).into_owned();
        output.line(&format!("{}{} ({seen})", title(if index == 0 { "Found" } else { "" }), connection.framework))?;
    }
    if plan.connections.is_empty() {
        output.line(&format!("{}no framework that init knows", title("Found")))?;
    }
    for note in &plan.notes {
        output.line(&format!("{}{}", title("Note"), harmless(note)))?;
    }
    if plan.has_nothing_to_do() {
        output.line(&format!("{}nothing to do: what init writes is here", title("Done")))?;
    }
    for (index, file) in plan.files.iter().enumerate() {
        output.line(&format!("{}{:<22} {}", title(if index == 0 { "Wrote" } else { "" }), file.path, file.what))?;
    }
    for edit in &plan.edits {
        let count = edit.block.lines().filter(|line| !line.is_empty()).count();
        output.line(&format!("{}{:<22} {count} marked lines", title("Changed"), harmless(&edit.path)))?;
    }
    for connection in &plan.connections {
        let applied = connection.edit.as_ref().is_none_or(|edit| connect::is_marked(folder, &edit.path));
        let written = connection.files.iter().all(|(path, _)| folder.has(path));
        let lines = connection.to_show(folder, applied && written, arguments.apply);
        if !lines.is_empty() {
            output.line("")?;
            output.lines(&lines.iter().map(|line| harmless(line).into_owned()).collect::<Vec<_>>())?;
        }
    }
    next_steps(folder, plan, arguments, output)
}

fn next_steps(folder: &Folder, plan: &Plan, arguments: &InitArguments, output: &mut Output) -> anyhow::Result<()> {
    if plan.has_nothing_to_do() {
        return Ok(());
    }
    let log = &plan.manifest.log;
    output.line("")?;
    output.line(&output.paint().apply(Style::Bold, "Next"))?;
    if arguments.systemd {
        if let Some(command) = unit::first_command(folder, &plan.config)? {
            output.line(&format!("  {}", harmless(&command)))?;
        }
        output.line(&format!("  sudo cp {} /etc/systemd/system/", folder.shown(UNIT_FILE)))?;
        output.line("  sudo systemctl enable --now everlog")?;
    } else {
        let here = std::env::current_dir().context("cannot tell the current folder")?;
        let enter = if here == folder.path() { String::new() } else { format!("cd {} && ", folder.shown("")) };
        output.line(&format!("  {enter}everlog serve"))?;
    }
    // The commands look for the data directory where they are run.
    let data = &plan.config.data;
    let option = if data.as_path() == std::path::Path::new(super::DATA_DIRECTORY) {
        String::new()
    } else {
        format!(" --data {}", data.display())
    };
    output.line(&format!("  everlog log --log {log}{option} INFO alice@example.com \"It works.\""))?;
    output.line(&format!("  everlog query --log {log}{option} alice"))
}
