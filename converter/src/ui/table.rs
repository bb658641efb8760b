//! Plain text tables.

use std::fmt;

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table with a header and columns as wide as their widest cell, printed by `Display`:
///
/// ```text
/// layer      op       bytes
/// ───────────────────────────
/// stem       conv 8     288
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<(String, Align)>,
    /// `None` is a rule.
    rows: Vec<Option<Vec<String>>>,
}

impl Table {
    /// A table of these columns.
    pub fn new(header: &[(&str, Align)]) -> Table {
        let header = header.iter().map(|&(name, align)| (name.to_owned(), align)).collect();
        Table { header, rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not one cell per column.
    pub fn row<T: ToString>(&mut self, cells: &[T]) -> &mut Table {
        assert_eq!(cells.len(), self.header.len(), "one cell per column");
        self.rows.push(Some(cells.iter().map(ToString::to_string).collect()));
        self
    }

    /// Adds a horizontal rule, for a total below it.
    pub fn rule(&mut self) -> &mut Table {
        self.rows.push(None);
        self
    }
}

impl fmt::Display for Table {
    /// With a line end after every line, without spaces at the ends of lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header: Vec<String> = self.header.iter().map(|(name, _)| name.clone()).collect();
        let mut widths = vec![0; header.len()];
        for cells in self.rows.iter().flatten().chain([&header]) {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let full = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let line = |cells: &[String]| {
            let mut line = String::new();
            for ((cell, width), (_, align)) in cells.iter().zip(&widths).zip(&self.header) {
                let space = " ".repeat(width - cell.chars().count());
                match align {
                    Align::Left => line.extend([cell, &space, "  "]),
                    Align::Right => line.extend([&space, cell.as_str(), "  "]),
                }
            }
            line.trim_end().to_owned()
        };
        if header.iter().any(|name| !name.is_empty()) {
            writeln!(f, "{}", line(&header))?;
            writeln!(f, "{}", "─".repeat(full))?;
        }
        for row in &self.rows {
            match row {
                Some(cells) => writeln!(f, "{}", line(cells))?,
                None => writeln!(f, "{}", "─".repeat(full))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("layer", Align::Left), ("bytes", Align::Right)]);
        table.row(&["stem", "288"]).row(&["größer", "12,345"]).rule().row(&["", "12,633"]);
        let want = "\
layer    bytes
──────────────
stem       288
größer  12,345
──────────────
        12,633
";
        assert_eq!(table.to_string(), want);
    }

    #[test]
    fn without_header() {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Right)]);
        assert_eq!(table.row(&["a", "1"]).row(&["bc", "23"]).to_string(), "a    1\nbc  23\n");
    }

    #[test]
    #[should_panic(expected = "one cell per column")]
    fn a_row_fits() {
        Table::new(&[("a", Align::Left)]).row(&[1, 2]);
    }
}
