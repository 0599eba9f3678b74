//! Tables as the programs print them, ovsdb-client(1), "Output Formatting Options".

use crate::options::{Known, Parsed, Takes, option};
use crate::setup;
use ovsdb::Json;
use ovsdb::data::{Atom, Datum, Type, text};
use std::fmt::Write;

/// Options of programs that print tables.
pub const OPTIONS: [Known; 7] = [
    option("format", 'f', Takes::Value),
    option("data", 'd', Takes::Value),
    option("no-headings", '\0', Takes::Nothing),
    option("pretty", '\0', Takes::Nothing),
    option("bare", '\0', Takes::Nothing),
    option("max-column-width", '\0', Takes::Value),
    option("timestamp", '\0', Takes::Nothing),
];

/// The form of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Table,
    List,
    Html,
    Csv,
    Json,
}

/// The form of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cells {
    #[default]
    String,
    Bare,
    Json,
}

/// How tables are printed.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub format: Format,
    pub cells: Cells,
    pub headings: bool,
    pub pretty: bool,
    pub max_width: usize,
}

impl Style {
    /// As the options say.
    pub fn new(parsed: &Parsed, default: Format) -> Result<Style, String> {
        let (mut format, mut cells, mut headings) = (default, Cells::String, true);
        let (mut pretty, mut max_width) = (false, 0);
        for (name, value) in &parsed.options {
            let value = value.as_deref().unwrap_or_default();
            match *name {
                "format" => {
                    format = match value {
                        "table" => Format::Table,
                        "list" => Format::List,
                        "html" => Format::Html,
                        "csv" => Format::Csv,
                        "json" => Format::Json,
                        other => return Err(format!("unknown output format \"{other}\"")),
                    }
                }
                "data" => {
                    cells = match value {
                        "string" => Cells::String,
                        "bare" => Cells::Bare,
                        "json" => Cells::Json,
                        other => return Err(format!("unknown data format \"{other}\"")),
                    }
                }
                "no-headings" => headings = false,
                "pretty" => pretty = true,
                "bare" => (format, cells, headings) = (Format::List, Cells::Bare, false),
                "max-column-width" => {
                    max_width = value.parse().map_err(|_| format!("bad column width \"{value}\""))?;
                }
                _ => {}
            }
        }
        Ok(Style { format, cells, headings, pretty, max_width })
    }
}

/// What a table has in a field.
#[derive(Clone, Debug)]
pub enum Cell {
    Empty,
    Text(String),
    Json(Json),
    Data(Datum, Box<Type>),
}

impl Cell {
    fn text(&self, style: &Style) -> String {
        match (self, style.cells) {
            (Cell::Empty, _) => String::new(),
            (Cell::Text(text), _) => text.clone(),
            (Cell::Json(json), _) => json.to_string(),
            (Cell::Data(datum, ty), Cells::Json) => datum.to_json_as(ty).to_string(),
            (Cell::Data(datum, ty), Cells::String) => text::datum_as(datum, ty),
            (Cell::Data(datum, _), Cells::Bare) => text::bare(datum),
        }
    }

    fn json(&self) -> Json {
        match self {
            Cell::Empty => Json::Null,
            Cell::Text(text) => Json::from(text.as_str()),
            Cell::Json(json) => json.clone(),
            Cell::Data(datum, ty) => datum.to_json_as(ty),
        }
    }
}

