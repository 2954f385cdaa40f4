//! Rules that call channels which are not there, and channels that take rules which are not there. Either may be set
//! first, so nobody is refused, and somebody is told.

use alerts::{Channel, Rule};
use event::suggest::suggest;

/// Channels of a rule that are not there.
pub(super) fn channels_of(rule: &Rule, channels: &[Channel]) -> Vec<String> {
    let known: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
    undefined("channel", &rule.channels, &known)
}

/// Rules of a channel that are not there.
pub(super) fn rules_of(channel: &Channel, rules: &[Rule]) -> Vec<String> {
    let known: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    undefined("rule", &channel.rules, &known)
}

fn undefined(what: &str, names: &[String], known: &[&str]) -> Vec<String> {
    let says = |name: &String| {
        let hint = match suggest(name, known.iter().copied()) {
            Some(near) => format!(": did you mean {near:?}?"),
            None if known.is_empty() => String::new(),
            None => format!("; there are {}", known.join(", ")),
        };
        format!("there is no {what} {name:?} yet{hint}")
    };
    names.iter().filter(|name| !known.contains(&name.as_str())).map(says).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_meant() {
        let mut rule = Rule::new("zz", alerts::On::NewIssue);
        rule.channels = ["ops", "opps", "x"].map(str::to_owned).to_vec();
        let found = channels_of(&rule, &[Channel::new("ops"), Channel::new("mail")]);
        let expected = [
            "there is no channel \"opps\" yet: did you mean \"ops\"?",
            "there is no channel \"x\" yet; there are ops, mail",
        ];
        assert_eq!(found, expected);
        assert_eq!(channels_of(&rule, &[])[2], "there is no channel \"x\" yet");
    }
}
