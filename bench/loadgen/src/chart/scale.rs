//! Positions along an axis, its ticks, and how figures are written.

/// From a range of values to a range of positions.
#[derive(Clone, Copy)]
pub struct Scale {
    kind: Kind,
    values: (f64, f64),
    positions: (f64, f64),
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Linear,
    Logarithmic,
}

impl Scale {
    /// From nothing to a round number above `most`.
    pub fn from_zero(most: f64, positions: (f64, f64)) -> Scale {
        Scale { kind: Kind::Linear, values: (0.0, step(most) * (most / step(most)).ceil()), positions }
    }

    /// Exactly from one to the other, both above zero.
    pub fn logarithmic(values: (f64, f64), positions: (f64, f64)) -> Scale {
        Scale { kind: Kind::Logarithmic, values, positions }
    }

    pub fn at(&self, value: f64) -> f64 {
        let Scale { kind, values: (low, high), positions: (from, to) } = *self;
        let share = match kind {
            Kind::Linear => (value - low) / (high - low),
            Kind::Logarithmic => (value / low).ln() / (high / low).ln(),
        };
        // A single value has no range.
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.5 };
        from + share * (to - from)
    }

    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.values;
        match self.kind {
            Kind::Linear => (0..=5).map(|n| f64::from(n) * step(high)).filter(|value| *value <= high * 1.001).collect(),
            Kind::Logarithmic => powers(low, high),
        }
    }
}

/// A round distance of which up to five make `most`.
fn step(most: f64) -> f64 {
    let rough = if most > 0.0 { most / 5.0 } else { 1.0 };
    let power = 10_f64.powf(rough.log10().floor());
    let round = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|round| round * power >= rough * 0.999);
    round.unwrap_or(10.0) * power
}

fn powers(low: f64, high: f64) -> Vec<f64> {
    let first = 10_f64.powf((low.log10() - 0.001).ceil());
    std::iter::successors(Some(first), |power| Some(power * 10.0)).take_while(|power| *power <= high * 1.001).collect()
}

/// Three digits, or all before the point, these in groups.
pub fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let digits = text.len();
    if decimals > 0 || digits < 5 { text } else { grouped(&text) }
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !out.ends_with('-') {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

/// A tick: 1000 as 1k, and no digits that say nothing.
pub fn short(value: f64) -> String {
    let (value, suffix) = match value {
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = format!("{value:.2}");
    format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A duration in the unit that suits it, from microseconds.
pub fn duration(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", short(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", short(us / 1e3)),
        us => format!("{} µs", short(us)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        for (value, text) in [
            (0.0, "0.00"),
            (1.234, "1.23"),
            (9.999, "10.0"),
            (27.44, "27.4"),
            (99.96, "100"),
            (1234.5, "1234"),
            (12345.0, "12\u{a0}345"),
            (1_234_567.0, "1\u{a0}234\u{a0}567"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn short_ones() {
        for (value, text) in [(0.25, "0.25"), (10.0, "10"), (1000.0, "1000"), (25_000.0, "25k"), (1e6, "1M")] {
            assert_eq!(short(value), text);
        }
        assert_eq!((duration(12.0), duration(1500.0), duration(2e6)), ("12 µs".into(), "1.5 ms".into(), "2 s".into()));
    }

    #[test]
    fn ticks_are_round_and_within() {
        let ticks = |most| Scale::from_zero(most, (0.0, 1.0)).ticks();
        assert_eq!(ticks(47.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(ticks(9.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(Scale::logarithmic((10.0, 1e4), (0.0, 1.0)).ticks(), [10.0, 100.0, 1000.0, 10_000.0]);
    }

    #[test]
    fn positions() {
        let scale = Scale::from_zero(50.0, (100.0, 200.0));
        assert_eq!((scale.at(0.0), scale.at(25.0), scale.at(50.0)), (100.0, 150.0, 200.0));
        let scale = Scale::logarithmic((1.0, 100.0), (0.0, 10.0));
        assert_eq!((scale.at(1.0), scale.at(10.0), scale.at(100.0)), (0.0, 5.0, 10.0));
        assert_eq!(Scale::logarithmic((7.0, 7.0), (0.0, 10.0)).at(7.0), 5.0);
    }
}
