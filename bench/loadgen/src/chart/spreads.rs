//! From the median to the worst in a thousand, over a logarithmic axis of time.

use super::scale::{Scale, duration};
use super::svg::{Anchor, Svg};
use super::{Frame, Role, names_width};

/// Times in microseconds.
pub struct Spread {
    pub name: String,
    pub role: Role,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

const ROW: f64 = 26.0;
const RIGHT: f64 = 20.0;
const AXIS: f64 = 24.0;

pub fn height(spreads: &[Spread]) -> f64 {
    ROW * spreads.len() as f64 + AXIS
}

pub fn draw(svg: &mut Svg, frame: Frame, spreads: &[Spread]) {
    let names = names_width(spreads.iter().map(|spread| spread.name.as_str()));
    let bottom = frame.y + ROW * spreads.len() as f64;
    let low = spreads.iter().map(|spread| spread.p50).fold(f64::INFINITY, f64::min).max(0.1);
    let high = spreads.iter().map(|spread| spread.p999).fold(low, f64::max);
    // Whole powers of ten at both ends, so that there are two ticks at least.
    let values = (10_f64.powf(low.log10().floor()), 10_f64.powf((high * 1.001).log10().ceil()));
    let x = Scale::logarithmic(values, (frame.x + names, frame.x + frame.width - RIGHT));
    for tick in x.ticks() {
        svg.line((x.at(tick), frame.y), (x.at(tick), bottom), "grid");
        svg.text(x.at(tick), bottom + 16.0, "tick", Anchor::Middle, &duration(tick));
    }
    for (spread, at) in spreads.iter().zip(0u32..) {
        let y = frame.y + ROW * (f64::from(at) + 0.5);
        let class = spread.role.class();
        svg.text(frame.x + names - 10.0, y + 4.5, spread.role.name_class(), Anchor::End, &spread.name);
        svg.line((x.at(spread.p50), y), (x.at(spread.p999), y), &format!("curve {class}"));
        svg.circle((x.at(spread.p50), y), 5.0, &format!("mark {class}"));
        svg.line((x.at(spread.p99), y - 7.0), (x.at(spread.p99), y + 7.0), &format!("curve {class}"));
        svg.circle((x.at(spread.p999), y), 4.5, &format!("mark {class} hollow"));
    }
}
