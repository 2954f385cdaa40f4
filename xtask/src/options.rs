//! `--name number` on the command line of a chore; all that the chores need.

/// An error whose text alone explains it.
pub(crate) fn refuse(text: &str) -> anyhow::Error {
    anyhow::Error::msg(text.to_owned())
}

/// Fails if a chore that takes no arguments was given some.
///
/// # Errors
///
/// Names the first surplus argument.
pub(crate) fn none(arguments: &[String]) -> anyhow::Result<()> {
    match arguments.first() {
        Some(surplus) => Err(refuse(&format!("unexpected argument `{surplus}`"))),
        None => Ok(()),
    }
}

/// Reads `--name number` pairs; the answer has one number for each of `known`, its default where it was not given.
///
/// # Errors
///
/// Names the argument that is unknown, or whose number is missing or not a number.
pub(crate) fn numbers<const COUNT: usize>(
    arguments: &[String],
    known: [(&str, u64); COUNT],
) -> anyhow::Result<[u64; COUNT]> {
    let mut values = known.map(|(_, default)| default);
    for pair in arguments.chunks(2) {
        let Some(place) = known.iter().position(|(name, _)| *name == pair[0]) else {
            return Err(refuse(&format!("unexpected argument `{}`", pair[0])));
        };
        let given = pair.get(1).and_then(|text| text.parse().ok());
        values[place] = given.ok_or_else(|| refuse(&format!("`{}` needs a whole number after it", pair[0])))?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::numbers;

    fn check(line: &str) -> Result<[u64; 2], String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        numbers(&arguments, [("--seeds", 5000), ("--from", 1)]).map_err(|error| error.to_string())
    }

    #[test]
    fn pairs_replace_defaults() {
        assert_eq!(check(""), Ok([5000, 1]));
        assert_eq!(check("--from 9"), Ok([5000, 9]));
        assert_eq!(check("--from 9 --seeds 20"), Ok([20, 9]));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(check("--seed 9"), Err("unexpected argument `--seed`".to_owned()));
        assert_eq!(check("--seeds many"), Err("`--seeds` needs a whole number after it".to_owned()));
        assert_eq!(check("--seeds"), Err("`--seeds` needs a whole number after it".to_owned()));
    }
}
