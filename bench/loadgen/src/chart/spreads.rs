//! From the median to the worst in a thousand, over a logarithmic axis of time.

use super::rows::{self, Rows};
use super::scale::{Scale, duration};
use super::svg::{Anchor, Svg};
use super::{Frame, Role};

/// Times in microseconds.
pub struct Spread {
    pub name: String,
    pub role: Role,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

const RIGHT: f64 = 20.0;
const AXIS: f64 = 24.0;

pub fn height(spreads: &[Spread]) -> f64 {
    rows::height(spreads.len()) + AXIS
}

pub fn draw(svg: &mut Svg, frame: Frame, spreads: &[Spread]) {
    let rows = Rows::of(frame, spreads.iter().map(|spread| spread.name.as_str()));
    let bottom = frame.y + rows::height(spreads.len());
    let low = spreads.iter().map(|spread| spread.p50).fold(f64::INFINITY, f64::min).max(0.1);
    let high = spreads.iter().map(|spread| spread.p999).fold(low, f64::max);
    // Whole powers of ten at both ends, so that there are two ticks at least.
    let values = (10_f64.powf(low.log10().floor()), 10_f64.powf((high * 1.001).log10().ceil()));
    let x = Scale::logarithmic(values, (rows.left, frame.x + frame.width - RIGHT));
    for tick in x.ticks() {
        svg.line((x.at(tick), frame.y), (x.at(tick), bottom), "grid");
        svg.text(x.at(tick), bottom + 16.0, "tick", Anchor::Middle, &duration(tick));
    }
    for (spread, at) in spreads.iter().zip(0u32..) {
        let y = rows.begin(svg, at, &spread.name, spread.role);
        let class = spread.role.class();
        svg.line((x.at(spread.p50), y), (x.at(spread.p999), y), &format!("curve {class}"));
        svg.circle((x.at(spread.p50), y), 5.0, &format!("mark {class}"));
        svg.line((x.at(spread.p99), y - 7.0), (x.at(spread.p99), y + 7.0), &format!("curve {class}"));
        svg.circle((x.at(spread.p999), y), 4.5, &format!("mark {class} hollow"));
    }
}
