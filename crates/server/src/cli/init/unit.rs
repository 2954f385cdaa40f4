//! The systemd unit: one process that may write its data directory and nothing else.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

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
    let data = folder.path().join(&config.data);
    let (program, data) = (quoted(&program)?, quoted(&without_dots(&data))?);
    let (file, here) = (quoted(&folder.at(SETTINGS_FILE))?, quoted(folder.path())?);
    let here = here.trim_matches('"');
    let owner = owner(folder.path())?;
    let low = config.listen.iter().any(|address| address.port() < 1024 && address.port() > 0);
    let capability = if low { "CAP_NET_BIND_SERVICE" } else { "" };
    Ok(format!(
        "\
# Written by `everlog init`. Install it with:
#   sudo cp everlog.service /etc/systemd/system/
#   sudo systemctl enable --now everlog

[Unit]
Description=Everlog
Wants=network-online.target
After=network-online.target

[Service]
# The owner of the folder; any account will do that may write the data directory.
User={owner}
WorkingDirectory={here}
ExecStartPre=+/usr/bin/install -d -m 0700 -o {owner} {data}
ExecStart={program} serve --config {file}
Restart=always
TimeoutStopSec=60
LimitNOFILE=65536
UMask=0077

# It may write its data directory, use the network, and nothing else.
ProtectSystem=strict
ReadWritePaths=-{data}
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

/// `/srv/shop/./data` as `/srv/shop/data`.
fn without_dots(path: &Path) -> std::path::PathBuf {
    path.components().filter(|part| *part != std::path::Component::CurDir).collect()
}

/// The name of the folder's owner, or its number.
fn owner(folder: &Path) -> anyhow::Result<String> {
    let found = std::fs::metadata(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    let number = found.uid().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    Ok(name.unwrap_or(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted() {
        assert_eq!(quoted(Path::new("/srv/my shop/50%")).unwrap(), "\"/srv/my shop/50%%\"");
        assert!(quoted(Path::new("/srv/\"x\"")).is_err());
        assert_eq!(without_dots(Path::new("/srv/./shop/./data")), Path::new("/srv/shop/data"));
    }

    #[test]
    fn the_unit_names_its_folder_and_data() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Folder::open(folder.path()).unwrap();
        let mut config = Config::default();
        let unit = render(&opened, &config).unwrap();
        assert!(unit.contains(&format!("ReadWritePaths=-\"{}/everlog-data\"", opened.path().display())), "{unit}");
        assert!(unit.contains("AmbientCapabilities=\n"));
        config.listen[0].set_port(80);
        assert!(render(&opened, &config).unwrap().contains("AmbientCapabilities=CAP_NET_BIND_SERVICE\n"));
    }
}
