//! Kinds of call (contract, section 4, "Kinds of call", and the small print).

use serde_json::{Value, json};

use super::Row;
use super::call::Call;

/// One row for each call, in the order given.
pub fn kinds(calls: &[Call]) -> Vec<Row> {
    calls.iter().map(|call| kind(call, calls)).collect()
}

fn counts(call: &Call) -> bool {
    !call.is_outbound()
}

fn is_anonymous(call: &Call) -> bool {
    call.caller() == "anonymous"
}

fn is_qualified(call: &Call) -> bool {
    call.outcome() == Some("answered") && call.talk_seconds() >= call.settings.target_seconds()
}

/// The caller's earlier calls, by start and then by `call_id`.
pub fn earlier<'c, 'a>(call: &Call, calls: &'c [Call<'a>]) -> Vec<&'c Call<'a>> {
    let place = |call: &Call| (call.start, call.id.to_owned());
    let mut earlier: Vec<&Call> = calls
        .iter()
        .filter(|other| counts(other) && other.caller() == call.caller() && place(other) < place(call))
        .collect();
    earlier.sort_by_key(|call| place(call));
    earlier
}

/// Inside a sales cycle that an earlier target call opened.
fn is_in_cycle(call: &Call, calls: &[Call]) -> bool {
    let mut targets: Vec<&Call> = Vec::new();
    let inside = |call: &Call, targets: &[&Call]| {
        targets.iter().any(|target| call.start < target.start + target.settings.sales_cycle())
    };
    for other in earlier(call, calls) {
        if is_qualified(other) && !inside(other, &targets) {
            targets.push(other);
        }
    }
    inside(call, &targets)
}

fn kind(call: &Call, calls: &[Call]) -> Row {
    if !counts(call) {
        return row(Value::Null, false, false, false, false);
    }
    if is_anonymous(call) {
        return row(Value::Null, false, is_qualified(call), false, false);
    }
    let earlier = earlier(call, calls);
    let (qualified, in_cycle) = (is_qualified(call), is_in_cycle(call, calls));
    row(
        json!(earlier.len() + 1),
        earlier.is_empty(),
        qualified && !in_cycle,
        qualified && in_cycle,
        qualified && !earlier.iter().any(|other| is_qualified(other)),
    )
}

fn row(caller_calls: Value, unique: bool, target: bool, repeated: bool, first_target: bool) -> Row {
    Row::from([
        ("caller_calls", caller_calls),
        ("is_unique", json!(unique)),
        ("is_target", json!(target)),
        ("is_repeated", json!(repeated)),
        ("is_first_target", json!(first_target)),
        ("is_unique_target", json!(unique && target)),
    ])
}
