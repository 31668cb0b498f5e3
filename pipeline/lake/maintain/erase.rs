//! A person is forgotten: their rows stay, so that counts do, but say no more who they were.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use callweave_core::join::ERASED;
use callweave_core::phone::{ANONYMOUS, Phone};
use callweave_core::source::without_query;
use callweave_core::time::Time;
use deltalake_core::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use deltalake_core::arrow::compute::nullif;
use deltalake_core::arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use deltalake_core::arrow::error::ArrowError;
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::table::state::DeltaTableState;
use hmac::{Hmac, Mac};
use memchr::memmem;
use sha2::{Digest, Sha256};

use super::MaintainError;
use super::rewrite::{Change, files};
use crate::lake::Lake;
use crate::lake::batch::show_phone;
use crate::lake::column::Erase;
use crate::lake::delta::Table;
use crate::lake::table::{Definition, TableName};

/// Whom an `erase` event names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub account: String,
    pub visitor_id: Option<String>,
    pub phone: Option<Phone>,
    /// What the visitor is called from now on. Of each erasure another, by its own event.
    pub name: String,
    /// Calls that are theirs, though no row says so.
    pub calls: Vec<String>,
    /// Rows of what happened until then are theirs.
    pub until: Time,
    /// What was received until then and could not be used is theirs where it names them, whenever it happened.
    pub rejected_until: Time,
}

/// By (account, name): rows of what happened until then.
type Until = HashMap<(String, String), Time>;

/// By (account, call).
type Revisions = HashMap<(String, String), i32>;

/// What rows of people are found by.
#[derive(Debug, Default)]
struct Traces {
    visitors: Until,
    phones: Until,
    /// Of their calls everything is theirs, whenever it was told. (account, name).
    calls: HashSet<(String, String)>,
    /// What bytes are looked through for.
    needles: Vec<Needle>,
    /// What visitors are called from now on. (account, name).
    names: HashMap<(String, String), String>,
    /// What others are called who are told of in a row of theirs follows from it, and it from the erasures: the same erasures give the same
    /// names, however often they are carried out.
    secret: [u8; 32],
}

/// Somebody's name as it stands in bytes of whatever form: a visitor's in quotation marks, of a telephone the digits.
#[derive(Debug)]
struct Needle {
    account: String,
    text: memmem::Finder<'static>,
    until: Time,
}

impl Needle {
    fn new(person: &Person, text: &str) -> Needle {
        let text = memmem::Finder::new(text).into_owned();
        Needle { account: person.account.clone(), text, until: person.rejected_until.max(person.until) }
    }

    /// Digits with others behind them are another number.
    fn is_in(&self, bytes: &[u8]) -> bool {
        let ends_in_digit = self.text.needle().last().is_some_and(u8::is_ascii_digit);
        let goes_on = |at: usize| bytes.get(at + self.text.needle().len()).is_some_and(u8::is_ascii_digit);
        self.text.find_iter(bytes).any(|at| !(ends_in_digit && goes_on(at)))
    }
}

/// A visitor's name in quotation marks, in the spellings that JSON is written in: as it is, and with all that is not ASCII escaped (RFC 8259,
/// section 7), in small and in capital letters.
fn spellings(visitor: &str) -> Vec<String> {
    let plain = serde_json::json!(visitor).to_string();
    let escaped = |capital: bool| {
        let mut text = String::new();
        for letter in plain.chars() {
            if letter.is_ascii() {
                text.push(letter);
                continue;
            }
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = if capital { write!(text, "\\u{unit:04X}") } else { write!(text, "\\u{unit:04x}") };
            }
        }
        text
    };
    let mut all = vec![escaped(false), escaped(true), plain];
    all.dedup();
    all
}

impl Traces {
    /// What a visitor is called from now on, in all tables: so their visits stay apart from others'.
    fn nobody(&self, account: &str, visitor: &str) -> String {
        if let Some(name) = self.names.get(&(account.to_owned(), visitor.to_owned())) {
            return name.clone();
        }
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return ERASED.to_owned() };
        mac.update(account.as_bytes());
        // No account has one in its name.
        mac.update(b"/");
        mac.update(visitor.as_bytes());
        let mut name = [0; 16];
        name.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        format!("{ERASED}{}", uuid::Uuid::from_bytes(name))
    }
}

fn secret_of(people: &[Person]) -> [u8; 32] {
    people.iter().fold(Sha256::new(), |all, person| all.chain_update(&person.name).chain_update("/")).finalize().into()
}

/// Whether somebody is called so who was forgotten: a browser's own name may begin alike.
fn is_nobody(name: &str) -> bool {
    name.strip_prefix(ERASED).is_some_and(|rest| uuid::Uuid::try_parse(rest).is_ok())
}

