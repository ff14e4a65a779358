//! Charts as SVG: a sheet of panels, each with bars, curves or spreads.
//!
//! Written by hand, because what the libraries write has its colours on each element and so cannot follow
//! `prefers-color-scheme` (plotters), or takes a browser or a JavaScript engine to draw (charming). No numbers are
//! computed here but positions.

mod bars;
mod curves;
mod rows;
mod scale;
mod spreads;
mod svg;

pub use bars::Bar;
pub use curves::{Curve, Curves};
pub use scale::figure;
pub use spreads::Spread;

use svg::{Anchor, Svg};

/// Whose figures something shows, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Egret,
    /// A peer, by its place in the palette.
    Peer(usize),
    Floor,
}

impl Role {
    /// The class of the style sheet. The palette has six colours, and begins anew after them.
    fn class(self) -> String {
        match self {
            Role::Egret => "egret".into(),
            Role::Floor => "floor".into(),
            Role::Peer(at) => format!("p{}", at % 6),
        }
    }

    /// Egret's name is set in bold.
    fn name_class(self) -> &'static str {
        if self == Role::Egret { "strong" } else { "" }
    }
}

pub struct Sheet {
    pub title: String,
    pub caption: String,
    pub panels: Vec<Panel>,
}

pub struct Panel {
    pub title: String,
    pub caption: String,
    pub picture: Picture,
}

pub enum Picture {
    Bars(Vec<Bar>),
    Curves(Curves),
    Spreads(Vec<Spread>),
}

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 24.0;
const GAP: f64 = 32.0;
/// Title and caption of the sheet.
const HEAD: f64 = 66.0;
/// Title and caption of a panel.
const PANEL_HEAD: f64 = 46.0;

/// Where a picture may draw.
#[derive(Clone, Copy)]
struct Frame {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Picture {
    fn height(&self) -> f64 {
        match self {
            Picture::Bars(bars) => bars::height(bars),
            Picture::Curves(_) => curves::HEIGHT,
            Picture::Spreads(spreads) => spreads::height(spreads),
        }
    }

    fn draw(&self, svg: &mut Svg, frame: Frame) {
        match self {
            Picture::Bars(bars) => bars::draw(svg, frame, bars),
            Picture::Curves(curves) => curves::draw(svg, frame, curves),
            Picture::Spreads(spreads) => spreads::draw(svg, frame, spreads),
        }
    }
}

impl Sheet {
    pub fn svg(&self) -> String {
        let columns = self.panels.len().clamp(1, 2);
        let width = (WIDTH - 2.0 * MARGIN - GAP * (columns - 1) as f64) / columns as f64;
        let rows: Vec<(&[Panel], f64)> = self.panels.chunks(columns).map(|row| (row, row_height(row))).collect();
        let height = MARGIN + HEAD + rows.iter().map(|(_, height)| height + GAP).sum::<f64>();
        let mut svg = Svg::new(WIDTH, height, &self.title, &self.caption);
        svg.text(MARGIN, MARGIN + 18.0, "title", Anchor::Start, &self.title);
        svg.text(MARGIN, MARGIN + 40.0, "faint", Anchor::Start, &self.caption);
        let mut y = MARGIN + HEAD;
        for (row, height) in rows {
            for (panel, column) in row.iter().zip(0u8..) {
                let x = MARGIN + f64::from(column) * (width + GAP);
                panel.draw(&mut svg, Frame { x, y, width, height });
            }
            y += height + GAP;
        }
        svg.finish()
    }
}

fn row_height(row: &[Panel]) -> f64 {
    row.iter().map(|panel| PANEL_HEAD + panel.picture.height()).fold(0.0, f64::max)
}

impl Panel {
    fn draw(&self, svg: &mut Svg, frame: Frame) {
        svg.text(frame.x, frame.y + 14.0, "heading", Anchor::Start, &self.title);
        svg.text(frame.x, frame.y + 32.0, "faint", Anchor::Start, &self.caption);
        let inner = Frame { y: frame.y + PANEL_HEAD, height: frame.height - PANEL_HEAD, ..frame };
        self.picture.draw(svg, inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let bar =
            |name: &str, role, value| Bar { name: name.into(), role, value, low: value, high: value, note: "".into() };
        let bars = vec![bar("egret", Role::Egret, 10.0), bar("a<b&c", Role::Peer(0), 20.0)];
        let curve = Curve { name: "egret".into(), role: Role::Egret, points: vec![(1.0, 3.0), (10.0, 2.0)] };
        let curves = Curves { x_title: "at a time".into(), curves: vec![curve] };
        let spread = Spread { name: "egret".into(), role: Role::Egret, p50: 10.0, p99: 90.0, p999: 2000.0 };
        let pictures = [Picture::Bars(bars), Picture::Curves(curves), Picture::Spreads(vec![spread])];
        let panel = |picture| Panel { title: "Work".into(), caption: "µs".into(), picture };
        Sheet { title: "Title".into(), caption: "Caption".into(), panels: pictures.map(panel).into() }
    }

    #[test]
    fn what_is_drawn_is_xml_without_anything_from_elsewhere() {
        let svg = sheet().svg();
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.ends_with("</svg>\n"), "{svg}");
        assert!(svg.contains("a&lt;b&amp;c") && !svg.contains("a<b"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("href"), "{svg}");
        let opened = svg.matches('<').count() - svg.matches("</").count();
        let closed = svg.matches("</").count() + svg.matches("/>").count();
        assert_eq!(opened, closed, "{svg}");
    }

    #[test]
    fn both_colour_schemes_are_served() {
        assert!(sheet().svg().contains("@media (prefers-color-scheme: dark)"));
    }

    /// Bars are in proportion to what they show.
    #[test]
    fn a_bar_of_twice_the_value_is_twice_as_long() {
        let svg = sheet().svg();
        let widths: Vec<f64> = svg
            .split("class=\"bar ")
            .skip(1)
            .map(|rest| rest.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        let [egret, other] = widths[..] else { panic!("{widths:?}") };
        assert!((other / egret - 2.0).abs() < 0.01, "{widths:?}");
    }
}
