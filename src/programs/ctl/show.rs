//! `show`: rows and under them the rows that they refer to.

use super::{Context, Given, Needs, Stop};
use ovsdb::Uuid;
use ovsdb::data::{Atom, Datum, text};

/// A table in an overview: what its rows are called by, which columns are shown.
pub struct Shown {
    pub table: &'static str,
    pub name: Option<&'static str>,
    pub columns: &'static [&'static str],
}

pub(super) fn needs(needs: &mut Needs<'_>, _: &Given) -> Result<(), String> {
    for shown in needs.tool.show {
        let name: Vec<&str> = shown.name.into_iter().chain(shown.columns.iter().copied()).collect();
        needs.named(shown.table, &name);
    }
    Ok(())
}

pub(super) fn run(context: &mut Context<'_>, _: &Given) -> Result<(), Stop> {
    let Some(first) = context.tool.show.first() else { return Ok(()) };
    let table = context.state.table(first.table)?;
    let roots: Vec<Uuid> = context.state.sorted_rows(table).iter().map(|row| row.uuid).collect();
    let mut text = String::new();
    let mut above = Vec::new();
    for root in roots {
        row(context, table, root, 0, &mut above, &mut text);
    }
    context.out.push_str(&text);
    Ok(())
}

fn row(context: &Context<'_>, table: usize, uuid: Uuid, depth: usize, above: &mut Vec<usize>, out: &mut String) {
    let state = &context.state;
    let schema = state.table_schema(table);
    let Some(row) = state.get(table, uuid) else { return };
    let shown = context.tool.show.iter().find(|shown| *schema.name == *shown.table);
    out.extend(std::iter::repeat_n(' ', depth * 4));
    match shown.and_then(|s| s.name).map(|name| state.datum(table, row, name)) {
        Some(name) => out.push_str(&format!("{} {}\n", schema.name, text::datum(&name, false))),
        None => out.push_str(&format!("{uuid}\n")),
    }
    let Some(shown) = shown.filter(|_| !above.contains(&table)) else { return };
    above.push(table);
    for name in shown.columns {
        let Some(column) = schema.column(name) else { continue };
        let (datum, ty) = (&row.columns[column], &schema.columns[column].ty);
        let target = ty.key.reference.as_ref().and_then(|r| state.schema().table(&r.table));
        if let Some(target) = target
            && context.tool.show.iter().any(|s| *s.table == *state.table_schema(target).name)
        {
            for uuid in datum.keys().filter_map(Atom::uuid) {
                self::row(context, target, uuid, depth + 1, above, out);
            }
            continue;
        }
        if ty.is_default(datum) {
            continue;
        }
        let named = ty.value.as_ref().and_then(|value| value.reference.as_ref());
        let named = named.and_then(|r| state.schema().table(&r.table)).and_then(|to| {
            let shown = context.tool.show.iter().find(|s| *s.table == *state.table_schema(to).name)?;
            Some((to, shown.name?))
        });
        if let Some((to, by)) = named {
            // a map to rows that have names
            out.extend(std::iter::repeat_n(' ', (depth + 1) * 4));
            out.push_str(&format!("{name}:\n"));
            for (key, value) in datum.pairs() {
                let row = value.uuid().and_then(|uuid| state.get(to, uuid));
                let value = row.map_or(Datum::One(value.clone()), |row| state.datum(to, row, by));
                out.extend(std::iter::repeat_n(' ', (depth + 2) * 4));
                out.push_str(&format!("{}={}\n", text::atom(key), text::datum(&value, false)));
            }
            continue;
        }
        out.extend(std::iter::repeat_n(' ', (depth + 1) * 4));
        out.push_str(&format!("{name}: {}\n", text::datum_as(datum, ty)));
    }
    above.pop();
}
