//! Options of a session (Flight's `GetSessionOptions` and `SetSessionOptions`), which drivers ask for the catalog and schema that names
//! without one are looked up in. They are always the same here. The messages are those of Flight's definition; of values only texts are
//! read and written.

use std::collections::HashMap;

use arrow_flight::Action;
use prost::Message;
use tonic::Status;

use crate::query::session::{CATALOG, CURRENT};

/// `SetSessionOptionsResult.ErrorValue`.
const INVALID_NAME: i32 = 1;
const INVALID_VALUE: i32 = 2;

/// What there is, and its value.
const OPTIONS: [(&str, &str); 2] = [("catalog", CATALOG), ("schema", CURRENT)];

/// `GetSessionOptionsResult` and `SetSessionOptionsRequest` alike.
#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct SetResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, SetError>,
}

#[derive(Clone, PartialEq, Message)]
struct SetError {
    #[prost(int32, tag = "1")]
    value: i32,
}

/// The answer to an action.
///
/// # Errors
/// It is none of these, or cannot be read.
pub fn act(action: &Action) -> Result<Vec<u8>, Status> {
    match action.r#type.as_str() {
        "GetSessionOptions" => {
            let value = |text: &str| OptionValue { text: Some(text.to_owned()) };
            let options = OPTIONS.into_iter().map(|(name, text)| (name.to_owned(), value(text)));
            Ok(Options { options: options.collect() }.encode_to_vec())
        }
        "SetSessionOptions" => {
            let wanted = Options::decode(action.body.clone());
            let wanted =
                wanted.map_err(|error| Status::invalid_argument(format!("the options cannot be read: {error}")))?;
            let refused = |(name, wanted): (String, OptionValue)| {
                let known = OPTIONS.iter().find(|(known, _)| *known == name);
                let value = match known {
                    None => INVALID_NAME,
                    Some((_, text)) if wanted.text.as_deref() == Some(text) => return None,
                    Some(_) => INVALID_VALUE,
                };
                Some((name, SetError { value }))
            };
            Ok(SetResult { errors: wanted.options.into_iter().filter_map(refused).collect() }.encode_to_vec())
        }
        other => Err(Status::unimplemented(format!("there is no action {other:?} here"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_and_stay() -> Result<(), Box<dyn std::error::Error>> {
        let told = Options::decode(act(&Action::new("GetSessionOptions", ""))?.as_slice())?;
        assert_eq!(told.options["catalog"].text.as_deref(), Some("callweave"));
        assert_eq!(told.options["schema"].text.as_deref(), Some("public"));
        // The same again is no change; others there are none.
        let set = |name: &str, text: &str| -> Result<Option<i32>, Box<dyn std::error::Error>> {
            let value = OptionValue { text: Some(text.to_owned()) };
            let body = Options { options: HashMap::from([(name.to_owned(), value)]) }.encode_to_vec();
            let told = SetResult::decode(act(&Action::new("SetSessionOptions", body))?.as_slice())?;
            Ok(told.errors.get(name).map(|error| error.value))
        };
        assert_eq!(set("catalog", "callweave")?, None);
        assert_eq!(set("schema", "history")?, Some(INVALID_VALUE));
        assert_eq!(set("color", "red")?, Some(INVALID_NAME));
        assert!(act(&Action::new("Dance", "")).is_err_and(|status| status.message().contains("Dance")));
        Ok(())
    }
}
