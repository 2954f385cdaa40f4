//! How many people an issue met: exact for a few hundred, then a sketch that says how far it may be off.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So many users are kept one by one.
pub const USERS_EXACT_MAX: usize = 256;

/// Registers of the sketch, a power of two: a kilobyte, and a standard error of 3.3 %.
const REGISTERS: usize = 1024;
const REGISTER_BITS: u32 = REGISTERS.trailing_zeros();

/// A user as an issue remembers them. With a key that nobody else has, nobody can try out names.
#[must_use]
pub fn user_hash(key: u64, user: &str) -> u64 {
    xxh3_64_with_seed(user.as_bytes(), key)
}

/// Affected users. It depends on who was counted, not on the order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Users {
    /// Their hashes, while there are few.
    exact: BTreeSet<u64>,
    /// The sketch once there are many, one character for each register; empty before.
    sketch: String,
}

/// A number of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UserCount {
    /// How many.
    pub users: u64,
    /// Whether that is exact. If not it is off by less than 7 % nineteen times of twenty.
    pub is_exact: bool,
}

/// The character of an empty register; each step is one character further.
const ZERO: u8 = b'0';

impl Users {
    pub(crate) fn add(&mut self, hash: u64) {
        if self.sketch.is_empty() {
            self.exact.insert(hash);
            if self.exact.len() > USERS_EXACT_MAX {
                let mut registers = [0; REGISTERS];
                for hash in std::mem::take(&mut self.exact) {
                    note(&mut registers, hash);
                }
                self.write(&registers);
            }
        } else {
            let (place, rank) = register_of(hash);
            let known = self.sketch.as_bytes().get(place).map_or(0, |byte| byte.saturating_sub(ZERO));
            if rank > known {
                let mut registers = self.registers();
                note(&mut registers, hash);
                self.write(&registers);
            }
        }
    }

    /// Adds the users of another.
    pub fn add_all(&mut self, other: &Self) {
        if self.sketch.is_empty() && other.sketch.is_empty() {
            for hash in &other.exact {
                self.add(*hash);
            }
            return;
        }
        let mut registers = self.registers();
        for (own, others) in registers.iter_mut().zip(other.registers()) {
            *own = others.max(*own);
        }
        for hash in self.exact.iter().chain(&other.exact) {
            note(&mut registers, *hash);
        }
        self.exact.clear();
        self.write(&registers);
    }

    fn registers(&self) -> [u8; REGISTERS] {
        let mut registers = [0; REGISTERS];
        for (register, byte) in registers.iter_mut().zip(self.sketch.bytes()) {
            *register = byte.saturating_sub(ZERO).min(64);
        }
        registers
    }

    fn write(&mut self, registers: &[u8; REGISTERS]) {
        self.sketch = registers.iter().map(|register| char::from(ZERO + register)).collect();
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> UserCount {
        if self.sketch.is_empty() {
            return UserCount { users: self.exact.len() as u64, is_exact: true };
        }
        let registers = self.registers();
        let empty = registers.iter().filter(|register| **register == 0).count();
        let size = f64::from(u32::try_from(REGISTERS).unwrap_or(u32::MAX));
        let sum: f64 = registers.iter().map(|register| 0.5_f64.powi(i32::from(*register))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / size) * size * size / sum;
        let empty = f64::from(u32::try_from(empty).unwrap_or(u32::MAX));
        let estimate = if raw <= 2.5 * size && empty > 0.0 { size * (size / empty).ln() } else { raw };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive and below 2^60")]
        let users = estimate.round() as u64;
        UserCount { users: users.max(USERS_EXACT_MAX as u64 + 1), is_exact: false }
    }
}

/// The register of a hash, and the rank that it gives to it.
fn register_of(hash: u64) -> (usize, u8) {
    let place = usize::try_from(hash >> (64 - REGISTER_BITS)).unwrap_or(0);
    let rest = (hash << REGISTER_BITS) | (1 << (REGISTER_BITS - 1));
    (place, u8::try_from(rest.leading_zeros() + 1).unwrap_or(64))
}

fn note(registers: &mut [u8; REGISTERS], hash: u64) {
    let (place, rank) = register_of(hash);
    if let Some(register) = registers.get_mut(place) {
        *register = rank.max(*register);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_exact_and_many_nearly() {
        for (many, off_max) in [(0, 0), (1, 0), (256, 0), (257, 18), (5000, 350), (100_000, 7000)] {
            let mut users = Users::default();
            for user in 0..many {
                users.add(user_hash(7, &user.to_string()));
                users.add(user_hash(7, "0"));
            }
            let count = users.count();
            assert!(count.users.abs_diff(many) <= off_max, "{many}: {count:?}");
            assert_eq!(count.is_exact, many <= 256, "{many}");
        }
    }

    #[test]
    fn two_halves_make_the_whole() {
        for many in [100, 300, 1000] {
            let (mut one, mut other, mut all) = (Users::default(), Users::default(), Users::default());
            for user in 0..many {
                let hash = user_hash(7, &user.to_string());
                let half = if user % 3 == 0 { &mut one } else { &mut other };
                half.add(hash);
                all.add(hash);
            }
            one.add_all(&other);
            assert_eq!(one, all, "{many}");
        }
    }
}
