//! What a table's column is: its name, what it means, and how a row's value is read.

use callweave_core::event::Segment;
use callweave_core::phone::Phone;
use callweave_core::row::Money;
use callweave_core::time::Time;
use deltalake_core::arrow::datatypes::{DataType, Field, Fields, TimeUnit};

/// Digits of a [`Money`] column, and those of them behind the point.
pub const MONEY: (u8, i8) = (18, 6);

/// One column of the table whose rows are `R`.
pub struct Column<R> {
    pub name: &'static str,
    /// For the people who query it; the column's comment in Delta.
    pub doc: &'static str,
    pub cell: Cell<R>,
    /// Bounds of it are kept per file, so that queries skip files.
    pub stats: bool,
    /// Text that hardly two rows share. Of any other each value is held once, and rows say which.
    pub unique: bool,
    pub erase: Erase,
}

/// How a value is read from a row. Nothing here allocates per row.
pub enum Cell<R> {
    Text(fn(&R) -> Option<&str>),
    /// Writes the text into the buffer and tells whether there is one.
    Show(fn(&R, &mut String) -> bool),
    Phones(fn(&R) -> Option<&[Phone]>),
    Segments(for<'r> fn(&'r R) -> &'r [Segment<'r>]),
    Time(fn(&R) -> Option<Time>),
    Int(fn(&R) -> Option<i32>),
    Long(fn(&R) -> Option<i64>),
    Double(fn(&R) -> Option<f64>),
    Bool(fn(&R) -> Option<bool>),
    Money(fn(&R) -> Option<Money>),
    Binary(fn(&R) -> Option<&[u8]>),
}

/// What becomes of a column in the rows of a person who is to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erase {
    /// Says nothing about the person.
    Keep,
    Null,
    /// Everything behind the path goes.
    Query,
    /// Names the visitor: rows are found by it, and it is replaced by a name that nobody knows.
    Visitor,
    /// Names a session. The name of a made one begins with its visitor's, which is replaced there, too.
    Session,
    /// Names the person's phone: rows are found by it, and it becomes `anonymous`.
    Phone,
    /// May be the person's phone, as told in the table's `caller`: then it goes.
    Caller,
    /// JSON that may tell the person's phone: rows are found by it, and it goes.
    Telling,
    /// Bytes as they came, which may name the person: rows are found by it, and it goes.
    Raw,
    /// Names a call: rows of calls that were the person's are found by it. It stays.
    Call,
}

impl<R> Column<R> {
    fn new(name: &'static str, doc: &'static str, cell: Cell<R>) -> Column<R> {
        Column { name, doc, cell, stats: false, unique: false, erase: Erase::Keep }
    }

    pub fn text(name: &'static str, doc: &'static str, get: fn(&R) -> Option<&str>) -> Column<R> {
        Column::new(name, doc, Cell::Text(get))
    }

    pub fn show(name: &'static str, doc: &'static str, write: fn(&R, &mut String) -> bool) -> Column<R> {
        Column::new(name, doc, Cell::Show(write))
    }

    pub fn phones(name: &'static str, doc: &'static str, get: fn(&R) -> Option<&[Phone]>) -> Column<R> {
        Column::new(name, doc, Cell::Phones(get))
    }

    pub fn segments(name: &'static str, doc: &'static str, get: for<'r> fn(&'r R) -> &'r [Segment<'r>]) -> Column<R> {
        Column::new(name, doc, Cell::Segments(get))
    }

    pub fn time(name: &'static str, doc: &'static str, get: fn(&R) -> Option<Time>) -> Column<R> {
        Column::new(name, doc, Cell::Time(get))
    }

    pub fn int(name: &'static str, doc: &'static str, get: fn(&R) -> Option<i32>) -> Column<R> {
        Column::new(name, doc, Cell::Int(get))
    }

    pub fn long(name: &'static str, doc: &'static str, get: fn(&R) -> Option<i64>) -> Column<R> {
        Column::new(name, doc, Cell::Long(get))
    }

    pub fn double(name: &'static str, doc: &'static str, get: fn(&R) -> Option<f64>) -> Column<R> {
        Column::new(name, doc, Cell::Double(get))
    }

    pub fn bool(name: &'static str, doc: &'static str, get: fn(&R) -> Option<bool>) -> Column<R> {
        Column::new(name, doc, Cell::Bool(get))
    }

    pub fn money(name: &'static str, doc: &'static str, get: fn(&R) -> Option<Money>) -> Column<R> {
        Column::new(name, doc, Cell::Money(get))
    }

    pub fn binary(name: &'static str, doc: &'static str, get: fn(&R) -> Option<&[u8]>) -> Column<R> {
        Column::new(name, doc, Cell::Binary(get))
    }

    /// Keeps bounds of the column per file.
    pub fn stats(mut self) -> Column<R> {
        self.stats = true;
        self
    }

    /// Holds each row's text in the row.
    pub fn unique(mut self) -> Column<R> {
        self.unique = true;
        self
    }

    pub fn erase(mut self, erase: Erase) -> Column<R> {
        self.erase = erase;
        self
    }

    pub fn data_type(&self) -> DataType {
        match self.cell {
            Cell::Text(_) | Cell::Show(_) => DataType::Utf8,
            Cell::Phones(_) => DataType::List(item(DataType::Utf8)),
            Cell::Segments(_) => DataType::List(item(DataType::Struct(segment_fields()))),
            Cell::Time(_) => timestamp(),
            Cell::Int(_) => DataType::Int32,
            Cell::Long(_) => DataType::Int64,
            Cell::Double(_) => DataType::Float64,
            Cell::Bool(_) => DataType::Boolean,
            Cell::Money(_) => DataType::Decimal128(MONEY.0, MONEY.1),
            Cell::Binary(_) => DataType::Binary,
        }
    }
}

/// An instant in UTC with microseconds: Delta's `timestamp`.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A list's element. The name is the one that Delta's readers expect.
pub fn item(data_type: DataType) -> deltalake_core::arrow::datatypes::FieldRef {
    Field::new("element", data_type, true).into()
}

pub fn segment_fields() -> Fields {
    Fields::from(vec![
        Field::new("speaker", DataType::Utf8, true),
        Field::new("start_seconds", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
    ])
}
