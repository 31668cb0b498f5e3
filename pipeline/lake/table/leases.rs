use callweave_core::row::LeaseRow;
use callweave_core::time::Date;

use super::{Row, TableName, count};
use crate::lake::batch::show_phone;
use crate::lake::column::{Column, Erase};

impl Row for LeaseRow {
    const TABLE: TableName = TableName::Leases;

    fn date(&self) -> Date {
        self.granted_at.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.account)).stats(),
            Column::<Self>::time("granted_at", "When the lease began.", |r| Some(r.granted_at)).stats(),
            Column::<Self>::text("lease_id", "The lease.", |r| Some(&r.lease_id)).unique(),
            Column::<Self>::int("revision", "The highest of an account's lease_id counts.", |r| count(r.revision))
                .stats(),
            Column::<Self>::text("pool", "The pool the number belongs to.", |r| Some(&r.pool)),
            Column::<Self>::show("number", "The tracking number, E.164.", |r, to| {
                show_phone(r.number, to);
                true
            }),
            Column::<Self>::text("extension", "The digits a caller dials after the number.", |r| {
                r.extension.as_deref()
            }),
            Column::<Self>::text("visitor_id", "The browser, by first-party cookie.", |r| Some(&r.visitor_id))
                .unique()
                .erase(Erase::Visitor),
            Column::<Self>::text("session_id", "The visit the number is held for.", |r| r.session_id.as_deref())
                .unique()
                .erase(Erase::Session),
            Column::<Self>::time("expires_at", "The latest end that was told.", |r| Some(r.expires_at)),
            Column::<Self>::time("released_at", "When it was given back.", |r| r.released_at),
            Column::<Self>::int("renewals", "How often it was held for longer.", |r| count(r.renewals)),
        ]
    }
}
