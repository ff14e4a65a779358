//! The scene as SVG. Paths lie under the boxes, so that they cover no text.

use std::fmt::{self, Display, Write};

use super::super::layout::wrapped;
use super::palette;
use super::scene::{Drawn, Frame, Rect, Scene};
use crate::vnet::trace::{Outcome, Trace};

/// Units that a letter takes at most, on average, at 12 pixels.
const LETTER: i32 = 7;
const BADGE: i32 = 18;
const BETWEEN: i32 = 8;
/// Request and reply keep that far from the middle.
const APART: i32 = 16;

/// What is written stays text: XML's own characters are escaped, what XML cannot hold goes.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_str(" ")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

pub(super) fn document(scene: &Scene, trace: &Trace) -> String {
    let Scene { width, height, frames, nodes, .. } = scene;
    let parts = [
        head(scene, trace),
        frames.iter().map(|frame| rect(&frame.rect, "network", 12)).collect(),
        path(scene, &scene.request, Leg::Request),
        path(scene, &scene.reply, Leg::Reply),
        frames.iter().map(caption).collect(),
        nodes.iter().map(node).collect(),
        end_mark(scene, trace),
        legend(*height, trace, scene.width),
    ];
    let body: String = parts.concat();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\">\n{body}</svg>\n"
    )
}

fn head(scene: &Scene, trace: &Trace) -> String {
    let title = format!("{} → {}  {}", trace.from, trace.to, trace.service);
    let outcome = trace.outcome.to_string();
    let room = scene.width - 2 * 24;
    let tip = |class: &str| {
        format!(
            "<marker id=\"{class}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"5\" markerHeight=\"5\" \
             orient=\"auto\"><path class=\"tip {class}\" d=\"M0 0L10 5L0 10z\"/></marker>"
        )
    };
    format!(
        "<title>{}</title>\n<desc>{}</desc>\n<style>{}</style>\n<defs>{}{}</defs>\n\
         <rect class=\"page\" width=\"{}\" height=\"{}\"/>\n{}{}",
        Escaped(&title),
        Escaped(&outcome),
        palette::css(),
        tip("request"),
        tip("reply"),
        scene.width,
        scene.height,
        text(24, 34, "title", &title, room * 3 / 4),
        told(&outcome, class_of(&trace.outcome), room),
    )
}

/// In two lines at most.
fn told(outcome: &str, class: &str, room: i32) -> String {
    let letters = usize::try_from(room / LETTER).unwrap_or(0);
    let class = format!("outcome {class}");
    let lines = wrapped(outcome, letters);
    let first = lines.first().map(String::as_str).unwrap_or_default();
    let rest = lines.iter().skip(1).map(String::as_str).collect::<Vec<_>>().join(" ");
    let second = if rest.is_empty() { String::new() } else { text(24, 75, &class, &rest, room) };
    text(24, 58, &class, first, room) + &second
}

fn class_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "pass",
        Outcome::Unknown(_) => "unsure",
        _ => "stop",
    }
}

/// A line of text that is no longer than its room; the whole of it in a tooltip where it was shortened.
fn text(x: i32, y: i32, class: &str, what: &str, room: i32) -> String {
    let letters = usize::try_from(room / LETTER).unwrap_or(0);
    let begin = format!("<text x=\"{x}\" y=\"{y}\" class=\"{class}\">");
    if what.chars().count() <= letters {
        return format!("{begin}{}</text>\n", Escaped(what));
    }
    let short: String = what.chars().take(letters.saturating_sub(1)).collect();
    format!("{begin}{}…<title>{}</title></text>\n", Escaped(&short), Escaped(what))
}

fn rect(rect: &Rect, class: &str, radius: i32) -> String {
    let Rect { x, y, w, h } = rect;
    format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"{radius}\"/>\n")
}

/// The name of a network, on ground that covers what passes behind it.
fn caption(frame: &Frame) -> String {
    let Frame { rect: at, name, detail } = frame;
    let (left, y, room) = (at.x + 22, at.y + at.h - 33, at.w - 44);
    let width = wide(name, LETTER + 1).max(wide(detail, LETTER)).min(room);
    let ground = Rect { x: left - 4, y: y - 14, w: width + 8, h: 38 };
    [
        rect(&ground, "caption", 4),
        text(left, y, "name", name, room * LETTER / (LETTER + 1)),
        text(left, y + 18, "faint", detail, room),
    ]
    .concat()
}

/// How wide a text is at most.
fn wide(text: &str, letter: i32) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX).saturating_mul(letter)
}

