use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::*;

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_712_695_145_000_000 + seconds * 1_000_000)
}

fn entry(user: &str, stream: &str, seconds: i64, text: &str) -> Entry {
    Entry { user: user.to_owned(), stream: stream.to_owned(), received: moment(seconds), text: text.to_owned() }
}

/// All files below a directory but the tree's own, unpacked.
fn dump(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with(META) {
                    folders.push(path);
                }
                continue;
            }
            let file = fs::File::open(&path).unwrap();
            let mut text = String::new();
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("gz") => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap(),
                Some("zst") => zstd::stream::read::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap(),
                _ => { file }.read_to_string(&mut text).unwrap(),
            };
            found.insert(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned(), text);
        }
    }
    found
}

fn settings(directory: &Path) -> TreeSettings {
    TreeSettings { lines_max: 5, ..TreeSettings::new(directory.join("logs")) }
}

fn open(settings: &TreeSettings) -> (Tree, Found) {
    Tree::open(settings.clone(), "here", 1_000_000).unwrap()
}

/// Entries of two users and the system in batches of several sizes, some of more than one line. The first sequence
/// number of a batch is one more than the position of the batch before.
fn batches() -> Vec<(Vec<Entry>, u64)> {
    let mut sequence = 0;
    [1, 2, 9, 1, 14, 3, 4]
        .iter()
        .map(|size| {
            let entries = (0..*size).map(|_| {
                sequence += 1;
                let user = ["alice", "bob", "system"][sequence % 3];
                let block = if sequence % 7 == 0 { "LOGIN: H\n{\n    1\n}\n" } else { "" };
                entry(user, "INFO", sequence as i64 / 4, &format!("{block}INFO:  {sequence}\n"))
            });
            let entries: Vec<Entry> = entries.collect();
            (entries, sequence as u64)
        })
        .collect()
}

fn write_rest(tree: &mut Tree) -> Result<(), TreeError> {
    for (entries, position) in batches() {
        if position > tree.position("default") {
            tree.write("default", true, &entries, position)?;
        }
    }
    Ok(())
}