impl Lake {
    /// Forgets people in every table. Done again, it finds nothing more; stopped in between, it may simply be done
    /// again: `calls`, by which the rest is found, comes last. The old files go with the next vacuum after
    /// [`crate::lake::limits::FILE_RETENTION_DAYS`]. Returns how many files it changed.
    pub async fn erase(&self, people: &[Person]) -> Result<usize, MaintainError> {
        let mut traces = Traces { secret: secret_of(people), ..Traces::default() };
        let note = |traces: &mut Until, person: &Person, name: String| {
            let until = traces.entry((person.account.clone(), name)).or_insert(person.until);
            *until = person.until.max(*until);
        };
        for person in people {
            if let Some(visitor) = &person.visitor_id {
                traces.needles.extend(spellings(visitor).iter().map(|text| Needle::new(person, text)));
                traces.names.insert((person.account.clone(), visitor.clone()), person.name.clone());
                note(&mut traces.visitors, person, visitor.clone());
            }
            if let Some(phone) = person.phone {
                let mut text = String::new();
                show_phone(phone, &mut text);
                traces.needles.push(Needle::new(person, text.trim_start_matches('+')));
                note(&mut traces.phones, person, text);
            }
        }
        traces.calls =
            people.iter().flat_map(|it| it.calls.iter().map(|call| (it.account.clone(), call.clone()))).collect();
        let calls = self.table(TableName::Calls);
        let found = calls.calls_of(&traces).await?;
        traces.calls.extend(found);
        let others = self.tables().iter().filter(|table| table.name() != TableName::Calls);
        let mut changed = 0;
        for table in others.chain([calls]) {
            changed += table.erase(&traces).await?;
        }
        Ok(changed)
    }
}

impl Table {
    /// Calls whose row that counts is of one of the people. One that was joined to them by a revision before is somebody else's.
    async fn calls_of(&self, traces: &Traces) -> Result<HashSet<(String, String)>, MaintainError> {
        let base = self.base().await?;
        let mut found = Revisions::new();
        self.note_revisions(&base, &mut found, |batch| hits(&self.definition, batch, traces)).await?;
        if found.is_empty() {
            return Ok(HashSet::new());
        }
        let mut counted = Revisions::new();
        let of_calls = Traces { calls: found.keys().cloned().collect(), ..Traces::default() };
        self.note_revisions(&base, &mut counted, |batch| hits(&self.definition, batch, &of_calls)).await?;
        Ok(found
            .into_iter()
            .filter(|(call, revision)| counted.get(call) == Some(revision))
            .map(|(call, _)| call)
            .collect())
    }

    /// Notes the highest revision of each call among the rows that are `wanted`.
    async fn note_revisions(
        &self,
        base: &DeltaTableState,
        noted: &mut Revisions,
        wanted: impl Fn(&RecordBatch) -> Option<BooleanArray>,
    ) -> Result<(), MaintainError> {
        for file in files(base) {
            let file = self.fetch(&file).await?;
            let mut batches = file.batches()?;
            while let Some(batch) = batches.next().await? {
                let Some(wanted) = wanted(&batch) else { continue };
                let revisions = batch.column_by_name("revision").and_then(|it| it.as_primitive_opt::<Int32Type>());
                let (Some(accounts), Some(calls), Some(revisions)) =
                    (strings(&batch, "account"), strings(&batch, "call_id"), revisions)
                else {
                    continue;
                };
                for row in (0..batch.num_rows()).filter(|row| wanted.value(*row)) {
                    let call = (accounts.value(row).to_owned(), calls.value(row).to_owned());
                    let revision = noted.entry(call).or_default();
                    *revision = revisions.value(row).max(*revision);
                }
            }
        }
        Ok(())
    }

    async fn erase(&self, traces: &Traces) -> Result<usize, MaintainError> {
        let definition = &self.definition;
        if definition.columns.iter().all(|column| column.erase == Erase::Keep) {
            return Ok(0);
        }
        let base = self.base().await?;
        let all = files(&base);
        self.rewrite(base, all, DeltaOperation::Update { predicate: None }, |batch| {
            match hits(definition, batch, traces) {
                Some(hits) => redact(definition, batch, &hits, traces),
                None => Ok(Change::Same),
            }
        })
        .await
    }
}

fn strings<'b>(batch: &'b RecordBatch, name: &str) -> Option<&'b StringArray> {
    batch.column_by_name(name)?.as_string_opt::<i32>()
}

