//! SQLite's values as JSON and back, without loss.
//!
//! Where in the flow: params and rows of exec. Never rounds: what JSON's numbers can't hold is written in words.
//!
//! | SQLite | JSON |
//! |---|---|
//! | NULL | `null` |
//! | INTEGER within ±2^53 | a number without a fraction |
//! | INTEGER beyond | `{"$integer": "9223372036854775807"}` |
//! | REAL | a number with a fraction or an exponent: `5.0` |
//! | REAL, infinite | `{"$real": "Infinity"}`, `{"$real": "-Infinity"}` |
//! | TEXT | a string |
//! | BLOB | `{"$blob": "base64"}`, standard alphabet with padding |
//!
//! Read, also: `true` and `false` as 1 and 0, and integers beyond ±2^53 as bare numbers up to 64 bits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::Value;
use serde_json::{Value as Json, json};
use thiserror::Error;

/// The largest integer that a JavaScript number holds exactly.
const EXACT: i64 = 1 << 53;

/// Why a JSON value is no value of SQLite.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    /// An array, or an object of another form.
    #[error(
        "a param is null, a number, a string, a boolean, {{\"$integer\": ..}}, {{\"$real\": ..}} or {{\"$blob\": ..}}"
    )]
    Form,
    /// An integer beyond 64 bits.
    #[error("`{0}` is not an integer of 64 bits")]
    Integer(String),
    /// Not a number.
    #[error("`{0}` is not a number")]
    Real(String),
    /// Not base64.
    #[error("a $blob is base64 with the standard alphabet and padding")]
    Blob,
}

/// A value as JSON.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) if (-EXACT..=EXACT).contains(number) => json!(number),
        Value::Integer(number) => json!({ "$integer": number.to_string() }),
        Value::Real(number) if number.is_finite() => json!(number),
        Value::Real(number) => json!({ "$real": if *number > 0.0 { "Infinity" } else { "-Infinity" } }),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!({ "$blob": STANDARD.encode(bytes) }),
    }
}

/// A value from JSON.
///
/// # Errors
/// [`ValueError`] says what is wrong.
pub fn from_json(json: &Json) -> Result<Value, ValueError> {
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(flag) => Ok(Value::Integer(i64::from(*flag))),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Ok(Value::Integer(integer)),
            (None, Some(real)) if number.is_f64() => Ok(Value::Real(real)),
            _ => Err(ValueError::Integer(number.to_string())),
        },
        Json::String(text) => Ok(Value::Text(text.clone())),
        Json::Array(_) => Err(ValueError::Form),
        Json::Object(fields) => {
            let mut fields = fields.iter();
            let (Some((form, Json::String(text))), None) = (fields.next(), fields.next()) else {
                return Err(ValueError::Form);
            };
            worded(form, text)
        }
    }
}

fn worded(form: &str, text: &str) -> Result<Value, ValueError> {
    match form {
        "$integer" => text.parse().map(Value::Integer).map_err(|_| ValueError::Integer(text.to_owned())),
        "$real" => match text.parse::<f64>() {
            Ok(number) if !number.is_nan() => Ok(Value::Real(number)),
            _ => Err(ValueError::Real(text.to_owned())),
        },
        "$blob" => STANDARD.decode(text).map(Value::Blob).map_err(|_| ValueError::Blob),
        _ => Err(ValueError::Form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_the_round_trip() {
        for (value, text) in [
            (Value::Null, "null"),
            (Value::Integer(5), "5"),
            (Value::Integer(EXACT), "9007199254740992"),
            (Value::Integer(-EXACT - 1), r#"{"$integer":"-9007199254740993"}"#),
            (Value::Integer(i64::MAX), r#"{"$integer":"9223372036854775807"}"#),
            (Value::Integer(i64::MIN), r#"{"$integer":"-9223372036854775808"}"#),
            (Value::Real(5.0), "5.0"),
            (Value::Real(-0.0), "-0.0"),
            (Value::Real(1e300), "1e+300"),
            (Value::Real(0.1), "0.1"),
            (Value::Real(f64::INFINITY), r#"{"$real":"Infinity"}"#),
            (Value::Real(f64::NEG_INFINITY), r#"{"$real":"-Infinity"}"#),
            (Value::Text("5 \"\u{1F4D8}\u{0}".to_owned()), "\"5 \\\"\u{1F4D8}\\u0000\""),
            (Value::Blob(vec![0, 255]), r#"{"$blob":"AP8="}"#),
            (Value::Blob(vec![]), r#"{"$blob":""}"#),
        ] {
            let json = to_json(&value).to_string();
            assert_eq!(json, text);
            assert_eq!(from_json(&serde_json::from_str(&json).unwrap()).unwrap(), value, "{json}");
        }
    }

    #[test]
    fn a_real_stays_a_real_and_minus_zero_keeps_its_sign() {
        let Value::Real(number) = from_json(&serde_json::from_str("-0.0").unwrap()).unwrap() else { panic!() };
        assert!(number.is_sign_negative());
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (text, error) in [
            ("[]", ValueError::Form),
            ("{}", ValueError::Form),
            (r#"{"$blob":"AA==","x":1}"#, ValueError::Form),
            (r#"{"$integer":1}"#, ValueError::Form),
            (r#"{"$blob":"A"}"#, ValueError::Blob),
            (r#"{"$integer":"9223372036854775808"}"#, ValueError::Integer("9223372036854775808".to_owned())),
            ("9223372036854775808", ValueError::Integer("9223372036854775808".to_owned())),
            (r#"{"$real":"NaN"}"#, ValueError::Real("NaN".to_owned())),
        ] {
            assert_eq!(from_json(&serde_json::from_str(text).unwrap()), Err(error), "{text}");
        }
    }
}
