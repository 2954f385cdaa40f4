//! "Did you mean": the known name nearest to a wrong one.

/// Longest name compared, in characters. Beyond it nobody mistypes a letter, and the comparison is quadratic.
const NAME_CHARACTERS_MAX: usize = 64;

/// The known name that `wrong` was most likely meant to be, or none if nothing is near.
///
/// Letters left out, added, changed or swapped count one each, case counts nothing; two are forgiven, or a third of the
/// length if that is more. Of equally near names the first wins, so the order of `known` decides.
pub fn suggest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = wrong.to_lowercase().chars().take(NAME_CHARACTERS_MAX + 1).collect();
    // In a name of three letters two mistakes leave one: that is another name, not a mistyped one.
    let distance_max = if typed.len() < 4 { 1 } else { (typed.len() / 3).max(2) };
    if typed.is_empty() || typed.len() > NAME_CHARACTERS_MAX {
        return None;
    }
    let mut nearest = None;
    for name in known {
        let candidate: Vec<char> = name.to_lowercase().chars().take(NAME_CHARACTERS_MAX + 1).collect();
        if typed.len().abs_diff(candidate.len()) > distance_max {
            continue;
        }
        let distance = distance(&typed, &candidate);
        if distance <= distance_max && nearest.is_none_or(|(best, _)| distance < best) {
            nearest = Some((distance, name));
        }
    }
    nearest.map(|(_, name)| name)
}

/// How many letters must be left out, added, changed or swapped with their neighbour to make `left` into `right`.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let changed = last[column] + usize::from(letter != other);
            let mut cost = changed.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && left[row - 1] == *other && right[column - 1] == *letter;
            if swapped {
                cost = cost.min(before[column - 1] + 1);
            }
            current.push(cost);
        }
        before = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_nothing_far() {
        let known = ["status", "duration", "duration_ms", "user.id", "color", "ip", "url", "_limit", "_sort"];
        let cases = [
            ("statsu", Some("status")),
            ("Status", Some("status")),
            ("colour", Some("color")),
            ("duratoin", Some("duration")),
            ("durationms", Some("duration_ms")),
            ("user_id", Some("user.id")),
            ("_lmit", Some("_limit")),
            ("id", Some("ip")),
            ("abc", None),
            ("temperature", None),
            ("", None),
        ];
        for (wrong, expected) in cases {
            assert_eq!(suggest(wrong, known.into_iter()), expected, "{wrong}");
        }
        assert_eq!(suggest(&"x".repeat(100_000), known.into_iter()), None);
    }
}
