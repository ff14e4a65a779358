//! Rows of a picture, one below the other, with a name before each.

use super::svg::{Anchor, Svg};
use super::{Frame, Role};

pub const ROW: f64 = 26.0;
/// From the middle of a row to where its letters stand.
pub const TO_BASE: f64 = 4.5;

pub struct Rows {
    /// Where what is shown begins, beyond the names.
    pub left: f64,
    top: f64,
}

pub fn height(rows: usize) -> f64 {
    ROW * rows as f64
}

impl Rows {
    pub fn of<'a>(frame: Frame, names: impl Iterator<Item = &'a str>) -> Rows {
        Rows { left: frame.x + names_width(names), top: frame.y }
    }

    /// Writes the name before this row, and says where the middle of the row is.
    pub fn begin(&self, svg: &mut Svg, row: u32, name: &str, role: Role) -> f64 {
        let middle = self.top + ROW * (f64::from(row) + 0.5);
        svg.text(self.left - 10.0, middle + TO_BASE, role.name_class(), Anchor::End, name);
        middle
    }
}

/// Room for names: letters are no wider than this as a rule, whatever the font.
fn names_width<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    const LETTER: f64 = 7.6;
    let longest = names.map(|name| name.chars().count()).max().unwrap_or_default();
    (longest as f64 * LETTER + 14.0).clamp(76.0, 184.0)
}
