//! Tables of text: columns as wide as they need to be, numbers to the right.

use std::fmt::Write as _;

/// A column's name; those of numbers are aligned to the right.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    Text(&'static str),
    Number(&'static str),
}

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Column::Text(name) | Column::Number(name) => name,
        }
    }
}

/// Rows under a title. The last column of text is not padded.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(title: impl Into<String>, columns: &[Column]) -> Table {
        Table { title: title.into(), columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// How wide each column is.
    pub(super) fn widths(&self) -> Vec<usize> {
        let cell = |i: usize| self.rows.iter().filter_map(move |r| r.get(i)).map(|c| c.chars().count());
        self.columns.iter().enumerate().map(|(i, c)| cell(i).chain([c.name().len()]).max().unwrap_or(0)).collect()
    }

    pub(super) fn text(&self) -> String {
        let widths = self.widths();
        let mut out = format!("{}\n", self.title);
        let heads = self.columns.iter().map(|c| c.name().to_owned()).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::from(" ");
            for ((cell, column), width) in row.iter().zip(&self.columns).zip(&widths) {
                let _ = match column {
                    Column::Text(_) => write!(line, " {cell:<width$}"),
                    Column::Number(_) => write!(line, " {cell:>width$}"),
                };
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// A rate as people read it: 999, 1.50k, 12.3M.
pub(super) fn short(n: u64) -> String {
    let units = ["", "k", "M", "G", "T", "P", "E"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let unit_name = units.get(unit).unwrap_or(&"");
    match value {
        _ if unit == 0 => n.to_string(),
        v if v < 9.995 => format!("{v:.2}{unit_name}"),
        v if v < 99.95 => format!("{v:.1}{unit_name}"),
        v => format!("{v:.0}{unit_name}"),
    }
}

/// A span of time: 7.3s, 12m05s, 3h02m, 5d03h.
pub(super) fn span(nanos: u64) -> String {
    let s = nanos / 1_000_000_000;
    match s {
        0..60 => format!("{}.{}s", s, nanos / 100_000_000 % 10),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00k"),
            (9994, "9.99k"),
            (9996, "10.0k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (14_880_952, "14.9M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(short(n), text);
        }
        let second = 1_000_000_000;
        assert_eq!(
            [second / 2, 65 * second, 7265 * second, 200_000 * second].map(span),
            ["0.5s", "1m05s", "2h01m", "2d07h"]
        );
    }

    #[test]
    fn columns_line_up() {
        let mut t = Table::new("ports", &[Column::Text("name"), Column::Number("n"), Column::Text("what")]);
        t.row(["p1".into(), "1234".into(), "x".into()]);
        t.row(["longer".into(), "5".into(), "y".into()]);
        assert_eq!(t.text(), "ports\n  name      n what\n  p1     1234 x\n  longer    5 y\n");
    }
}
