//! Bars from nothing to a value, one below the other, with the range of the rounds as a whisker. One that would leave the
//! others no length to tell them apart by is broken off, and looks it.

use super::rows::{self, ROW, Rows, TO_BASE};
use super::scale::figure;
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

const THICK: f64 = 16.0;
const VALUES: f64 = 112.0;
/// Beyond so many times the median a bar is broken.
const FAR: f64 = 4.0;

pub fn height(bars: &[Bar]) -> f64 {
    rows::height(bars.len())
}

pub fn draw(svg: &mut Svg, frame: Frame, bars: &[Bar]) {
    let rows = Rows::of(frame, bars.iter().map(|bar| bar.name.as_str()));
    let from = rows.left;
    let most = longest(bars);
    let to = frame.x + frame.width - VALUES;
    let long = |value: f64| (to - from) * (value / most).clamp(0.0, 1.0);
    for (bar, at) in bars.iter().zip(0u32..) {
        let middle = rows.begin(svg, at, &bar.name, bar.role);
        svg.rect(from, middle - THICK / 2.0, long(bar.value), THICK, &format!("bar {}", class(bar.role)));
        if bar.value > most {
            draw_break(svg, from + long(most) - 18.0, middle);
        } else if bar.high > bar.low {
            svg.line((from + long(bar.low), middle), (from + long(bar.high), middle), "whisker");
        }
        let end = from + long(bar.value.max(bar.high)) + 8.0;
        let base = middle + TO_BASE;
        svg.text(end, base, bar.role.name_class(), Anchor::Start, &figure(bar.value));
        svg.text(frame.x + frame.width, base, "faint", Anchor::End, &bar.note);
    }
    let bottom = frame.y + height(bars);
    svg.line((from, frame.y), (from, bottom), "axis");
}

/// What the longest whole bar shows.
fn longest(bars: &[Bar]) -> f64 {
    let mut values: Vec<f64> = bars.iter().map(|bar| bar.value).collect();
    values.sort_by(f64::total_cmp);
    let median = values.get(values.len() / 2).copied().unwrap_or_default();
    let whole = bars.iter().filter(|bar| bar.value <= FAR * median);
    whole.map(|bar| bar.high.max(bar.value)).fold(f64::MIN_POSITIVE, f64::max)
}

/// Two slanting gaps in the colour of the ground.
fn draw_break(svg: &mut Svg, x: f64, middle: f64) {
    let half = ROW / 2.0 - 3.0;
    for x in [x, x + 7.0] {
        svg.line((x, middle + half), (x + 5.0, middle - half), "gap");
    }
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
    fn nothing_has_no_length() {
        let bar = Bar { name: "a".into(), role: Role::Egret, value: 0.0, low: 0.0, high: 0.0, note: String::new() };
        let mut svg = Svg::new(900.0, 100.0, "", "");
        draw(&mut svg, Frame { x: 0.0, y: 0.0, width: 400.0, height: 26.0 }, &[bar]);
        assert!(svg.finish().contains("width=\"0.0\""), "nothing is drawn as nothing");
    }

    #[test]
    fn an_outlier_does_not_flatten_the_others() {
        let bars = |values: &[f64]| -> Vec<Bar> {
            let bar = |value: &f64| Bar {
                name: String::new(),
                role: Role::Floor,
                value: *value,
                low: *value,
                high: *value,
                note: String::new(),
            };
            values.iter().map(bar).collect()
        };
        assert_eq!(longest(&bars(&[10.0, 20.0, 30.0])), 30.0);
        assert_eq!(longest(&bars(&[10.0, 20.0, 30.0, 900.0])), 30.0);
        let mut svg = Svg::new(900.0, 100.0, "", "");
        draw(&mut svg, Frame { x: 0.0, y: 0.0, width: 400.0, height: 26.0 }, &bars(&[10.0, 20.0, 30.0, 900.0]));
        assert_eq!(svg.finish().matches("class=\"gap\"").count(), 2);
    }
}
