//! Which release is later: by its number where it has one, else by when it was first seen or deployed.

use std::cmp::Ordering;
use std::collections::VecDeque;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::moment;

/// Releases of one log whose first sighting is remembered; the oldest are forgotten.
pub const RELEASES_KNOWN_MAX: usize = 2000;

/// Deploys of one log that are remembered; the oldest are forgotten.
pub const DEPLOYS_MAX: usize = 500;

/// Longest release, environment, or other name that is kept, in bytes.
pub const NAME_BYTES_MAX: usize = 250;

/// A release came into use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// What was deployed: a version, a commit.
    pub release: String,
    /// Where; empty means everywhere.
    #[serde(default)]
    pub environment: String,
    /// When.
    #[serde(with = "moment", default = "moment::epoch")]
    pub time: Timestamp,
    /// Who did it.
    #[serde(default)]
    pub user: String,
    /// What they said about it.
    #[serde(default)]
    pub comment: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sighting {
    release: String,
    #[serde(with = "moment", default = "moment::epoch")]
    first: Timestamp,
}

/// What a log knows of its releases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Releases {
    /// By first sighting, the oldest first.
    sightings: Vec<Sighting>,
    /// By time, the oldest first.
    deploys: VecDeque<Deploy>,
}

impl Releases {
    /// Notes that an event or a deploy named a release. Returns whether it was unknown.
    pub fn see(&mut self, release: &str, moment: Timestamp) -> bool {
        if release.is_empty() {
            return false;
        }
        let release = crate::mask::bounded(release, NAME_BYTES_MAX);
        // The newest are asked for most.
        let known = self.sightings.iter().rposition(|known| known.release == release);
        if let Some(place) = known {
            if self.sightings.get(place).is_some_and(|known| known.first <= moment) {
                return false;
            }
            self.sightings.remove(place);
        }
        let place = self.sightings.partition_point(|other| other.first <= moment);
        self.sightings.insert(place, Sighting { release: release.to_owned(), first: moment });
        if self.sightings.len() > RELEASES_KNOWN_MAX {
            self.sightings.remove(0);
        }
        known.is_none()
    }

    /// Notes a deploy.
    pub fn deploy(&mut self, mut deploy: Deploy) {
        for name in [&mut deploy.release, &mut deploy.environment, &mut deploy.user, &mut deploy.comment] {
            name.truncate(crate::mask::bounded(name, NAME_BYTES_MAX).len());
        }
        self.see(&deploy.release, deploy.time);
        let place = self.deploys.partition_point(|other| other.time <= deploy.time);
        self.deploys.insert(place, deploy);
        if self.deploys.len() > DEPLOYS_MAX {
            self.deploys.pop_front();
        }
    }

    /// All deploys that are remembered, the oldest first.
    pub fn deploys(&self) -> impl DoubleEndedIterator<Item = &Deploy> {
        self.deploys.iter()
    }

    /// Compares two releases; none if nothing tells which is later.
    #[must_use]
    pub fn compare(&self, one: &str, other: &str) -> Option<Ordering> {
        if one == other {
            return Some(Ordering::Equal);
        }
        if let Some(by_number) = compare_versions(one, other) {
            return Some(by_number);
        }
        let place = |release: &str| self.sightings.iter().rposition(|known| known.release == release);
        match (place(one), place(other)) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            // What nobody has seen yet is to come.
            (Some(_), None) => Some(Ordering::Less),
            (None, Some(_)) => Some(Ordering::Greater),
            (None, None) => None,
        }
    }

    /// The latest release: of those with comparable numbers the highest, else the one that was first seen last.
    #[must_use]
    pub fn latest(&self) -> Option<&str> {
        let last = self.sightings.last()?.release.as_str();
        let later = |best, known: &Sighting| compare_versions(&known.release, best) == Some(Ordering::Greater);
        let mut best = last;
        for known in &self.sightings {
            if later(best, known) {
                best = &known.release;
            }
        }
        Some(best)
    }

    /// The deploy that probably brought an error: the latest of its release in its environment before it was seen; if the
    /// release is unknown or has no deploy, the latest in that environment.
    #[must_use]
    pub fn suspect(&self, release: &str, environment: &str, moment: Timestamp) -> Option<&Deploy> {
        let fits = |deploy: &&Deploy| {
            deploy.time <= moment
                && (deploy.environment.is_empty() || environment.is_empty() || deploy.environment == environment)
        };
        let of_release = self.deploys.iter().rev().filter(fits).find(|deploy| deploy.release == release);
        of_release.or_else(|| self.deploys.iter().rev().find(fits))
    }
}

/// Compares `app@1.10.0+7`, `v1.9`, `2024.05.01`, `2024-05-01`, `build-42`, by number. None if one has none, as a commit, or
/// if they are not of one kind.
fn compare_versions(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (Version::read(one)?, Version::read(other)?);
    (one.package == other.package).then(|| one.cmp_numbers(&other))
}

struct Version<'a> {
    package: &'a str,
    numbers: Vec<u64>,
    /// What stands behind the numbers, as `rc.1`: before the release itself.
    before: Vec<&'a str>,
}

