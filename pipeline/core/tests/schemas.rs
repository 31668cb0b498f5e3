//! The committed JSON Schemas are those of the types, and say what the decoder says.
//! `CALLWEAVE_BLESS=1 cargo test -p callweave-core --test schemas` writes them anew.

mod bounds;
mod common;
mod validator;

use std::path::{Path, PathBuf};

use callweave_core::event::{TYPES, decode, schema};
use common::{bad, data, event};
use validator::validate;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/events")
}

#[test]
fn every_schema_says_what_its_event_is() {
    for name in TYPES {
        let schema = schema(name).unwrap();
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    for kind in TYPES {
        let schema = schema(kind).expect("every type has a schema");
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).expect("JSON"));
        let path = folder().join(format!("{kind}.json"));
        if std::env::var_os("CALLWEAVE_BLESS").is_some() {
            std::fs::create_dir_all(folder()).expect("a folder");
            std::fs::write(&path, &text).expect("a file");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{} is out of step: run this test with CALLWEAVE_BLESS=1", path.display());
    }
    let files = std::fs::read_dir(folder()).expect("a folder").count();
    assert_eq!(files, TYPES.len(), "a schema of no type stands in {}", folder().display());
    assert_eq!(schema("pageview"), None);
}

#[test]
fn what_moments_tell_beside_the_row_has_a_schema() {
    let schema = schemars::schema_for!(callweave_core::moment::Beside);
    let text = format!("{}\n", serde_json::to_string_pretty(&schema).expect("JSON"));
    let path = folder().join("../moments.json");
    if std::env::var_os("CALLWEAVE_BLESS").is_some() {
        std::fs::write(&path, &text).expect("a file");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{} is out of step: run this test with CALLWEAVE_BLESS=1", path.display());
}

#[test]
fn schema_and_decoder_agree_on_what_is_good() {
    for (kind, data) in data() {
        let event = event(kind, data);
        assert_eq!(validate(&schema(kind).expect("a schema"), &event), Ok(()), "{event}");
        assert!(decode(event.to_string().as_bytes(), None).is_ok(), "{event}");
    }
}

#[test]
fn schema_and_decoder_agree_on_what_is_bad() {
    for (kind, data, path, _, schema_tells) in bad() {
        let event = event(kind, data);
        let verdict = validate(&schema(kind).expect("a schema"), &event);
        assert_eq!(verdict.is_err(), schema_tells, "{kind} {path}: {verdict:?}");
        assert!(decode(event.to_string().as_bytes(), None).is_err(), "{kind} {path}");
    }
}
