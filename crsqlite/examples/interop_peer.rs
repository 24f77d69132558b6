//! This crate's side of the interop test: databases in memory or a file, driven line by line over standard input and
//! output by `interop/main.mjs`. It decides nothing; errors are answers.
//!
//! A line is a command: `open` or `open FILE`, `sql TEXT`, `rows QUERY`, `apply VALUE...` (nine, separated by tabs),
//! `close`. Line breaks in SQL are spaces. An answer is any number of lines `row VALUE...` and one that is `ok` or
//! `error MESSAGE`. A value is `n` (NULL), `i` and a decimal, `r` and the bits of a real in hex, or `t` or `b` and the
//! bytes in hex.

use std::error::Error;
use std::io::{self, BufRead, Write};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut conn: Option<Connection> = None;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        match answer(&mut conn, &line?) {
            Ok(rows) => {
                for row in rows {
                    writeln!(out, "row {}", row.iter().map(encode).collect::<Vec<_>>().join("\t"))?;
                }
                writeln!(out, "ok")?;
            }
            Err(error) => writeln!(out, "error {}", error.to_string().replace('\n', " "))?,
        }
        out.flush()?;
    }
    Ok(())
}

/// Runs one command, and gives its rows.
fn answer(conn: &mut Option<Connection>, line: &str) -> Outcome<Vec<Vec<Value>>> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    if command == "open" {
        let fresh = if rest.is_empty() { Connection::open_in_memory()? } else { Connection::open(rest)? };
        crsqlite::init(&fresh)?;
        *conn = Some(fresh);
        return Ok(vec![]);
    }
    if command == "close" {
        if let Some(conn) = conn.take() {
            crsqlite::finalize(&conn)?;
            conn.close().map_err(|(_, error)| error)?;
        }
        return Ok(vec![]);
    }
    let conn = conn.as_ref().ok_or("nothing is open")?;
    match command {
        "sql" => conn.execute_batch(rest)?,
        "rows" => return rows(conn, rest),
        "apply" => {
            let values = rest.split('\t').map(decode).collect::<Outcome<Vec<Value>>>()?;
            conn.execute("INSERT INTO crsql_changes VALUES (?,?,?,?,?,?,?,?,?)", params_from_iter(values))?;
        }
        other => return Err(format!("unknown command {other}").into()),
    }
    Ok(vec![])
}

fn rows(conn: &Connection, query: &str) -> Outcome<Vec<Vec<Value>>> {
    let mut statement = conn.prepare(query)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|i| row.get(i)).collect())?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn encode(value: &Value) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        Value::Null => "n".to_owned(),
        Value::Integer(number) => format!("i{number}"),
        Value::Real(number) => format!("r{:016x}", number.to_bits()),
        Value::Text(text) => format!("t{}", hex(text.as_bytes())),
        Value::Blob(bytes) => format!("b{}", hex(bytes)),
    }
}

fn decode(text: &str) -> Outcome<Value> {
    let rest = text.get(1..).unwrap_or_default();
    let bytes = || -> Outcome<Vec<u8>> {
        let pairs = (0..rest.len()).step_by(2);
        pairs.map(|at| Ok(u8::from_str_radix(rest.get(at..at + 2).ok_or("half a byte")?, 16)?)).collect()
    };
    match text.as_bytes().first() {
        Some(b'n') => Ok(Value::Null),
        Some(b'i') => Ok(Value::Integer(rest.parse()?)),
        Some(b'r') => Ok(Value::Real(f64::from_bits(u64::from_str_radix(rest, 16)?))),
        Some(b't') => Ok(Value::Text(String::from_utf8(bytes()?)?)),
        Some(b'b') => Ok(Value::Blob(bytes()?)),
        _ => Err(format!("not a value: {text}").into()),
    }
}
