//! What errors are called: SQLSTATE (PostgreSQL's manual, appendix A), by which clients tell them apart.

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

use crate::query::QueryError;
use crate::query::error::of_data;

pub(super) const SYNTAX: &str = "42601";
const UNDEFINED_TABLE: &str = "42P01";
const UNDEFINED_COLUMN: &str = "42703";
const UNDEFINED_FUNCTION: &str = "42883";
const INVALID: &str = "22023";
pub(super) const NOT_SUPPORTED: &str = "0A000";
const READ_ONLY: &str = "25006";
const CANCELED: &str = "57014";
const OUT_OF_MEMORY: &str = "53200";
pub(super) const TOO_MANY: &str = "54000";
const TOO_COMPLEX: &str = "54001";
pub(super) const BUSY: &str = "53300";
pub(super) const NOT_ALLOWED: &str = "28000";
const FAILED_TRANSACTION: &str = "25P02";
pub(super) const DUPLICATE_STATEMENT: &str = "42P05";
pub(super) const UNDEFINED_STATEMENT: &str = "26000";
const LOST: &str = "57P02";
pub(super) const INTERNAL: &str = "XX000";
/// A severity: by it pgwire closes the connection.
const FATAL: &str = "FATAL";

/// An error as the client is told it.
pub(super) fn told(error: PgWireError) -> PgWireError {
    let inner = match error {
        PgWireError::ApiError(inner) => inner,
        // The library says 25P01, which is of statements outside of a transaction.
        PgWireError::UserError(mut info) if info.message.starts_with("current transaction is aborted") => {
            FAILED_TRANSACTION.clone_into(&mut info.code);
            return PgWireError::UserError(info);
        }
        other => return other,
    };
    match inner.downcast::<QueryError>() {
        Ok(error) => of_query(*error),
        Err(inner) => match inner.downcast::<DataFusionError>() {
            Ok(error) => of_query(QueryError::Engine(error)),
            Err(inner) => match inner.downcast::<ParserError>() {
                Ok(error) => info(SYNTAX, error.to_string()),
                Err(inner) => info(INTERNAL, inner.to_string()),
            },
        },
    }
}

pub(super) fn of_query(error: QueryError) -> PgWireError {
    let code = match &error {
        QueryError::Refused { .. } => READ_ONLY,
        QueryError::Wrong { .. } => NOT_SUPPORTED,
        QueryError::TooLong { .. } | QueryError::TooManyRows { .. } => TOO_MANY,
        QueryError::TooDeep { .. } => TOO_COMPLEX,
        QueryError::TimeUp { .. } | QueryError::Cancelled => CANCELED,
        QueryError::Memory { .. } => OUT_OF_MEMORY,
        QueryError::Busy { .. } => BUSY,
        QueryError::Login(_) => NOT_ALLOWED,
        QueryError::Sql(error) => of_words(&error.message),
        _ => INTERNAL,
    };
    if let QueryError::Data { code, message } = &error {
        return info(code, message.clone());
    }
    let text = error.to_string();
    if let Some(bound) = error.bound() {
        let code = match bound {
            QueryError::TooManyRows { .. } => TOO_MANY,
            QueryError::Memory { .. } => OUT_OF_MEMORY,
            QueryError::Panicked => INTERNAL,
            QueryError::WorkerLost => LOST,
            _ => CANCELED,
        };
        return info(code, bound.to_string());
    }
    match error {
        QueryError::Engine(error) => of_engine(*error),
        _ => info(code, text),
    }
}

fn of_engine(error: DataFusionError) -> PgWireError {
    if let Some((code, message)) = of_data(&error) {
        return info(code, message);
    }
    let code = match error.find_root() {
        DataFusionError::SQL(..) => SYNTAX,
        DataFusionError::SchemaError(..) => UNDEFINED_COLUMN,
        DataFusionError::NotImplemented(_) => NOT_SUPPORTED,
        DataFusionError::ResourcesExhausted(_) => OUT_OF_MEMORY,
        DataFusionError::Plan(text) => of_words(text),
        _ => INTERNAL,
    };
    // Where it went wrong inside is no help to who asks.
    info(code, error.strip_backtrace())
}

/// The engine has one kind of error for all that cannot be planned.
fn of_words(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    if text.starts_with("table '") && text.contains("not found") {
        UNDEFINED_TABLE
    } else if text.contains("invalid function") {
        UNDEFINED_FUNCTION
    } else if text.contains("no field named") {
        UNDEFINED_COLUMN
    } else if text.contains("expected") && text.contains("found") {
        SYNTAX
    } else {
        INVALID
    }
}

/// A parameter's value that cannot be.
pub(super) fn invalid(message: String) -> PgWireError {
    info(INVALID, message)
}

/// An error after which the connection is over.
pub(super) fn fatal(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(FATAL.to_owned(), code.to_owned(), message)))
}

/// The same error, as one after which the connection is over.
pub(super) fn as_fatal(error: PgWireError) -> PgWireError {
    let mut info = ErrorInfo::from(error);
    FATAL.clone_into(&mut info.severity);
    PgWireError::UserError(Box::new(info))
}

pub(super) fn info(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message)))
}