/// Which rows are of one of the people; nothing if none is.
fn hits(definition: &Definition, batch: &RecordBatch, traces: &Traces) -> Option<BooleanArray> {
    let accounts = strings(batch, "account")?;
    // The second column is when it happened.
    let times = batch.column_by_name(definition.columns.get(1)?.name)?.as_primitive_opt::<TimestampMicrosecondType>();
    let rows = Rows { accounts, times };
    let mut hits = vec![false; batch.num_rows()];
    for column in &definition.columns {
        if column.erase == Erase::Raw {
            rows.look_through(batch, column.name, &traces.needles, &mut hits);
        }
        let Some(values) = strings(batch, column.name) else { continue };
        let is_hit = |row: usize, value: &str| match column.erase {
            Erase::Visitor => rows.is_of(row, value, &traces.visitors),
            Erase::Phone => rows.is_of(row, value, &traces.phones),
            Erase::Call => traces.calls.contains(&(accounts.value(row).to_owned(), value.to_owned())),
            Erase::Telling => phones_in(value).any(|phone| rows.is_of(row, phone, &traces.phones)),
            Erase::Keep | Erase::Null | Erase::Query | Erase::Session | Erase::Caller | Erase::Raw => false,
        };
        let idle = match column.erase {
            Erase::Visitor => traces.visitors.is_empty(),
            Erase::Phone | Erase::Telling => traces.phones.is_empty(),
            Erase::Call => traces.calls.is_empty(),
            Erase::Keep | Erase::Null | Erase::Query | Erase::Session | Erase::Caller | Erase::Raw => true,
        };
        if idle {
            continue;
        }
        for (row, hit) in hits.iter_mut().enumerate() {
            *hit |= values.is_valid(row) && accounts.is_valid(row) && is_hit(row, values.value(row));
        }
    }
    hits.contains(&true).then(|| hits.into())
}

struct Rows<'b> {
    accounts: &'b StringArray,
    times: Option<&'b TimestampMicrosecondArray>,
}

impl Rows<'_> {
    /// Whether a row that names somebody is of before they were forgotten.
    fn is_of(&self, row: usize, name: &str, people: &Until) -> bool {
        let until = people.get(&(self.accounts.value(row).to_owned(), name.to_owned()));
        until.is_some_and(|until| self.is_before(row, *until))
    }

    fn is_before(&self, row: usize, until: Time) -> bool {
        let at = self.times.filter(|times| times.is_valid(row)).map(|times| Time(times.value(row)));
        at.is_none_or(|at| at <= until)
    }

    /// Notes the rows whose bytes name somebody.
    fn look_through(&self, batch: &RecordBatch, column: &str, needles: &[Needle], hits: &mut [bool]) {
        let Some(bytes) = batch.column_by_name(column).and_then(|it| it.as_binary_opt::<i32>()) else { return };
        for (row, hit) in hits.iter_mut().enumerate() {
            if self.accounts.is_null(row) || bytes.is_null(row) {
                continue;
            }
            let mut own = needles.iter().filter(|it| it.account == self.accounts.value(row));
            *hit |= own.any(|it| self.is_before(row, it.until) && it.is_in(bytes.value(row)));
        }
    }
}

