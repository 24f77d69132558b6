//! The boundary to JavaScript: values, errors and plain objects, in both directions.
//!
//! Where in the flow: every call of the worker passes here. Never decides anything; never loses a type.

use greenlight_core::Value;
use greenlight_core::replica::{Fault, FaultKind};
use greenlight_store::bundle::ReplayError;
use greenlight_store::{OpenError, StatementError};
use js_sys::{Array, BigInt, Number, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

/// An error as the worker sees it: a code of the package's `ErrorCode`, or `files_held`, and a sentence.
#[derive(Debug)]
pub(crate) struct Failure {
    code: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An argument that can't be what it should be.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid", message)
    }

    /// The fault behind it, where the storage is full: that shows in the light too.
    pub(crate) fn full(&self) -> Option<Fault> {
        (self.code == "storage_full").then(|| Fault { kind: FaultKind::Full, message: self.message.clone() })
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        let error = js_sys::Error::new(&failure.message);
        set(&error, "code", &failure.code.into());
        error.into()
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::Full => "storage_full",
            FaultKind::Forbidden => "read_only",
            _ => "storage",
        };
        Self::new(code, fault.message)
    }
}

impl From<StatementError> for Failure {
    fn from(error: StatementError) -> Self {
        match error {
            StatementError::Fault(fault) => fault.into(),
            other => Self::new("sql", other.to_string()),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Schema(error) => Self::new("schema", error.to_string()),
            OpenError::Fault(fault) => fault.into(),
            other => Self::new("storage", other.to_string()),
        }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Fault(fault) => fault.into(),
            ReplayError::Statement(error) => error.into(),
            other => Self::invalid(other.to_string()),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new("storage", error.to_string())
    }
}

/// How integers go to JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integers {
    /// As a number where that is exact, else as a bigint.
    Auto,
    /// Always as a bigint.
    Bigint,
    /// Always as a number, which loses digits beyond 2^53.
    Number,
}

impl Integers {
    pub(crate) fn parse(name: &str) -> Result<Self, Failure> {
        match name {
            "auto" => Ok(Self::Auto),
            "bigint" => Ok(Self::Bigint),
            "number" => Ok(Self::Number),
            other => Err(Failure::invalid(format!("integers can't be \"{other}\""))),
        }
    }
}

/// A statement's parameters; none where they were left out.
pub(crate) fn params(from: Option<Array>) -> Result<Vec<Value>, Failure> {
    let Some(from) = from else { return Ok(Vec::new()) };
    from.iter().enumerate().map(|(index, value)| parameter(index, &value)).collect()
}

fn parameter(index: usize, from: &JsValue) -> Result<Value, Failure> {
    let wrong = |what: &str| Failure::invalid(format!("parameter {}: {what}", index + 1));
    if from.is_null() {
        Ok(Value::Null)
    } else if let Some(text) = from.as_string() {
        Ok(Value::Text(text))
    } else if let Some(number) = from.as_f64() {
        // A whole number is an INTEGER: JavaScript knows no other kind. A column of type REAL makes it a REAL again.
        let whole = number.fract() == 0.0 && number.abs() <= Number::MAX_SAFE_INTEGER;
        Ok(if whole { Value::Integer(number as i64) } else { real(number) })
    } else if from.is_bigint() {
        let number = i64::try_from(from.clone()).map_err(|_| wrong("the bigint has more than 64 bits"))?;
        Ok(Value::Integer(number))
    } else if let Some(bytes) = from.dyn_ref::<Uint8Array>() {
        Ok(Value::Blob(bytes.to_vec()))
    } else {
        Err(wrong("only null, numbers, bigints, strings and Uint8Arrays can be stored"))
    }
}

/// SQLite stores NaN as NULL.
fn real(number: f64) -> Value {
    if number.is_nan() { Value::Null } else { Value::Real(number) }
}

/// A result: its columns, and its rows' values one after another.
pub(crate) fn rows(columns: &[String], rows: &[Vec<Value>], integers: Integers) -> JsValue {
    let values = Array::new();
    for value in rows.iter().flatten() {
        values.push(&to_js(value, integers));
    }
    object([("columns", strings(columns).into()), ("values", values.into())])
}

fn to_js(value: &Value, integers: Integers) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Integer(number) => {
            let safe = number.unsigned_abs() <= Number::MAX_SAFE_INTEGER as u64;
            match integers {
                Integers::Auto if safe => JsValue::from_f64(*number as f64),
                Integers::Number => JsValue::from_f64(*number as f64),
                Integers::Auto | Integers::Bigint => BigInt::from(*number).into(),
            }
        }
        Value::Real(number) => JsValue::from_f64(*number),
        Value::Text(text) => JsValue::from_str(text),
        Value::Blob(bytes) => Uint8Array::from(&bytes[..]).into(),
    }
}

/// Texts as an array.
pub(crate) fn strings<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Array {
    texts.into_iter().map(|text| JsValue::from_str(text.as_ref())).collect()
}

/// A plain object.
pub(crate) fn object<const N: usize>(fields: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        set(&object, name, &value);
    }
    object.into()
}

fn set(object: &JsValue, name: &str, value: &JsValue) {
    // A fresh object of ours takes every property.
    let done = Reflect::set(object, &name.into(), value);
    debug_assert!(done.is_ok());
}
