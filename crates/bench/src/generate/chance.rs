//! Chance that repeats itself: the same seed gives the same rolls on every machine.

/// Repeatable chance (SplitMix64).
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `end`, which must be less than 2³².
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((self.roll() >> 32) * end) >> 32
    }
}

/// Spreads the bits of a number, always in the same way.
pub(super) fn mix(number: u64) -> u64 {
    let first = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let second = (first ^ (first >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    second ^ (second >> 31)
}

/// Weighted choice in constant time (Vose's alias method): each slot holds its own place or, above the cut, another's.
#[derive(Debug)]
pub(super) struct Chooser(Vec<(u32, u32)>);

impl Chooser {
    /// Zipf's law: the n-th place is chosen in proportion to 1 / (n + `flatter`).
    pub(super) fn zipf(places: usize, flatter: f64) -> Self {
        let weights: Vec<f64> = (1..=places).map(|place| 1.0 / (place as f64 + flatter)).collect();
        Self::weighted(&weights)
    }

    pub(super) fn shares(shares: &[u32]) -> Self {
        Self::weighted(&shares.iter().map(|share| f64::from(*share)).collect::<Vec<_>>())
    }

    fn weighted(weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let mut height: Vec<f64> = weights.iter().map(|weight| weight * weights.len() as f64 / total).collect();
        let (mut low, mut high): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(|place| height[*place] < 1.0);
        let mut slots: Vec<(u32, u32)> = (0..weights.len()).map(|place| (u32::MAX, place as u32)).collect();
        while let (Some(poor), Some(rich)) = (low.pop(), high.last().copied()) {
            slots[poor] = ((height[poor] * f64::from(u32::MAX)) as u32, rich as u32);
            height[rich] -= 1.0 - height[poor];
            if height[rich] < 1.0 {
                high.pop();
                low.push(rich);
            }
        }
        Self(slots)
    }

    pub(super) fn choose(&self, dice: &mut Dice) -> usize {
        let roll = dice.roll();
        let slot = (((roll >> 32) * self.0.len() as u64) >> 32) as usize;
        let (cut, other) = self.0[slot];
        if roll as u32 <= cut { slot } else { other as usize }
    }
}
