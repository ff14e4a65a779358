//! The few elements of SVG that charts are made of, and their style sheet.

use std::fmt::Write as _;

/// Colours are of Okabe and Ito's palette, which the colour-blind tell apart, darkened or lightened until lines stand out
/// from their ground; grey is the floor's. What shapes and labels say needs no colour.
const STYLE: &str = "\
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 20px; font-weight: 600 }
.heading { font-size: 15px; font-weight: 600 }
.strong { font-weight: 700 }
.faint, .tick { fill: #59636e }
.tick { font-size: 12px }
.ground { fill: #ffffff; stroke: #d1d9e0 }
.axis { stroke: #818b98 }
.grid { stroke: #e6eaef }
.whisker { stroke: #1f2328; stroke-opacity: .55 }
.gap { stroke: #ffffff; stroke-width: 3 }
.leader { stroke: #818b98; stroke-width: 1; stroke-dasharray: 1 3 }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
.curve.egret { stroke-width: 3.5 }
.bar { stroke-width: 1 }
.egret { fill: #0072b2; stroke: #0072b2 }
.floor { fill: #ffffff; stroke: #818b98; stroke-dasharray: 4 3 }
.peer { fill: #afb8c1; stroke: #afb8c1 }
.p0 { fill: #c35200; stroke: #c35200 }
.p1 { fill: #00805d; stroke: #00805d }
.p2 { fill: #b0558a; stroke: #b0558a }
.p3 { fill: #a87500; stroke: #a87500 }
.p4 { fill: #3489bd; stroke: #3489bd }
.p5 { fill: #57606a; stroke: #57606a }
.curve.egret, .curve.floor, .curve.p0, .curve.p1, .curve.p2, .curve.p3, .curve.p4, .curve.p5 { fill: none }
.mark { stroke-width: 1.5 }
.mark.floor { stroke-dasharray: none; fill: #818b98 }
.mark.hollow { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.faint, .tick { fill: #9198a1 }
.ground { fill: #0d1117; stroke: #3d444d }
.axis { stroke: #656c76 }
.grid { stroke: #262c36 }
.whisker { stroke: #f0f6fc }
.gap { stroke: #0d1117 }
.leader { stroke: #9198a1 }
.egret { fill: #56b4e9; stroke: #56b4e9 }
.floor { fill: #0d1117; stroke: #9198a1 }
.peer { fill: #4d5661; stroke: #4d5661 }
.p0 { fill: #ff8c42; stroke: #ff8c42 }
.p1 { fill: #2fc79c; stroke: #2fc79c }
.p2 { fill: #e39cc3; stroke: #e39cc3 }
.p3 { fill: #e6b84a; stroke: #e6b84a }
.p4 { fill: #8fb8ff; stroke: #8fb8ff }
.p5 { fill: #b1bac4; stroke: #b1bac4 }
.mark.floor { fill: #9198a1 }
.mark.hollow { fill: #0d1117 }
.curve.egret, .curve.floor, .curve.p0, .curve.p1, .curve.p2, .curve.p3, .curve.p4, .curve.p5 { fill: none }
}
";

#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

pub struct Svg {
    out: String,
}

impl Svg {
    pub fn new(width: f64, height: f64, title: &str, description: &str) -> Svg {
        let mut svg = Svg { out: String::new() };
        svg.push(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\">\n<title>{}</title>\n<desc>{}</desc>\n<style>\n{STYLE}</style>",
            escaped(title),
            escaped(description)
        ));
        let (width, height) = (width - 1.0, height - 1.0);
        svg.push(format_args!(
            "<rect class=\"ground\" x=\".5\" y=\".5\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>"
        ));
        svg
    }

    pub fn text(&mut self, x: f64, y: f64, class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\"/>"
        ));
    }

    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    pub fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(format_args!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" ")));
    }

    pub fn circle(&mut self, (x, y): (f64, f64), radius: f64, class: &str) {
        self.push(format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"));
    }

    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = writeln!(self.out, "{element}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