impl<'a> Version<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (package, version) = text.rsplit_once('@').unwrap_or(("", text));
        let version = version.split_once('+').map_or(version, |(version, _)| version);
        let digits = version.find(|character: char| character.is_ascii_digit())?;
        let (ahead, version) = version.split_at(digits);
        let ahead = if matches!(ahead, "v" | "V") { "" } else { ahead };
        // Whatever else stands ahead must end as a name does: `build-42`, not the commit `a1b2c3d`.
        if !(ahead.is_empty() || ahead.ends_with(['-', '_', '.', '/', 'v']) || version.len() <= 4) {
            return None;
        }
        let mut numbers = Vec::new();
        let mut before = Vec::new();
        for part in version.split(['.', '-', '_']) {
            match part.parse::<u64>() {
                Ok(number) if before.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) => {
                    numbers.push(number);
                }
                _ if numbers.is_empty() => return None,
                _ => before.push(part),
            }
        }
        // Seven digits and nothing else may as well be a commit.
        let is_commit =
            numbers.len() == 1 && before.is_empty() && (version.len() == 7 || version.len() >= 15) && ahead.is_empty();
        let is_commit = is_commit || numbers.len() == 1 && before.first().is_some_and(|part| part.len() > 12);
        (!is_commit && numbers.len() <= 10).then_some(Self {
            package: if package.is_empty() { ahead } else { package },
            numbers,
            before,
        })
    }

    fn cmp_numbers(&self, other: &Self) -> Ordering {
        let length = self.numbers.len().max(other.numbers.len());
        let number = |version: &Self, place: usize| version.numbers.get(place).copied().unwrap_or(0);
        let by_number = (0..length).map(|place| number(self, place).cmp(&number(other, place)));
        let by_number = by_number.fold(Ordering::Equal, Ordering::then);
        by_number.then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => cmp_before(&self.before, &other.before),
        })
    }
}

/// `rc.2` is before `rc.10`, `beta` before `rc`, and a number before a word.
fn cmp_before(one: &[&str], other: &[&str]) -> Ordering {
    for (one, other) in one.iter().zip(other) {
        let parts = |text: &str| {
            let at = text.find(|character: char| character.is_ascii_digit()).unwrap_or(text.len());
            (text[..at].to_ascii_lowercase(), text[at..].parse::<u64>().unwrap_or(0))
        };
        match parts(one).cmp(&parts(other)) {
            Ordering::Equal => {}
            different => return different,
        }
    }
    one.len().cmp(&other.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn releases_are_in_order() {
        let mut known = Releases::default();
        for (second, release) in ["f00dfeed", "0badcafe", "1234567", "7654321"].into_iter().enumerate() {
            known.see(release, at(i64::try_from(second).unwrap()));
        }
        let later = |one: &str, other: &str| {
            assert_eq!(known.compare(one, other), Some(Ordering::Greater), "{one} {other}");
            assert_eq!(known.compare(other, one), Some(Ordering::Less), "{other} {one}");
        };
        later("1.10.0", "1.9.0");
        later("app@1.10.0+build", "app@1.9.9+zzz");
        later("v2", "v1.99");
        later("1.0.0", "1.0.0-rc.2");
        later("1.0.0-rc.10", "1.0.0-rc.2");
        later("1.0.0-rc1", "1.0.0-beta2");
        later("2024.05.10", "2024.05.9");
        later("2024-05-10", "2024-05-09");
        later("20240510", "20240509");
        later("build-100", "build-99");
        later("0badcafe", "f00dfeed");
        later("7654321", "1234567");
        later("not-yet-seen", "f00dfeed");
        assert_eq!(known.compare("1.0", "1.0.0"), Some(Ordering::Equal));
        assert_eq!(known.compare("1.0+a", "1.0+b"), Some(Ordering::Equal));
        assert_eq!(known.compare("a@1.0", "b@2.0"), None);
        assert_eq!(known.compare("x", "y"), None);
        assert_eq!(known.latest(), Some("7654321"));
    }

    #[test]
    fn the_latest_is_the_highest() {
        let mut known = Releases::default();
        for (second, release) in ["1.9.0", "1.10.0", "1.9.1"].into_iter().enumerate() {
            known.see(release, at(i64::try_from(second).unwrap()));
        }
        assert_eq!(known.latest(), Some("1.10.0"));
        assert!(!known.see("1.9.0", at(9)));
    }

    #[test]
    fn a_deploy_is_suspected() {
        let mut known = Releases::default();
        for (release, environment, second) in
            [("1", "production", 10), ("2", "staging", 20), ("2", "production", 30), ("3", "", 40)]
        {
            known.deploy(Deploy {
                release: release.into(),
                environment: environment.into(),
                time: at(second),
                user: String::new(),
                comment: String::new(),
            });
        }
        let check = |release: &str, environment: &str, second, expected: Option<i64>| {
            let found =
                known.suspect(release, environment, at(second)).map(|deploy| deploy.time.as_micros() / 1_000_000);
            assert_eq!(found, expected, "{release} {environment} {second}");
        };
        check("2", "production", 35, Some(30));
        check("2", "staging", 35, Some(20));
        check("1", "production", 35, Some(10));
        check("", "production", 35, Some(30));
        check("", "production", 45, Some(40));
        check("9", "staging", 35, Some(20));
        check("1", "production", 5, None);
    }
}