/// Rows under headings.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub caption: Option<String>,
    pub timestamp: Option<i64>,
    pub headings: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Table {
        Table { headings: headings.into_iter().map(str::to_owned).collect(), ..Table::default() }
    }

    /// Prints one table of several; tables after the `first` are apart from what is before.
    pub fn format(&self, style: &Style, first: &mut bool) -> String {
        let mut out = String::new();
        let apart = !std::mem::replace(first, false);
        if apart && style.format != Format::Json && style.format != Format::Html {
            out.push('\n');
        }
        if style.format != Format::Json {
            if let Some(at) = self.timestamp {
                let at = setup::date(at);
                out.push_str(&if style.format == Format::Html { format!("<p>{at}</p>\n") } else { format!("{at}\n") });
            }
            if style.format != Format::Html
                && let Some(caption) = &self.caption
            {
                out.push_str(caption);
                out.push('\n');
            }
        }
        // writing to a String cannot fail
        let _ = match style.format {
            Format::Table => self.aligned(style, &mut out),
            Format::List => self.list(style, &mut out),
            Format::Csv => self.csv(style, &mut out),
            Format::Html => self.html(style, &mut out),
            Format::Json => self.json(style, &mut out),
        };
        out
    }

    fn texts(&self, style: &Style) -> Vec<Vec<String>> {
        self.rows.iter().map(|row| row.iter().map(|cell| cell.text(style)).collect()).collect()
    }

    fn aligned(&self, style: &Style, out: &mut String) -> std::fmt::Result {
        let mut rows = self.texts(style);
        let mut widths: Vec<usize> = vec![0; self.headings.len()];
        for row in &mut rows {
            for (cell, width) in row.iter_mut().zip(&mut widths) {
                if style.max_width > 0 && cell.chars().count() > style.max_width {
                    *cell = cell.chars().take(style.max_width).collect();
                }
                *width = cell.chars().count().max(*width);
            }
        }
        if style.headings {
            widths.iter_mut().zip(&self.headings).for_each(|(w, h)| *w = (*w).max(h.chars().count()));
        }
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            for (at, (cell, width)) in cells.zip(&widths).enumerate() {
                let space = if at > 0 { " " } else { "" };
                if at + 1 == widths.len() {
                    write!(out, "{space}{cell}")?;
                } else {
                    write!(out, "{space}{cell:<width$}")?;
                }
            }
            out.write_char('\n')
        };
        if style.headings {
            line(&mut self.headings.iter().map(String::as_str))?;
            let dashes: Vec<String> = widths.iter().map(|&w| "-".repeat(w)).collect();
            line(&mut dashes.iter().map(String::as_str))?;
        }
        rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
    }

    fn list(&self, style: &Style, out: &mut String) -> std::fmt::Result {
        for (at, row) in self.texts(style).iter().enumerate() {
            if at > 0 {
                out.push('\n');
            }
            for (heading, cell) in self.headings.iter().zip(row) {
                if style.headings {
                    write!(out, "{heading:<20}: ")?;
                }
                writeln!(out, "{cell}")?;
            }
        }
        Ok(())
    }

    fn csv(&self, style: &Style, out: &mut String) -> std::fmt::Result {
        let quote = |cell: &str| match cell.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.to_owned(),
        };
        if style.headings {
            writeln!(out, "{}", self.headings.iter().map(|h| quote(h)).collect::<Vec<_>>().join(","))?;
        }
        for row in self.texts(style) {
            writeln!(out, "{}", row.iter().map(|cell| quote(cell)).collect::<Vec<_>>().join(","))?;
        }
        Ok(())
    }

    fn html(&self, style: &Style, out: &mut String) -> std::fmt::Result {
        let escape = |s: &str| s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        out.push_str("<table border=1>\n");
        if let Some(caption) = &self.caption {
            writeln!(out, "    <caption>{}</caption>", escape(caption))?;
        }
        if style.headings {
            out.push_str("  <tr>\n");
            for heading in &self.headings {
                writeln!(out, "    <th>{}</th>", escape(heading))?;
            }
            out.push_str("  </tr>\n");
        }
        for row in &self.rows {
            out.push_str("  <tr>\n");
            for (at, cell) in row.iter().enumerate() {
                // a row's name is where others lead to
                let text = match cell {
                    Cell::Data(Datum::One(Atom::Uuid(uuid)), _) if style.cells != Cells::Json => {
                        let uuid = uuid.to_string();
                        let tag = if at == 0 { "name=\"" } else { "href=\"#" };
                        format!("<a {tag}{uuid}\">{}</a>", &uuid[..8])
                    }
                    other => escape(&other.text(style)),
                };
                writeln!(out, "    <td>{text}</td>")?;
            }
            out.push_str("  </tr>\n");
        }
        out.push_str("</table>\n");
        Ok(())
    }

    fn json(&self, style: &Style, out: &mut String) -> std::fmt::Result {
        let rows = self.rows.iter().map(|row| Json::Array(row.iter().map(Cell::json).collect())).collect::<Vec<_>>();
        let headings: Vec<Json> = self.headings.iter().map(|h| Json::from(h.as_str())).collect();
        let mut object = ovsdb::json::Object::new();
        if let Some(caption) = &self.caption {
            object.insert("caption".into(), Json::from(caption.as_str()));
        }
        if let Some(at) = self.timestamp {
            object.insert("time".into(), Json::from(setup::date(at)));
        }
        object.insert("data".into(), rows.into());
        object.insert("headings".into(), headings.into());
        let json = Json::Object(object);
        if style.pretty { writeln!(out, "{}", json.pretty()) } else { writeln!(out, "{json}") }
    }
}
