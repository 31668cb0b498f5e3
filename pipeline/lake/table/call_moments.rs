use callweave_core::moment::Moment;
use callweave_core::time::Date;

use super::{Row, TableName, count};
use crate::lake::column::{Column, Erase};

impl Row for Moment {
    const TABLE: TableName = TableName::CallMoments;

    fn date(&self) -> Date {
        self.at.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant.", |r| Some(&r.account)).stats(),
            Column::<Self>::time("at", "When it happened, by the event that told it.", |r| Some(r.at)).stats(),
            Column::<Self>::text("moment_id", "The moment: the id of its message and of its webhook.", |r| {
                Some(&r.moment_id)
            })
            .unique(),
            Column::<Self>::text("moment", "call.started, call.ended, deal.changed and so on.", |r| {
                Some(r.kind.name())
            }),
            Column::<Self>::text("call_id", "The call it is of.", |r| {
                r.call_id.as_deref().or_else(|| r.call.as_ref().map(|call| &*call.call_id))
            })
            .unique()
            .erase(Erase::Call),
            Column::<Self>::text("deal_id", "The deal it is of.", |r| r.deal_id.as_deref()).unique(),
            Column::<Self>::text("pool", "The pool it is of.", |r| r.pool.as_deref()),
            Column::<Self>::int("call_revision", "The latest revision of the call's row by then.", |r| {
                r.call.as_ref().and_then(|call| count(call.revision))
            }),
        ]
    }
}
