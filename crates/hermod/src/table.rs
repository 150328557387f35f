//! Tables for a terminal.

use comfy_table::{Table, presets};

/// A table with a header line, without borders.
pub fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.into_iter().collect::<Vec<_>>());
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table
}
