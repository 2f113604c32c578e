//! Tables in text.

use slipway_control::plain_line;

/// Separator between two columns.
const GAP: &str = "  ";

/// Formats rows under a header. Each column is as wide as its widest cell; lines have no trailing blanks.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let header = header.map(str::to_owned);
    // Escapes take more room, so they are made before the cells are measured.
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| plain_line(cell).into_owned()))
        .collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        std::iter::once(&header)
            .chain(&rows)
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    });
    let mut text = String::new();
    for row in std::iter::once(&header).chain(&rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_leaves_its_row() {
        let rows = [
            ["evil\nweb".to_owned(), "\u{1b}[2J".to_owned()],
            ["web".to_owned(), "b".to_owned()],
        ];
        insta::assert_snapshot!(table(["NAME", "KIND"], &rows), @r"
        NAME          KIND
        evil\u{a}web  \u{1b}[2J
        web           b
        ");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["Connected".to_owned(), "shöp".to_owned()],
            ["No".to_owned(), String::new()],
        ];
        insta::assert_snapshot!(table(["STATE", "NAME"], &rows), @r"
        STATE      NAME
        Connected  shöp
        No
        ");
    }
}