#[test]
fn files_fill_up_and_are_archived() {
    let directory = tempfile::tempdir().unwrap();
    let (mut tree, found) = open(&settings(directory.path()));
    assert_eq!(found, Found::Nothing);
    let lines = |from: i64, to: i64| (from..to).map(|at| entry("u", "INFO", at / 10, &format!("INFO:  {at}\n")));
    tree.write("default", true, &lines(0, 4).collect::<Vec<_>>(), 4).unwrap();
    tree.write("default", true, &lines(4, 10).collect::<Vec<_>>(), 10).unwrap();
    let large = "INFO:  x\n".repeat(9);
    tree.write("shop", false, &[entry("system", "SECURITY ALERT", 0, "SECURITY:  a\n")], 11).unwrap();
    tree.write("shop", false, &[entry("system", "SECURITY ALERT", 0, &large)], 12).unwrap();
    let found = dump(directory.path());
    insta::assert_snapshot!(found.iter().map(|(path, text)| format!("== {path}\n{text}")).collect::<String>(), @"
    == logs/by-log/shop/sys/SECURITY_ALERT_log.log
     [ logs/by-log/shop/sys/SECURITY_ALERT_log.log ] created on 2024-04-09 @ 20:39:05

    INFO:  x
    INFO:  x
    INFO:  x
    INFO:  x
    INFO:  x
    INFO:  x
    INFO:  x
    INFO:  x
    INFO:  x
    == logs/log-archives/by-log/shop/sys/SECURITY_ALERT_log_20240409T203905Z_000001.log.gz
     [ logs/by-log/shop/sys/SECURITY_ALERT_log.log ] created on 2024-04-09 @ 20:39:05

    SECURITY:  a
    == logs/log-archives/users/u/INFO_log_20240409T203905Z_000001.log.gz
     [ logs/users/u/INFO_log.log ] created on 2024-04-09 @ 20:39:05

    INFO:  0
    INFO:  1
    INFO:  2
    == logs/log-archives/users/u/INFO_log_20240409T203905Z_000002.log.gz
     [ logs/users/u/INFO_log.log ] created on 2024-04-09 @ 20:39:05

    INFO:  3
    INFO:  4
    INFO:  5
    == logs/log-archives/users/u/INFO_log_20240409T203905Z_000003.log.gz
     [ logs/users/u/INFO_log.log ] created on 2024-04-09 @ 20:39:05

    INFO:  6
    INFO:  7
    INFO:  8
    == logs/users/u/INFO_log.log
     [ logs/users/u/INFO_log.log ] created on 2024-04-09 @ 20:39:05

    INFO:  9
    ");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &str| fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("logs/users/u"), mode("logs/users/u/INFO_log.log")), (0o700, 0o600));
}

#[test]
fn cut_off_at_any_step_it_goes_on_as_if_nothing_had_been() {
    for compress in Compress::ALL {
        let whole = tempfile::tempdir().unwrap();
        let (mut tree, _) = open(&TreeSettings { compress, ..settings(whole.path()) });
        write_rest(&mut tree).unwrap();
        drop(tree);
        let expected = dump(whole.path());
        assert_eq!(expected.values().map(|text| text.matches("INFO:  ").count()).sum::<usize>(), 34);
        let mut cuts = 0;
        loop {
            let directory = tempfile::tempdir().unwrap();
            let settings = TreeSettings { compress, ..settings(directory.path()) };
            let run = |fuse: Option<usize>| {
                let folder = Folder::open(&settings.directory).unwrap();
                folder.fuse.set(fuse);
                let (mut tree, _) = Tree::open_in(folder, settings.clone(), "here", 1000)?;
                write_rest(&mut tree)
            };
            let whole = run(Some(cuts)).is_ok();
            // The undoing is cut off too, at another place each time, and once more.
            if !whole {
                let _ = run(Some(cuts % 13));
                let _ = run(Some(cuts % 29));
            }
            run(None).unwrap();
            assert_eq!(dump(directory.path()), expected, "{compress:?}, cut off after {cuts} steps");
            if whole {
                break;
            }
            cuts += 1;
        }
        assert!(cuts > 80, "{cuts}");
    }
}

#[test]
fn what_cannot_be_trusted_is_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let state = settings.directory.join(META).join("state");
    let write = |tree: &mut Tree| write_rest(tree).unwrap();
    let mut tree = open(&settings).0;
    write(&mut tree);
    drop(tree);
    let expected = dump(directory.path());
    let text = fs::read_to_string(&state).unwrap();
    let rebuilt = |reason: &str| {
        let (mut tree, found) = open(&settings);
        let Found::Unusable { reason: found } = found else { panic!("{reason}: {found:?}") };
        assert!(found.contains(reason), "{found}");
        assert_eq!(tree.position("default"), 0);
        write(&mut tree);
        drop(tree);
        assert_eq!(dump(directory.path()), expected, "{reason}");
    };
    fs::write(&state, "{").unwrap();
    rebuilt("damaged");
    fs::remove_file(&state).unwrap();
    rebuilt("cannot be read");
    let boot = serde_json::from_str::<serde_json::Value>(&text).unwrap()["boot"].as_str().unwrap().to_owned();
    fs::write(&state, text.replace(&boot, "another")).unwrap();
    rebuilt("started again");
    fs::write(&state, text.replace("here", "there")).unwrap();
    rebuilt("another data directory");
    assert!(matches!(Tree::open(settings.clone(), "here", 10).unwrap().1, Found::Unusable { .. }));
    let mut tree = open(&settings).0;
    write(&mut tree);
    // A batch is cut off, and then a file is shorter than it was before that.
    let folder = Folder::open(&settings.directory).unwrap();
    tree.folder = folder;
    tree.folder.fuse.set(Some(3));
    tree.write("default", true, &[entry("alice", "INFO", 0, "INFO:  x\n")], 100).unwrap_err();
    drop(tree);
    fs::write(settings.directory.join("users/alice/INFO_log.log"), "").unwrap();
    rebuilt("shorter than it was");
}

#[test]
fn a_clean_stop_is_trusted_after_a_restart_of_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let mut tree = open(&settings).0;
    write_rest(&mut tree).unwrap();
    tree.close().unwrap();
    let state = settings.directory.join(META).join("state");
    let text = fs::read_to_string(&state).unwrap();
    let boot = serde_json::from_str::<serde_json::Value>(&text).unwrap()["boot"].as_str().unwrap().to_owned();
    fs::write(&state, text.replace(&boot, "another")).unwrap();
    assert_eq!(open(&settings).1, Found::Whole);
}

