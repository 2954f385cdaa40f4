//! Which frames of a stack make the fingerprint.

use crate::explain::Role;
use crate::judge::{Judged, Standing};
use crate::symbol::Language;

/// So many functions make a fingerprint, those next to the error. Farther out are entry points and middleware: one cause
/// that is reached on many ways would be many issues, and a new middleware would make all of them new.
pub(crate) const FUNCTIONS_MAX: usize = 4;

/// A function that is there so often in an overflow of the stack is of the circle that caused it. V8 keeps ten frames.
const CIRCLE_MIN: usize = 3;

/// What was chosen.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// What each frame did.
    pub(crate) roles: Vec<Role>,
    /// The frames whose functions count, in the order in which they are hashed.
    pub(crate) counted: Vec<usize>,
    /// What the innermost of them called in code of others.
    pub(crate) called: Option<usize>,
    /// Whether the functions alone say too little.
    pub(crate) is_weak: bool,
}

/// Chooses among frames of which the last one raised the exception.
pub(crate) fn choose(frames: &[Judged], is_overflow: bool) -> Chosen {
    let has = |standing| frames.iter().any(|frame| frame.standing == standing);
    let (wanted, is_weak) = if has(Standing::App) {
        (Standing::App, false)
    } else if has(Standing::Anonymous) {
        (Standing::Anonymous, true)
    } else if has(Standing::Nameless) {
        // The application's own code is there and cannot be named: what it called says nothing of it.
        let roles = frames.iter().map(|frame| unused(frame.standing)).collect();
        return Chosen { roles, is_weak: true, ..Chosen::default() };
    } else {
        (Standing::Library, false)
    };
    let mut chosen =
        Chosen { roles: frames.iter().map(|frame| unused(frame.standing)).collect(), is_weak, ..Chosen::default() };
    if is_overflow {
        chosen.circle(frames, wanted);
    }
    if chosen.counted.is_empty() {
        chosen.innermost(frames, wanted);
    }
    if wanted == Standing::App && !is_overflow {
        chosen.boundary(frames);
    }
    chosen
}

fn unused(standing: Standing) -> Role {
    match standing {
        Standing::App | Standing::Library => Role::NotInApp,
        Standing::Machinery => Role::Machinery,
        Standing::Anonymous | Standing::Nameless => Role::Nameless,
    }
}

impl Chosen {
    fn innermost(&mut self, frames: &[Judged], wanted: Standing) {
        for (place, frame) in frames.iter().enumerate().rev().filter(|(_, frame)| frame.standing == wanted) {
            let role = if self.counted.iter().any(|counted| frames[*counted].name == frame.name) {
                Role::Repeated
            } else if self.counted.len() == FUNCTIONS_MAX {
                Role::TooFar
            } else {
                self.counted.push(place);
                Role::Counted
            };
            self.roles[place] = role;
        }
    }

    /// Of an overflow the functions that call each other, by name: where the stack ended is chance.
    fn circle(&mut self, frames: &[Judged], wanted: Standing) {
        let mut named: Vec<(&str, usize)> = frames
            .iter()
            .enumerate()
            .filter(|(_, frame)| frame.standing == wanted)
            .map(|(place, frame)| (frame.name.as_str(), place))
            .collect();
        named.sort_unstable();
        for same in named.chunk_by(|one, other| one.0 == other.0) {
            let counts = same.len() >= CIRCLE_MIN && self.counted.len() < FUNCTIONS_MAX;
            for (times, (_, place)) in same.iter().enumerate() {
                self.roles[*place] = match (counts, times) {
                    (true, 0) => Role::Counted,
                    (true, _) => Role::Repeated,
                    (false, _) => Role::TooFar,
                };
            }
            if let (true, Some((_, place))) = (counts, same.first()) {
                self.counted.push(*place);
            }
        }
        if self.counted.is_empty() {
            self.roles = frames.iter().map(|frame| unused(frame.standing)).collect();
        }
    }

    /// Two calls of one function into two libraries are two causes. Only where frames do not depend on what a compiler put
    /// into line; and only the first function over there, which is what the library promises to keep.
    fn boundary(&mut self, frames: &[Judged]) {
        let Some(innermost) = self.counted.first().copied() else { return };
        let keeps_frames =
            matches!(frames[innermost].language, Language::Python | Language::Java | Language::Ruby | Language::Php);
        let next =
            frames.iter().enumerate().skip(innermost + 1).find(|(_, frame)| frame.standing != Standing::Machinery);
        if let Some((place, frame)) = next
            && keeps_frames
            && frame.standing == Standing::Library
            && !frame.name.is_empty()
        {
            self.called = Some(place);
            self.roles[place] = Role::Called;
        }
    }
}
