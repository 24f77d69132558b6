//! A realistic bookshop, made from a seed: what the demo shows and what benchmarks and tests sync.
//!
//! Where in the flow: beside it; fills a database through the same writer as any other. The same seed and date give
//! the same shop to the last cent. Never runs in a server.

mod catalogue;
mod random;
mod script;
mod trade;
mod words;

use std::path::Path;

use greenlight_core::replica::Fault;
use greenlight_store::{Done, Location, OpenError, Options, Schema, ServerDatabase, StatementError, Work};
use thiserror::Error;

use crate::clock;
use catalogue::Catalogue;
use random::Random;
use script::Script;

/// How much there is of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Warehouses, at most 8.
    pub warehouses: usize,
    /// Titles.
    pub books: usize,
    /// Inbound and outbound notes together; a third are deliveries.
    pub notes: usize,
    /// Lines on them together; at least three a note.
    pub lines: usize,
}

impl Size {
    /// The demo shop: 8 warehouses, 6,000 titles, 15,000 notes, 70,000 lines.
    pub const SHOP: Self = Self { warehouses: 8, books: 6_000, notes: 15_000, lines: 70_000 };
}

/// Why the shop could not be filled.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The database can't be opened.
    #[error("the database can't be opened: {0}")]
    Open(#[from] OpenError),
    /// The database holds books already.
    #[error("the database holds books already; give another --database, or --data with an empty folder")]
    NotEmpty,
    /// The database failed.
    #[error("the database failed: {0}")]
    Fault(#[from] Fault),
    /// A statement failed: the schema is not the bookshop's.
    #[error("the schema is not the bookshop's: {0}")]
    Statement(#[from] StatementError),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// Fills the database at `file`, which must hold no books; `progress` is told rows done of rows in total.
/// `until_ms` is the shop's present, in milliseconds since 1970.
///
/// # Errors
/// [`DemoError`]; what was committed before stays.
pub fn fill(
    file: &Path,
    schema: &Schema,
    size: Size,
    seed: u64,
    until_ms: i64,
    mut progress: impl FnMut(usize, usize),
) -> Result<(), DemoError> {
    let options = Options::system(Location::File(file.to_owned()), clock::wall_ms)
        .map_err(|error| DemoError::Random(error.to_string()))?;
    let mut database = ServerDatabase::open(options, schema)?;
    let any = Work::Exec { sql: "SELECT 1 FROM book LIMIT 1".to_owned(), params: Vec::new() };
    if !run(&mut database, any)?.is_empty() {
        return Err(DemoError::NotEmpty);
    }
    let commits = shop(size, seed, until_ms);
    let total = commits.iter().map(Script::rows).sum();
    let mut done = 0;
    for commit in commits {
        done += commit.rows();
        for sql in commit.statements() {
            run(&mut database, Work::Exec { sql, params: Vec::new() })?;
        }
        progress(done, total);
    }
    Ok(())
}

fn run(database: &mut ServerDatabase, work: Work) -> Result<Vec<Vec<greenlight_core::Value>>, DemoError> {
    match database.commit(&[work])?.done.pop() {
        Some(Done::Exec(answer)) => Ok(answer?.rows),
        _ => Ok(Vec::new()),
    }
}

/// The shop as commits: its books first, then three years of trade, a few days at a time.
fn shop(size: Size, seed: u64, until_ms: i64) -> Vec<Script> {
    let mut random = Random::new(seed);
    let mut commits = Vec::new();
    let catalogue = Catalogue::draw(size, &mut random, until_ms, &mut commits);
    trade::draw(size, &catalogue, &mut random, until_ms, &mut commits);
    commits
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size { warehouses: 3, books: 40, notes: 60, lines: 280 };

    #[test]
    fn the_same_seed_gives_the_same_shop() {
        let text =
            |seed| shop(SMALL, seed, 1_700_000_000_000).into_iter().flat_map(Script::statements).collect::<Vec<_>>();
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn fills_the_bookshop_and_never_sells_what_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/schemas/shop.sql");
        let schema = Schema::parse(&std::fs::read_to_string(schema).expect("the schema")).expect("a schema");
        let file = folder.path().join("shop");
        let mut last = (0, 0);
        fill(&file, &schema, SMALL, 7, 1_700_000_000_000, |done, total| last = (done, total)).expect("a shop");
        assert!(last.0 > 400 && last.0 == last.1, "{last:?}");
        let again = fill(&file, &schema, SMALL, 7, 1_700_000_000_000, |_, _| {});
        assert!(matches!(again, Err(DemoError::NotEmpty)), "{again:?}");
        let options = Options::system(Location::File(file), clock::wall_ms).expect("randomness");
        let mut database = ServerDatabase::open(options, &schema).expect("the database");
        let mut number = |sql: &str| {
            let work = Work::Exec { sql: sql.to_owned(), params: Vec::new() };
            match run(&mut database, work).expect(sql)[0][0] {
                greenlight_core::Value::Integer(number) => number,
                ref other => panic!("{sql}: {other:?}"),
            }
        };
        assert_eq!(number("SELECT count(*) FROM warehouse"), 3);
        assert_eq!(number("SELECT count(*) FROM book"), 40);
        assert_eq!(number("SELECT (SELECT count(*) FROM inbound_note) + (SELECT count(*) FROM outbound_note)"), 60);
        assert_eq!(number("SELECT (SELECT count(*) FROM inbound_line) + (SELECT count(*) FROM outbound_line)"), 280);
        assert_eq!(number("SELECT count(*) FROM stock WHERE quantity < 0"), 0);
    }
}