#[test]
fn no_stranger_gets_us_out_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let settings = settings(directory.path());
    let mut tree = open(&settings).0;
    for user in ["../../../tmp/evil", "..", ".", "", "/etc/passwd", "a/b", "x\0y", &"../".repeat(10_000)] {
        tree.write("default", true, &[entry(user, user, 0, "x\n")], 1).unwrap();
    }
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(fs::read_dir(settings.directory.join("users")).unwrap().count(), 8);
    // Nor do links that somebody put there.
    std::os::unix::fs::symlink(&outside, settings.directory.join("users/linked")).unwrap();
    std::os::unix::fs::symlink(outside.join("file"), settings.directory.join("sys")).unwrap();
    for user in ["linked", "system"] {
        let error = tree.write("default", true, &[entry(user, "INFO", 0, "x\n")], 2).unwrap_err();
        assert!(matches!(error, TreeError::Io { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    drop(tree);
    fs::remove_dir_all(settings.directory.join(META)).unwrap();
    assert!(matches!(Tree::open(settings.clone(), "here", 10), Err(TreeError::Strange { .. })));
    assert!(settings.directory.join("users").try_exists().unwrap(), "somebody else's files are not touched");
}

#[test]
fn one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let tree = open(&settings).0;
    assert!(matches!(Tree::open(settings.clone(), "here", 10), Err(TreeError::InUse { .. })));
    drop(tree);
    open(&settings);
}

#[test]
fn other_limits_and_old_archives() {
    let directory = tempfile::tempdir().unwrap();
    let keep = Some(Duration::from_secs(86_400));
    let settings = TreeSettings {
        lines_max: 0,
        bytes_max: Some(100),
        daily: true,
        users: false,
        keep,
        compress: Compress::Nothing,
        ..settings(directory.path())
    };
    let mut tree = open(&settings).0;
    let line = format!("{}\n", "x".repeat(29));
    for (sequence, seconds) in [(1, 0), (2, 1), (3, 2), (4, 86_400), (5, 3 * 86_400)] {
        // Opened again each time: nothing hangs on what is only remembered.
        tree.write("default", true, &[entry("u", "INFO", seconds, &line)], sequence).unwrap();
        drop(tree);
        tree = open(&settings).0;
    }
    let names = |tree: &Tree| {
        let mut names: Vec<_> =
            tree.folder.list("log-archives/sys").unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(
        names(&tree),
        [
            "INFO_log_20240409T203905Z_000001.log",
            "INFO_log_20240409T203906Z_000002.log",
            "INFO_log_20240409T203907Z_000003.log",
            "INFO_log_20240410T203905Z_000004.log",
        ]
    );
    assert!(!settings.directory.join("users").try_exists().unwrap());
    // Renamed files keep the time of their last write.
    assert_eq!(tree.remove_old(Timestamp::from_micros(4_000_000_000_000_000)).unwrap(), 4);
    assert_eq!(names(&tree), [""; 0]);
    assert_eq!(tree.folder.list("sys").unwrap().len(), 1);
}

#[test]
fn an_archive_has_the_time_of_its_last_entry() {
    let directory = tempfile::tempdir().unwrap();
    let keep = Some(Duration::from_secs(3600));
    let mut tree = open(&TreeSettings { keep, ..settings(directory.path()) }).0;
    let entries: Vec<_> = (0..10).map(|at| entry("u", "INFO", at * 1000, "x\n")).collect();
    tree.write("default", true, &entries, 10).unwrap();
    assert_eq!(tree.remove_old(moment(2000 + 3600)).unwrap(), 0);
    assert_eq!(tree.remove_old(moment(2001 + 3600)).unwrap(), 1);
    assert_eq!(tree.remove_old(moment(1_000_000)).unwrap(), 2);
}

#[test]
fn exported() {
    let directory = tempfile::tempdir().unwrap();
    let export = Export::create(&directory.path().join("out"), "out").unwrap();
    export
        .write(&[entry("a", "INFO", 0, "1\n"), entry("system", "INFO", 1, "2\n"), entry("a", "INFO", 2, "3\n")])
        .unwrap();
    export.write(&[entry("a", "INFO", 3, "4\n")]).unwrap();
    let found = dump(directory.path());
    assert_eq!(
        found["out/users/a/INFO_log.log"],
        " [ out/users/a/INFO_log.log ] created on 2024-04-09 @ 20:39:05\n\n1\n3\n4\n"
    );
    assert_eq!(found.len(), 2);
}
