//! Curves over a logarithmic axis, each named at its end.

use super::scale::{Scale, short};
use super::svg::{Anchor, Svg};
use super::{Frame, Role};

pub struct Curves {
    pub x_title: String,
    pub curves: Vec<Curve>,
}

pub struct Curve {
    pub name: String,
    pub role: Role,
    /// By rising x, which is above zero.
    pub points: Vec<(f64, f64)>,
}

pub const HEIGHT: f64 = 240.0;
/// Ticks of the y axis on the left, names on the right, the x axis below.
const LEFT: f64 = 40.0;
const RIGHT: f64 = 96.0;
const BELOW: f64 = 42.0;
/// Names stand so far apart at least.
const NAME: f64 = 15.0;

pub fn draw(svg: &mut Svg, frame: Frame, curves: &Curves) {
    let (left, right) = (frame.x + LEFT, frame.x + frame.width - RIGHT);
    let (top, bottom) = (frame.y + 4.0, frame.y + HEIGHT - BELOW);
    let points = || curves.curves.iter().flat_map(|curve| curve.points.iter().copied());
    let low = points().map(|(x, _)| x).fold(f64::INFINITY, f64::min);
    let high = points().map(|(x, _)| x).fold(0.0, f64::max);
    let x = Scale::logarithmic((low, high), (left, right));
    let y = Scale::from_zero(points().map(|(_, y)| y).fold(0.0, f64::max), (bottom, top));
    for tick in y.ticks() {
        let at = y.at(tick);
        svg.line((left, at), (right, at), if tick == 0.0 { "axis" } else { "grid" });
        svg.text(left - 8.0, at + 4.0, "tick", Anchor::End, &short(tick));
    }
    let mut taken = f64::NEG_INFINITY;
    for value in measured_at(curves) {
        let at = x.at(value);
        svg.line((at, bottom), (at, bottom + 4.0), "axis");
        if at - taken > 34.0 {
            svg.text(at, bottom + 18.0, "tick", Anchor::Middle, &short(value));
            taken = at;
        }
    }
    svg.text(f64::midpoint(left, right), bottom + 37.0, "faint", Anchor::Middle, &curves.x_title);
    for curve in in_drawing_order(&curves.curves) {
        draw_curve(svg, curve, x, y);
    }
    draw_names(svg, &curves.curves, right, (x, y), (top, bottom));
}

/// Egret's lies on top.
fn in_drawing_order(curves: &[Curve]) -> impl Iterator<Item = &Curve> {
    let is_egret = |curve: &&Curve| curve.role == Role::Egret;
    curves.iter().filter(move |curve| !is_egret(curve)).chain(curves.iter().filter(is_egret))
}

fn measured_at(curves: &Curves) -> Vec<f64> {
    let mut values: Vec<f64> = curves.curves.iter().flat_map(|curve| &curve.points).map(|(x, _)| *x).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

fn draw_curve(svg: &mut Svg, curve: &Curve, x: Scale, y: Scale) {
    let class = curve.role.class();
    let points: Vec<(f64, f64)> = curve.points.iter().map(|point| (x.at(point.0), y.at(point.1))).collect();
    svg.polyline(&points, &format!("curve {class}"));
    let radius = if curve.role == Role::Egret { 4.0 } else { 3.0 };
    for point in points {
        svg.circle(point, radius, &format!("mark {class}"));
    }
}

/// At the ends of the curves, pushed apart where they would cover each other.
fn draw_names(svg: &mut Svg, curves: &[Curve], right: f64, (x, y): (Scale, Scale), within: (f64, f64)) {
    let end = |curve: &Curve| curve.points.last().map(|point| (x.at(point.0), y.at(point.1)));
    let mut ends: Vec<((f64, f64), &Curve)> = curves.iter().filter_map(|curve| Some((end(curve)?, curve))).collect();
    ends.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    let places = spaced(&ends.iter().map(|(end, _)| end.1).collect::<Vec<_>>(), NAME, within);
    for ((end, curve), place) in ends.into_iter().zip(places) {
        svg.line((end.0 + 6.0, end.1), (right + 6.0, end.1), "leader");
        svg.line((right + 6.0, end.1), (right + 14.0, place), &format!("curve {}", curve.role.class()));
        svg.text(right + 18.0, place + 4.5, curve.role.name_class(), Anchor::Start, &curve.name);
    }
}

/// Places as near as may be to those wanted, which rise, and `apart` from each other.
fn spaced(wanted: &[f64], apart: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut places = Vec::with_capacity(wanted.len());
    let mut least = top;
    for want in wanted {
        let place = want.max(least);
        places.push(place);
        least = place + apart;
    }
    let mut most = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - apart;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: &[f64], expected: &[f64]) {
        assert_eq!(spaced(wanted, 10.0, (0.0, 100.0)), expected);
    }

    #[test]
    fn names_do_not_cover_each_other() {
        check(&[], &[]);
        check(&[20.0, 50.0], &[20.0, 50.0]);
        check(&[20.0, 21.0, 22.0], &[20.0, 30.0, 40.0]);
        check(&[95.0, 99.0, 100.0], &[80.0, 90.0, 100.0]);
    }
}
