//! The systemd unit: one process that may write its data directory and nothing else.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};

use super::SETTINGS_FILE;
use super::files::Folder;
use crate::config::Config;

/// The unit for this folder.
///
/// # Errors
/// When a path cannot stand in a unit, or is unknown.
pub(super) fn render(folder: &Folder, config: &Config) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let program = quoted(&program)?;
    let data = Data::of(folder, config)?;
    let (file, here) = (quoted(&folder.at(SETTINGS_FILE))?, quoted(folder.path())?);
    let here = here.trim_matches('"');
    let (owner, access, may_write) = (&data.owner, data.access(folder)?, data.may_write());
    let first = data.command().map(|command| format!("#   {command}\n")).unwrap_or_default();
    let low = config.listen.iter().any(|address| address.port() < 1024 && address.port() > 0);
    let capability = if low { "CAP_NET_BIND_SERVICE" } else { "" };
    Ok(format!(
        "\
# Written by `everlog init`. Install it with:
{first}#   sudo cp everlog.service /etc/systemd/system/
#   sudo systemctl enable --now everlog

[Unit]
Description=Everlog
Wants=network-online.target
After=network-online.target

[Service]
# The owner of the folder; any account will do that may write the data directory.
User={owner}
WorkingDirectory={here}
ExecStart={program} serve --config {file}
Restart=always
TimeoutStopSec=60
LimitNOFILE=65536
UMask=0077

# It may write {may_write}, use the network, and nothing else.
ProtectSystem=strict
{access}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
NoNewPrivileges=yes
AmbientCapabilities={capability}
CapabilityBoundingSet={capability}
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"
    ))
}

/// A path as an argument in a unit.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let Some(text) = path.to_str().filter(|text| !text.contains(['"', '\\', '$']) && !text.contains(char::is_control))
    else {
        bail!("the path {} cannot stand in a systemd unit: choose one without quotes and backslashes", path.display());
    };
    Ok(format!("\"{}\"", text.replace('%', "%%")))
}

/// What makes the data directory, if somebody has to before the unit can start.
///
/// # Errors
/// When its path cannot stand in a unit, or is unknown.
pub(super) fn first_command(folder: &Folder, config: &Config) -> anyhow::Result<Option<String>> {
    Ok(Data::of(folder, config)?.command())
}

/// The folder below which systemd keeps the state of services.
const STATE: &str = "/var/lib";

/// The data directory, as the unit sees it.
///
/// Nothing in the unit may act as root on a path that another account can replace by a link: it would be handed
/// whatever the link points to.
struct Data {
    /// Its path without links.
    path: PathBuf,
    /// The account of the service.
    owner: String,
    kind: Kind,
}

enum Kind {
    /// In the folder of the project: the service makes it, as its owner.
    Inside,
    /// Right below the folder of root's in which systemd makes such directories.
    State(String),
    /// Elsewhere, and there, or to be made by hand.
    Elsewhere,
}

impl Data {
    fn of(folder: &Folder, config: &Config) -> anyhow::Result<Self> {
        let path = without_links(&folder.path().join(&config.data));
        quoted(&path)?;
        let number = number(folder.path())?;
        let name = path.strip_prefix(STATE).ok().and_then(Path::to_str).unwrap_or_default();
        // What belongs to another service is not taken from it; `:` and `private` mean something to systemd.
        let theirs = std::fs::symlink_metadata(&path).is_ok_and(|found| found.uid() != number);
        let kind = if path.starts_with(folder.path()) {
            Kind::Inside
        } else if !name.is_empty() && !name.contains(['/', ':']) && name != "private" && !theirs {
            Kind::State(name.replace('%', "%%"))
        } else {
            Kind::Elsewhere
        };
        Ok(Self { path, owner: name_of(number), kind })
    }

    /// What lets the service write it.
    fn access(&self, folder: &Folder) -> anyhow::Result<String> {
        Ok(match &self.kind {
            Kind::Inside => format!("ReadWritePaths={}", quoted(folder.path())?),
            Kind::State(name) => format!("StateDirectory=\"{name}\"\nStateDirectoryMode=0700"),
            Kind::Elsewhere => format!("ReadWritePaths=-{}", quoted(&self.path)?),
        })
    }

