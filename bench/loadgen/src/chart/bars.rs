//! Bars from nothing to a value, one below the other, with the range of the rounds as a whisker.

use super::scale::{Scale, figure};
use super::svg::{Anchor, Svg};
use super::{Frame, Role};

pub struct Bar {
    pub name: String,
    pub role: Role,
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// Beside the value.
    pub note: String,
}

const ROW: f64 = 26.0;
const THICK: f64 = 16.0;
const NAMES: f64 = 104.0;
const VALUES: f64 = 112.0;

pub fn height(bars: &[Bar]) -> f64 {
    ROW * bars.len() as f64
}

pub fn draw(svg: &mut Svg, frame: Frame, bars: &[Bar]) {
    let from = frame.x + NAMES;
    let most = bars.iter().map(|bar| bar.high.max(bar.value)).fold(f64::MIN_POSITIVE, f64::max);
    let to = from + (frame.width - NAMES - VALUES);
    let long = |value: f64| (to - from) * (value / most).clamp(0.0, 1.0);
    for (bar, at) in bars.iter().zip(0u32..) {
        let y = frame.y + ROW * f64::from(at);
        let base = y + ROW / 2.0 + 4.5;
        svg.text(from - 10.0, base, bar.role.name_class(), Anchor::End, &bar.name);
        svg.rect(from, y + (ROW - THICK) / 2.0, long(bar.value), THICK, &format!("bar {}", class(bar.role)));
        if bar.high > bar.low {
            let middle = y + ROW / 2.0;
            svg.line((from + long(bar.low), middle), (from + long(bar.high), middle), "whisker");
        }
        let end = from + long(bar.value.max(bar.high)) + 8.0;
        svg.text(end, base, bar.role.name_class(), Anchor::Start, &figure(bar.value));
        svg.text(frame.x + frame.width, base, "faint", Anchor::End, &bar.note);
    }
    let bottom = frame.y + height(bars);
    svg.line((from, frame.y), (from, bottom), "axis");
}

/// Beside Egret and the floor the others are all alike: their names stand before them.
fn class(role: Role) -> &'static str {
    match role {
        Role::Egret => "egret",
        Role::Floor => "floor",
        Role::Peer(_) => "peer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_leave_room_for_bars() {
        let bar = Bar { name: "a".into(), role: Role::Egret, value: 0.0, low: 0.0, high: 0.0, note: String::new() };
        let mut svg = Svg::new(900.0, 100.0, "", "");
        draw(&mut svg, Frame { x: 0.0, y: 0.0, width: 400.0, height: 26.0 }, &[bar]);
        assert!(svg.finish().contains("width=\"0.0\""), "nothing is drawn as nothing");
        assert!(Scale::from_zero(0.0, (0.0, 1.0)).at(0.0).is_finite());
    }
}
