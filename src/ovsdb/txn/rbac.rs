//! Role-based access control, ovsdb-server(7), 3.2 and 4.1.3: what a client's role lets it change.

use super::{Context, Txn};
use crate::data::{Atom, Datum};
use crate::error::Error;
use crate::table::Row;
use crate::uuid::Uuid;
use std::sync::Arc;

impl Txn<'_> {
    /// The permission row for a table, when roles matter. `Err` when the role has none.
    fn permission(&self, table: usize, context: &Context<'_>) -> Option<Result<(usize, Arc<Row>), ()>> {
        let role = context.role.filter(|role| !role.is_empty())?;
        let roles = self.db.schema.table("RBAC_Role")?;
        let schema = &self.db.tables[roles].schema;
        let (name, permissions) = (schema.column("name")?, schema.column("permissions")?);
        let link = self.db.tables[roles].links.iter().find(|link| link.column == permissions)?;
        let of_table = Atom::String(self.db.tables[table].schema.name.clone());
        let role = self.db.tables[roles].rows().find(|row| row.columns[name].string() == Some(role));
        let uuid = role.and_then(|row| row.columns[permissions].value(&of_table)).and_then(Atom::uuid);
        let row = uuid.and_then(|uuid: Uuid| self.db.row(link.table, uuid));
        Some(row.map(|row| (link.table, row.clone())).ok_or(()))
    }

    fn permission_column<'r>(&self, table: usize, row: &'r Row, name: &str) -> &'r Datum {
        self.db.tables[table].schema.column(name).map_or(&Datum::Empty, |column| &row.columns[column])
    }

    /// Whether the client is one that the row authorizes: its name is in a column, or is a map's value for a key.
    fn authorized(&self, table: usize, row: &Row, permissions: usize, permission: &Row, context: &Context<'_>) -> bool {
        let Some(id) = context.id else { return false };
        let id = Atom::String(Arc::from(id));
        let schema = &self.db.tables[table].schema;
        self.permission_column(permissions, permission, "authorization").atoms().any(|entry| {
            let Atom::String(entry) = entry else { return false };
            if entry.is_empty() {
                return true;
            }
            match entry.split_once(':') {
                Some((column, key)) => schema
                    .column(column)
                    .is_some_and(|column| row.columns[column].value(&Atom::String(Arc::from(key))) == Some(&id)),
                None => schema.column(entry).is_some_and(|column| row.columns[column].contains_key(&id)),
            }
        })
    }

    fn prohibited(&self, table: usize, context: &Context<'_>, what: &str) -> Error {
        let (id, role) = (context.id.unwrap_or_default(), context.role.unwrap_or_default());
        let table = &self.db.tables[table].schema.name;
        let text = format!("RBAC rules for client \"{id}\" role \"{role}\" prohibit {what} table \"{table}\".");
        Error::new("permission error", text)
    }

    fn permit(&self, table: usize, row: &Row, context: &Context<'_>, what: &str) -> Result<(), Error> {
        let allowed = match self.permission(table, context) {
            None => true,
            Some(Err(())) => false,
            Some(Ok((permissions, permission))) => {
                let insert_delete = self.permission_column(permissions, &permission, "insert_delete");
                *insert_delete == Datum::One(Atom::Boolean(true))
                    && self.authorized(table, row, permissions, &permission, context)
            }
        };
        if allowed { Ok(()) } else { Err(self.prohibited(table, context, what)) }
    }

    pub(super) fn permit_insert(&self, table: usize, row: &Row, context: &Context<'_>) -> Result<(), Error> {
        self.permit(table, row, context, "row insertion into")
    }

    pub(super) fn permit_delete(&self, table: usize, row: &Row, context: &Context<'_>) -> Result<(), Error> {
        self.permit(table, row, context, "row deletion from")
    }

    /// Whether these columns of a row may be changed.
    pub(super) fn permit_change(
        &self,
        table: usize,
        row: &Row,
        columns: &[usize],
        context: &Context<'_>,
        what: &str,
    ) -> Result<(), Error> {
        let allowed = match self.permission(table, context) {
            None => true,
            Some(Err(())) => false,
            Some(Ok((permissions, permission))) => {
                let update = self.permission_column(permissions, &permission, "update");
                let names = &self.db.tables[table].schema.columns;
                columns.iter().all(|&c| {
                    let name = &names[c].name;
                    // a map's keys may be named one by one; any of them opens the column
                    update.contains_key(&Atom::String(name.clone()))
                }) && self.authorized(table, row, permissions, &permission, context)
            }
        };
        if allowed { Ok(()) } else { Err(self.prohibited(table, context, what)) }
    }
}
