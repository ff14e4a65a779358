//! Markdown tables that are as easy to read as they stand.

/// The first column holds names, the others figures.
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
        let mut out = String::new();
        for (row, number) in self.rows.iter().zip(0..) {
            out.push_str(&line(row, &widths));
            if number == 0 {
                out.push_str(&rule(&widths));
            }
        }
        out
    }
}

fn cell(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = widths.iter().enumerate().map(|(column, &width)| match column {
        0 => format!("{:<width$}", cell(row, column)),
        _ => format!("{:>width$}", cell(row, column)),
    });
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn rule(widths: &[usize]) -> String {
    let dashes = widths.iter().enumerate().map(|(column, &width)| match column {
        0 => "-".repeat(width + 2),
        _ => "-".repeat(width + 1) + ":",
    });
    format!("|{}|\n", dashes.collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_below_each_other() {
        let mut table = Table::new(["proxy", "CPU µs"]);
        table.push(["egret".into(), "27".into()]);
        table.push(["a".into(), String::new()]);
        assert_eq!(
            table.markdown(),
            "| proxy | CPU µs |\n|-------|-------:|\n| egret |     27 |\n| a     |        |\n"
        );
    }
}
