//! Markdown tables that are as easy to read as they stand.

/// Columns of figures are aligned on the right, those of words on the left.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Table {
        Table { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    pub fn push(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    pub fn markdown(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| width(column).max(3)).collect();
        let figures: Vec<bool> = (0..columns).map(|column| self.has_figures(column)).collect();
        let columns: Vec<Column> =
            widths.into_iter().zip(figures).map(|(width, figures)| Column { width, figures }).collect();
        let mut out = String::new();
        for (row, number) in self.rows.iter().zip(0..) {
            out.push_str(&line(row, &columns));
            if number == 0 {
                out.push_str(&rule(&columns));
            }
        }
        out
    }

    /// Or nothing but dashes for what has none.
    fn has_figures(&self, column: usize) -> bool {
        let is_figure =
            |text: &str| text.trim_matches('*').starts_with(|c: char| c.is_ascii_digit() || c == '–' || c == '-');
        column > 0 && self.rows.iter().skip(1).all(|row| cell(row, column).is_empty() || is_figure(cell(row, column)))
    }
}

struct Column {
    width: usize,
    figures: bool,
}

fn cell(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

fn line(row: &[String], columns: &[Column]) -> String {
    let cells = columns.iter().enumerate().map(|(at, &Column { width, figures })| match figures {
        true => format!("{:>width$}", cell(row, at)),
        false => format!("{:<width$}", cell(row, at)),
    });
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn rule(columns: &[Column]) -> String {
    let dashes = columns.iter().map(|&Column { width, figures }| match figures {
        true => "-".repeat(width + 1) + ":",
        false => "-".repeat(width + 2),
    });
    format!("|{}|\n", dashes.collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_below_each_other_and_words_begin_together() {
        let mut table = Table::new(["proxy", "CPU µs", "peers"]);
        table.push(["egret".into(), "**27**".into(), "squid 3".into()]);
        table.push(["a".into(), "–".into(), String::new()]);
        let expected = "\
| proxy | CPU µs | peers   |
|-------|-------:|---------|
| egret | **27** | squid 3 |
| a     |      – |         |
";
        assert_eq!(table.markdown(), expected);
    }
}
