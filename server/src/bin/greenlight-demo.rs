//! Fills a bookshop's database with a realistic shop: reads the arguments, shows progress, says how it ended.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use greenlight_server::demo::{self, Size};
use greenlight_server::{clock, database::Schema};

/// Fills a database with a realistic bookshop: 8 warehouses, 15,000 notes, 70,000 lines.
#[derive(Debug, Parser)]
#[command(name = "greenlight-demo", version, max_term_width = 100)]
struct Arguments {
    /// The server's folder of databases.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// The database's name.
    #[arg(long, default_value = "shop")]
    database: String,
    /// The bookshop's schema.
    #[arg(long, default_value = "web/schemas/shop.sql")]
    schema: PathBuf,
    /// The same seed and date give the same shop.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The shop's present, in milliseconds since 1970; now, if not given.
    #[arg(long)]
    until: Option<i64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match fill(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("greenlight-demo: {why}");
            ExitCode::FAILURE
        }
    }
}

fn fill(arguments: &Arguments) -> Result<(), String> {
    let name = greenlight_server::name::DatabaseName::parse(&arguments.database).map_err(|error| error.to_string())?;
    let text = std::fs::read_to_string(&arguments.schema)
        .map_err(|error| format!("the schema {} can't be read: {error}", arguments.schema.display()))?;
    let schema = Schema::parse(&text).map_err(|error| error.to_string())?;
    std::fs::create_dir_all(&arguments.data).map_err(|error| format!("the data folder can't be made: {error}"))?;
    let begun = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    let mut rows = 0;
    let progress = |done: usize, total: usize| {
        rows = total;
        if terminal {
            eprint!("\r{:>3} % of {total} rows", done * 100 / total);
            // A terminal that can't be flushed shows the line a little later.
            drop(std::io::stderr().flush());
        }
    };
    let until = arguments.until.unwrap_or_else(clock::wall_ms);
    let file = arguments.data.join(name.as_str());
    demo::fill(&file, &schema, Size::SHOP, arguments.seed, until, progress).map_err(|error| error.to_string())?;
    if terminal {
        eprintln!();
    }
    println!("{} rows in `{name}`, {:.1} s", rows, begun.elapsed().as_secs_f64());
    Ok(())
}