    fn may_write(&self) -> &'static str {
        match self.kind {
            Kind::Inside => "this folder, in which it makes its data directory",
            Kind::State(_) | Kind::Elsewhere => "its data directory",
        }
    }

    /// The command that makes it: root's where only root could put something else there, or else the owner's.
    fn command(&self) -> Option<String> {
        if !matches!(self.kind, Kind::Elsewhere) || std::fs::symlink_metadata(&self.path).is_ok() {
            return None;
        }
        let path = format!("'{}'", self.path.display().to_string().replace('\'', "'\\''"));
        let roots = self.path.ancestors().filter_map(|parent| std::fs::symlink_metadata(parent).ok());
        Some(if roots.into_iter().all(|found| found.uid() == 0 && found.mode() & 0o022 == 0) {
            format!("sudo install -d -m 0700 -o {} {path}", self.owner)
        } else {
            let sign = if self.owner.bytes().all(|byte| byte.is_ascii_digit()) { "\\#" } else { "" };
            format!("sudo -u {sign}{} mkdir -p -m 0700 {path}", self.owner)
        })
    }
}

/// The path that the system sees, also of what is not there yet.
fn without_links(path: &Path) -> PathBuf {
    let mut real = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
        if let Ok(found) = std::fs::canonicalize(&real) {
            real = found;
        }
    }
    real
}

/// The number of the folder's owner.
fn number(folder: &Path) -> anyhow::Result<u32> {
    Ok(std::fs::metadata(folder).with_context(|| format!("cannot look at {}", folder.display()))?.uid())
}

/// The name of an account, or its number.
fn name_of(number: u32) -> String {
    let number = number.to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted() {
        assert_eq!(quoted(Path::new("/srv/my shop/50%")).unwrap(), "\"/srv/my shop/50%%\"");
        assert!(quoted(Path::new("/srv/\"x\"")).is_err());
        assert_eq!(without_links(Path::new("/no/./where/../data")), Path::new("/no/data"));
    }

    fn unit_of(folder: &Path, data: &str) -> String {
        let mut config = Config::default();
        config.data = data.into();
        let unit = render(&Folder::open(folder).unwrap(), &config).unwrap();
        assert!(!unit.contains("ExecStartPre") && !unit.contains("=+"), "nothing runs as root:\n{unit}");
        verify(&unit);
        unit
    }

    /// Asks systemd, where it is.
    fn verify(unit: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("everlog.service");
        std::fs::write(&file, unit).unwrap();
        match std::process::Command::new("systemd-analyze").arg("verify").arg(&file).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(!said.contains("everlog.service:"), "{said}\n{unit}");
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
    }

    #[test]
    fn a_data_directory_in_the_folder_is_made_by_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let real = std::fs::canonicalize(folder.path()).unwrap();
        let own = format!("\nReadWritePaths=\"{}\"\n", real.display());
        assert!(unit_of(&real, "./everlog-data").contains(&own));
        assert!(unit_of(&real, real.join("a/b").to_str().unwrap()).contains(&own));
        // One that only looks as if it were in the folder.
        let outside = tempfile::tempdir().unwrap();
        let target = std::fs::canonicalize(outside.path()).unwrap();
        std::os::unix::fs::symlink(&target, real.join("link")).unwrap();
        for data in ["link/data", "../no-such-folder/data"] {
            let unit = unit_of(&real, data);
            assert!(!unit.contains(&own) && unit.contains("\nReadWritePaths=-\""), "{unit}");
            assert!(unit.contains(" mkdir -p -m 0700 '/"), "made by its owner:\n{unit}");
        }
        assert!(unit_of(&real, "link/data").contains(&format!("=-\"{}/data\"\n", target.display())));
        assert!(!unit_of(&real, "link").contains("mkdir"), "it is there");
    }

    #[test]
    fn a_data_directory_elsewhere_is_made_by_systemd_or_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let unit = unit_of(folder.path(), "/var/lib/ever log 5%");
        assert!(unit.contains("\nStateDirectory=\"ever log 5%%\"\nStateDirectoryMode=0700\n"), "{unit}");
        assert!(!unit.contains("ReadWritePaths") && !unit.contains("mkdir"), "{unit}");
        for data in ["/var/lib", "/var/lib/private", "/var/lib/no:log", "/var/lib/no-such/log", "/no-such/it's"] {
            let unit = unit_of(folder.path(), data);
            assert!(unit.contains(&format!("\nReadWritePaths=-\"{data}\"\n")), "{unit}");
            assert!(!unit.contains("StateDirectory"), "{unit}");
        }
        let unit = unit_of(folder.path(), "/no-such/it's");
        assert!(unit.contains(" '/no-such/it'\\''s'\n"), "{unit}");
        let mut config = Config::default();
        config.data = "/no\nUser=root".into();
        assert!(render(&Folder::open(folder.path()).unwrap(), &config).is_err());
    }

    #[test]
    fn low_ports_need_a_capability() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Folder::open(folder.path()).unwrap();
        let mut config = Config::default();
        assert!(render(&opened, &config).unwrap().contains("AmbientCapabilities=\n"));
        config.listen[0].set_port(80);
        assert!(render(&opened, &config).unwrap().contains("AmbientCapabilities=CAP_NET_BIND_SERVICE\n"));
    }
}