/// Texts of JSON that are a plus and digits.
fn phones_in(json: &str) -> impl Iterator<Item = &str> {
    json.split('"').filter(|text| {
        text.strip_prefix('+').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// The batch with `hits` redacted.
fn redact(
    definition: &Definition,
    batch: &RecordBatch,
    hits: &BooleanArray,
    traces: &Traces,
) -> Result<Change, ArrowError> {
    let mut changed = false;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let erase = definition.columns.iter().find(|known| known.name == field.name());
        let replaced = match erase.map_or(Erase::Keep, |known| known.erase) {
            Erase::Keep | Erase::Call => Arc::clone(column),
            Erase::Null | Erase::Telling | Erase::Raw => nullif(column, hits)?,
            Erase::Query => replace(column, hits, without_query),
            Erase::Visitor => match strings(batch, "account") {
                Some(accounts) => rename(column, accounts, hits, traces),
                None => Arc::clone(column),
            },
            Erase::Session => match strings(batch, "account") {
                Some(accounts) => rename_sessions(column, accounts, strings(batch, "visitor_id"), hits, traces),
                None => Arc::clone(column),
            },
            Erase::Phone => replace(column, hits, |_| ANONYMOUS),
            Erase::Caller => match strings(batch, "caller") {
                Some(callers) => without_callers(column, callers, hits),
                None => Arc::clone(column),
            },
        };
        changed |= replaced.to_data() != column.to_data();
        columns.push(replaced);
    }
    if !changed {
        return Ok(Change::Same);
    }
    Ok(Change::Rows(RecordBatch::try_new(batch.schema(), columns)?))
}

fn replace<'t>(column: &'t ArrayRef, hits: &BooleanArray, with: impl Fn(&'t str) -> &'t str) -> ArrayRef {
    let Some(texts) = column.as_string_opt::<i32>() else { return Arc::clone(column) };
    let replaced: StringArray = texts
        .iter()
        .enumerate()
        .map(|(row, text)| text.map(|text| if hits.value(row) { with(text) } else { text }))
        .collect();
    Arc::new(replaced)
}

/// A call out goes to the person's own number.
fn without_callers(column: &ArrayRef, callers: &StringArray, hits: &BooleanArray) -> ArrayRef {
    let Some(texts) = column.as_string_opt::<i32>() else { return Arc::clone(column) };
    let is_callers = |row: usize, text: &str| {
        let is_known = hits.value(row) && callers.is_valid(row);
        is_known && text.trim_start_matches('+') == callers.value(row).trim_start_matches('+')
    };
    let left: StringArray =
        texts.iter().enumerate().map(|(row, text)| text.filter(|text| !is_callers(row, text))).collect();
    Arc::new(left)
}

/// Who was renamed before keeps that name: done again, it changes nothing.
fn rename(column: &ArrayRef, accounts: &StringArray, hits: &BooleanArray, traces: &Traces) -> ArrayRef {
    let Some(texts) = column.as_string_opt::<i32>() else { return Arc::clone(column) };
    let renamed: StringArray = texts
        .iter()
        .enumerate()
        .map(|(row, text)| {
            let is_known = |text: &&str| hits.value(row) && !is_nobody(text);
            match text.filter(is_known) {
                Some(visitor) => Some(Cow::Owned(traces.nobody(accounts.value(row), visitor))),
                None => text.map(Cow::Borrowed),
            }
        })
        .collect();
    Arc::new(renamed)
}

/// A made session is called by its visitor and its start, with a dot between. What browsers call theirs says nothing of the visitor. `visitors`:
/// of the same rows, who are renamed there.
fn rename_sessions(
    column: &ArrayRef,
    accounts: &StringArray,
    visitors: Option<&StringArray>,
    hits: &BooleanArray,
    traces: &Traces,
) -> ArrayRef {
    let Some(texts) = column.as_string_opt::<i32>() else { return Arc::clone(column) };
    let made = |row: usize, text: &str| {
        let (visitor, start) = text.rsplit_once('.').filter(|_| hits.value(row))?;
        let account = accounts.value(row);
        let is_rows = visitors.is_some_and(|own| own.is_valid(row) && own.value(row) == visitor);
        let is_theirs = is_rows || traces.visitors.contains_key(&(account.to_owned(), visitor.to_owned()));
        is_theirs.then(|| format!("{}.{start}", traces.nobody(account, visitor)))
    };
    let renamed: StringArray = texts
        .iter()
        .enumerate()
        .map(|(row, text)| text.map(|text| made(row, text).map_or(Cow::Borrowed(text), Cow::Owned)))
        .collect();
    Arc::new(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Person {
        Person {
            account: "acme".to_owned(),
            visitor_id: None,
            phone: None,
            name: String::new(),
            calls: Vec::new(),
            until: Time(0),
            rejected_until: Time(0),
        }
    }

    #[test]
    fn the_same_erasures_give_others_the_same_names() {
        let named = |name: &str| Person { name: name.to_owned(), ..person() };
        let other = |people: &[Person]| {
            Traces { secret: secret_of(people), ..Traces::default() }.nobody("acme", "somebody else")
        };
        let both = [named("a"), named("b")];
        assert_eq!(other(&both), other(&both));
        assert!(is_nobody(&other(&both)));
        assert_ne!(other(&both), other(&both[..1]));
    }

    #[test]
    fn bytes_name_somebody_however_json_spells_them() {
        let person = person();
        let visitor = |name: &str, bytes: &str| {
            spellings(name).iter().any(|text| Needle::new(&person, text).is_in(bytes.as_bytes()))
        };
        for (name, bytes, is_in) in [
            ("jane", r#"{"visitor_id":"jane","url":7}"#, true),
            ("jane", r#"{"visitor_id":"janet"}"#, false),
            ("j\u{e4}ne", r#"{"visitor_id":"j\u00e4ne"}"#, true),
            ("j\u{e4}ne", r#"{"visitor_id":"j\u00E4ne"}"#, true),
            ("j\u{e4}ne", "{\"visitor_id\":\"j\u{e4}ne\"}", true),
            ("\u{1f600}", r#"["\ud83d\ude00"]"#, true),
            ("a\"b", r#"["a\"b"]"#, true),
        ] {
            assert_eq!(visitor(name, bytes), is_in, "{name} in {bytes}");
        }
        let digits = Needle::new(&person, "14155550199");
        for (bytes, is_in) in [
            ("call +14155550199", true),
            ("0014155550199, please", true),
            ("+141555501995", false),
            ("+141555501995 or +14155550199", true),
        ] {
            assert_eq!(digits.is_in(bytes.as_bytes()), is_in, "{bytes}");
        }
    }
}