fn node(node: &Drawn) -> String {
    let Drawn { rect: at, name, lines, badges, .. } = node;
    let mut drawn = rect(at, "node", 8);
    let room = at.w - 24;
    drawn.push_str(&text(at.x + 12, at.y + 24, "name", name, room * LETTER / (LETTER + 1)));
    for (line, number) in lines.iter().filter(|line| !line.is_empty()).zip(0..) {
        drawn.push_str(&text(at.x + 12, at.y + 43 + number * 17, "faint", line, room));
    }
    let mut x = at.x + 12;
    for (badge, w) in badges.iter().zip(shared(room, badges)) {
        let place = Rect { x, y: at.y + at.h - BADGE - 8, w, h: BADGE };
        drawn.push_str(&rect(&place, "badge", 5));
        drawn.push_str(&text(x + 6, place.y + 13, "on-badge", badge, w - 12));
        x += w + BETWEEN;
    }
    drawn
}

/// As wide as each badge needs; where they do not fit side by side, what one does not need is for the other.
fn shared(room: i32, badges: &[String]) -> Vec<i32> {
    let needed: Vec<i32> = badges.iter().map(|badge| wide(badge, LETTER) + 12).collect();
    let half = (room - BETWEEN) / 2;
    let spare: i32 = needed.iter().map(|it| (half - it).max(0)).sum();
    needed.into_iter().map(|it| it.min(if badges.len() < 2 { room } else { half + spare })).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leg {
    Request,
    Reply,
}

impl Leg {
    fn class(self) -> &'static str {
        match self {
            Leg::Request => "request",
            Leg::Reply => "reply",
        }
    }

    fn aside(self) -> i32 {
        match self {
            Leg::Request => -APART,
            Leg::Reply => APART,
        }
    }
}

fn path(scene: &Scene, way: &[usize], leg: Leg) -> String {
    let pairs = way.windows(2).map(|pair| (&scene.nodes[pair[0]].rect, &scene.nodes[pair[1]].rect));
    let curves = pairs.map(|(from, to)| {
        let (class, curve) = (leg.class(), curve(from, to, leg.aside(), scene.lane));
        format!("<path class=\"path {class}\" marker-end=\"url(#{class})\" d=\"{curve}\"/>\n")
    });
    curves.collect()
}

/// Between boxes that are farther apart than that stand others.
const ONE_ROW: i32 = 90;
/// A curve that goes farther aside is hard to follow.
const ASIDE: i32 = 80;
/// Beside and below boxes, where nothing stands.
const GUTTER: i32 = 12;

/// From edge to edge: up and down between rows, from side to side within one. What has other boxes between it goes
/// round them.
fn curve(from: &Rect, to: &Rect, aside: i32, lane: i32) -> String {
    let middle = |rect: &Rect| (rect.x + rect.w / 2 + aside, rect.y + rect.h / 2 + aside);
    let ((fx, fy), (tx, ty)) = (middle(from), middle(to));
    if from.y + from.h <= to.y {
        return down(from, to, (fx, tx), aside, lane);
    }
    if to.y + to.h <= from.y {
        return up(from, to, (fx, tx), aside, lane);
    }
    if (to.x - from.x - from.w).max(from.x - to.x - to.w) > from.w {
        return over(from, to, aside);
    }
    let (begin, end) = if from.x < to.x { (from.x + from.w, to.x) } else { (from.x, to.x + to.w) };
    format!("M{begin} {fy}L{end} {ty}")
}

/// Over the boxes between two of one row, beside what goes up and down there. One leg is within the other, so that they
/// do not cross.
fn over(from: &Rect, to: &Rect, aside: i32) -> String {
    let side = |rect: &Rect, inwards: i32| rect.x + rect.w / 2 + inwards * (rect.w / 4 + aside);
    let inwards = if from.x < to.x { 1 } else { -1 };
    let y = from.y.min(to.y) - GUTTER + aside / 3;
    format!("M{} {}V{y}H{}V{}", side(from, inwards), from.y, side(to, -inwards), to.y)
}

fn down(from: &Rect, to: &Rect, (fx, tx): (i32, i32), aside: i32, lane: i32) -> String {
    let (fy, ty) = (from.y + from.h, to.y);
    let turn = turn(fy, lane, if from.x < to.x { -aside } else { aside });
    if ty - fy <= ONE_ROW {
        return next_row((fx, fy), (tx, ty), if fy < lane && lane < ty { turn } else { (fy + ty) / 2 });
    }
    if ty - turn <= ONE_ROW {
        return format!("M{fx} {fy}V{turn}H{tx}V{ty}");
    }
    let (side, x) = (to.y + to.h / 2 + aside, to.x + to.w + GUTTER + aside / 3);
    format!("M{fx} {fy}V{turn}H{x}V{side}H{}", to.x + to.w)
}

/// A curve where there is little to go aside, else straight with a turn at that height.
fn next_row((fx, fy): (i32, i32), (tx, ty): (i32, i32), turn: i32) -> String {
    if (fx - tx).abs() > ASIDE {
        return format!("M{fx} {fy}V{turn}H{tx}V{ty}");
    }
    let middle = (fy + ty) / 2;
    format!("M{fx} {fy}C{fx} {middle},{tx} {middle},{tx} {ty}")
}

