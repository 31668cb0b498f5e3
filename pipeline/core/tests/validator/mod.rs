//! As much of JSON Schema 2020-12 as our schemas use. It refuses keywords that it does not know, so that a schema
//! cannot ask for something that is silently not tested.

use callweave_core::time::{Date, Time};
use regex::Regex;
use serde_json::{Map, Value};

/// Whether `value` meets `schema`; else where it does not.
pub fn validate(schema: &Value, value: &Value) -> Result<(), String> {
    at("", schema, schema, value)
}

fn at(path: &str, root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(schema) => schema,
        other => return Err(format!("{other} is no schema")),
    };
    for (keyword, rule) in schema {
        let met = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" => true,
            "format" => format(rule, value),
            "$ref" => {
                let pointer = rule.as_str().unwrap_or_default().trim_start_matches('#');
                at(path, root, root.pointer(pointer).ok_or("dangling $ref")?, value).map(|()| true)?
            }
            "type" => list(rule).iter().any(|name| is(name, value)),
            "const" => rule == value,
            "enum" => list(rule).contains(value),
            "anyOf" | "oneOf" => list(rule).iter().any(|rule| at(path, root, rule, value).is_ok()),
            "required" => value.as_object().is_none_or(|value| names(rule).all(|name| value.contains_key(name))),
            "properties" | "additionalProperties" | "propertyNames" => members(path, root, schema, value)?,
            "items" | "prefixItems" => items(path, root, schema, value)?,
            "minItems" | "maxItems" => size(keyword, rule, value.as_array().map(Vec::len)),
            "minProperties" | "maxProperties" => size(keyword, rule, value.as_object().map(Map::len)),
            "minLength" | "maxLength" => size(keyword, rule, value.as_str().map(|text| text.chars().count())),
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().expect("a number")),
            // As floats these two are one, and the limit of counts is not.
            "maximum" if value.is_u64() && rule.is_u64() => value.as_u64() <= rule.as_u64(),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().expect("a number")),
            "exclusiveMinimum" => value.as_f64().is_none_or(|n| n > rule.as_f64().expect("a number")),
            "exclusiveMaximum" => value.as_f64().is_none_or(|n| n < rule.as_f64().expect("a number")),
            "pattern" => value.as_str().is_none_or(|text| {
                let pattern = rule.as_str().expect("a pattern").replace("\\u0000", "\\x00");
                let pattern = pattern.replace("\\u001f", "\\x1f").replace("\\u007f", "\\x7f");
                Regex::new(&pattern).expect("a regular expression").is_match(text)
            }),
            other => return Err(format!("the validator does not know {other}")),
        };
        if !met {
            return Err(format!("{path}: {keyword} {rule}"));
        }
    }
    Ok(())
}

fn members(path: &str, root: &Value, schema: &Map<String, Value>, value: &Value) -> Result<bool, String> {
    let Some(value) = value.as_object() else { return Ok(true) };
    for (name, value) in value {
        let path = format!("{path}/{name}");
        if let Some(rule) = schema.get("propertyNames") {
            at(&path, root, rule, &Value::String(name.clone()))?;
        }
        match (schema.get("properties").and_then(|rules| rules.get(name)), schema.get("additionalProperties")) {
            (Some(rule), _) => at(&path, root, rule, value)?,
            (None, Some(Value::Bool(false))) => return Err(format!("{path}: is unknown")),
            (None, Some(rule)) => at(&path, root, rule, value)?,
            (None, None) => {}
        }
    }
    Ok(true)
}

fn items(path: &str, root: &Value, schema: &Map<String, Value>, value: &Value) -> Result<bool, String> {
    let first = schema.get("prefixItems").map(list).unwrap_or_default();
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(rule) = first.get(index).or(schema.get("items")) {
            at(&format!("{path}/{index}"), root, rule, value)?;
        }
    }
    Ok(true)
}

fn list(rule: &Value) -> Vec<Value> {
    rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()])
}

fn names(rule: &Value) -> impl Iterator<Item = &str> {
    rule.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn size(keyword: &str, rule: &Value, len: Option<usize>) -> bool {
    let bound = rule.as_u64().expect("a length") as usize;
    len.is_none_or(|len| if keyword.starts_with("min") { len >= bound } else { len <= bound })
}

fn is(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("{other} is no type"),
    }
}

/// The calendar is left to the decoder: a validator that asserts `date` takes 30 February for a mistake, one that
/// looks at its shape does not, and both are in use.
fn format(rule: &Value, value: &Value) -> bool {
    let Some(text) = value.as_str() else { return true };
    match rule.as_str().expect("a format") {
        "date-time" => Time::parse(&text.replace("-30T", "-28T")).is_ok(),
        "date" => Date::parse(&text.replace("-31", "-28")).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        // What Rust's number types are, told beside a range.
        "double" | "uint64" | "uint32" | "uint8" => true,
        other => panic!("the validator does not know the format {other}"),
    }
}