fn up(from: &Rect, to: &Rect, (fx, tx): (i32, i32), aside: i32, lane: i32) -> String {
    let (fy, ty) = (from.y, to.y + to.h);
    let turn = turn(ty, lane, if to.x < from.x { -aside } else { aside });
    if fy - ty <= ONE_ROW {
        return next_row((fx, fy), (tx, ty), if ty < lane && lane < fy { turn } else { (fy + ty) / 2 });
    }
    if fy - turn <= ONE_ROW {
        return format!("M{fx} {fy}V{turn}H{tx}V{ty}");
    }
    let (side, x) = (from.y + from.h / 2 + aside, from.x + from.w + GUTTER + aside / 3);
    format!("M{} {side}H{x}V{turn}H{tx}V{ty}", from.x + from.w)
}

/// Where a path turns below a box with this lower edge: in the lane where it is above that.
fn turn(edge: i32, lane: i32, aside: i32) -> i32 {
    if edge < lane { lane + aside / 2 } else { edge + GUTTER + 4 + aside / 3 }
}

/// At the box where it ends: a tick, a cross or a question mark.
fn end_mark(scene: &Scene, trace: &Trace) -> String {
    let (sign, class) = match &trace.outcome {
        Outcome::Delivered => ("✓", "pass"),
        Outcome::Unknown(_) => ("?", "unsure"),
        _ => ("✗", "stop"),
    };
    let way = if scene.reply.is_empty() { &scene.request } else { &scene.reply };
    let Some(at) = way.last().map(|at| &scene.nodes[*at].rect) else { return String::new() };
    let (x, y) = (at.x + at.w - 4, at.y + 4);
    format!(
        "<circle class=\"mark {class}\" cx=\"{x}\" cy=\"{y}\" r=\"12\"/>\n\
         <text x=\"{x}\" y=\"{}\" class=\"sign\" text-anchor=\"middle\">{sign}</text>\n",
        y + 4
    )
}

/// What the strokes are; of an asymmetric route with the two addresses.
fn legend(height: i32, trace: &Trace, width: i32) -> String {
    let (to, from) = match &trace.outcome {
        Outcome::Asymmetric(it) if !it.is_by_one_address() => {
            (format!(", sent to {}", it.came_to), format!(", would leave by {}", it.leaves_by))
        }
        _ => (String::new(), String::new()),
    };
    let sample = |y: i32, leg: Leg, more: &str| {
        let class = leg.class();
        let line = format!("<path class=\"path {class}\" marker-end=\"url(#{class})\" d=\"M24 {}H74\"/>\n", y - 4);
        line + &text(86, y, "legend", &format!("{class}{more}"), width - 86 - 24)
    };
    sample(height - 42, Leg::Request, &to) + &sample(height - 18, Leg::Reply, &from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text() {
        let drawn = text(1, 2, "name", "</text><script>\"&'\u{0}\u{1b}", 400);
        assert!(drawn.contains("&lt;/text&gt;&lt;script&gt;&quot;&amp;&apos;  "), "{drawn}");
    }

    #[test]
    fn badges_share_their_room() {
        let shared = |badges: &[&str]| shared(240, &badges.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(shared(&["NSG ase-nsg", "UDR ase-routes"]), [89, 110], "as they need");
        assert_eq!(shared(&["NSG a", "UDR a-rather-long-route-table-name"]), [47, 185], "what is left");
        assert_eq!(shared(&["NSG with-a-rather-long-name", "UDR with-a-rather-long-name"]), [116, 116]);
        assert_eq!(shared(&["UDR with-a-name-that-no-box-is-wide-enough-for"]), [240]);
    }

    #[test]
    fn request_and_reply_do_not_cross() {
        let at = |x, y| Rect { x, y, w: 200, h: 60 };
        let (left, right, far) = (at(0, 400), at(600, 400), at(300, 0));
        let both = |from: &Rect, to: &Rect| [curve(from, to, -APART, 330), curve(to, from, APART, 330)];
        assert_eq!(both(&left, &right), ["M134 400V383H666V400", "M634 400V393H166V400"], "one within the other");
        assert_eq!(both(&right, &left), ["M666 400V383H134V400", "M166 400V393H634V400"]);
        assert_eq!(both(&left, &far), ["M84 400V322H384V60", "M416 60V338H116V400"], "the left one turns first");
        assert_eq!(both(&right, &far), ["M684 400V338H384V60", "M416 60V322H716V400"]);
    }

    #[test]
    fn what_is_too_long_is_shortened_and_told_whole() {
        let drawn = text(1, 2, "name", "a-rather-long-name", 70);
        assert!(drawn.contains(">a-rather-…<title>a-rather-long-name</title>"), "{drawn}");
    }
}
