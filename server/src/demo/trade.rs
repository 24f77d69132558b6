//! Three years of deliveries and sales.
//!
//! Where in the flow: after the catalogue. Sells only what an earlier delivery brought.

use std::collections::HashSet;

use super::Size;
use super::catalogue::Catalogue;
use super::random::Random;
use super::script::{Cell, Script};

const DAY_MS: i64 = 86_400_000;
/// How long the shop has been open.
const DAYS: i64 = 1_095;
/// Notes in one commit of the database.
const NOTES_PER_COMMIT: usize = 250;

/// What lies where: one entry for each copy would be too many, so title, warehouse and a count.
#[derive(Debug)]
struct Pile {
    book: usize,
    warehouse: usize,
    copies: i64,
}

/// Draws all notes in the order of their time and adds them as commits.
pub(super) fn draw(size: Size, catalogue: &Catalogue, random: &mut Random, until_ms: i64, commits: &mut Vec<Script>) {
    let mut piles: Vec<Pile> = Vec::new();
    let mut script = Script::default();
    let mut lines = size.lines;
    for note in 0..size.notes {
        let left = size.notes - note;
        // The mean of what is left, give or take one; the last note takes the rest.
        let mean = lines / left;
        let wanted = if left == 1 { lines } else { (mean + random.below(3)).saturating_sub(1).max(1) };
        let wanted = wanted.min(lines - (left - 1));
        let age = DAYS * DAY_MS * left as i64 / size.notes as i64;
        // Some hours of a working day, and never after the present.
        let at = (until_ms - age + random.between(0, DAY_MS / 4)).min(until_ms - 60 * 60 * 1000);
        let draft = left <= 5;
        // Deliveries first, so that there is something to sell.
        let inbound = note % 3 == 0 || piles.len() < 3 * (mean + 2);
        lines -= if inbound {
            deliver(catalogue, random, at, draft, wanted, &mut piles, &mut script)
        } else {
            sell(catalogue, random, at, draft, wanted, &mut piles, &mut script)
        };
        if note % NOTES_PER_COMMIT == NOTES_PER_COMMIT - 1 {
            commits.push(std::mem::take(&mut script));
        }
    }
    commits.push(script);
}

fn deliver(
    catalogue: &Catalogue,
    random: &mut Random,
    at: i64,
    draft: bool,
    wanted: usize,
    piles: &mut Vec<Pile>,
    script: &mut Script,
) -> usize {
    let warehouse = random.below(catalogue.warehouses.len());
    let id = random.id();
    let mut taken = HashSet::new();
    let mut supplier = 0;
    while taken.len() < wanted.min(catalogue.books.len()) {
        let book = random.below(catalogue.books.len());
        if !taken.insert(book) {
            continue;
        }
        supplier = catalogue.books[book].supplier;
        let copies = random.between(2, 12);
        let cost = catalogue.books[book].price_cents * 6 / 10;
        let isbn = catalogue.books[book].isbn.clone();
        let row = vec![id.clone().into(), isbn.into(), copies.into(), cost.into(), at.into()];
        script.row("inbound_line (note_id, isbn, quantity, cost_cents, added_at)", row);
        if !draft {
            piles.push(Pile { book, warehouse, copies });
        }
    }
    let (supplier_id, name) = &catalogue.suppliers[supplier];
    script.row(
        "inbound_note (id, name, warehouse_id, supplier_id, created_at, committed_at)",
        vec![
            id.into(),
            format!("{name} delivery").into(),
            catalogue.warehouses[warehouse].clone().into(),
            supplier_id.clone().into(),
            at.into(),
            committed(at, draft),
        ],
    );
    taken.len()
}

fn sell(
    catalogue: &Catalogue,
    random: &mut Random,
    at: i64,
    draft: bool,
    wanted: usize,
    piles: &mut Vec<Pile>,
    script: &mut Script,
) -> usize {
    let id = random.id();
    let mut taken = HashSet::new();
    while taken.len() < wanted && !piles.is_empty() {
        let place = random.below(piles.len());
        let (book, warehouse) = (piles[place].book, piles[place].warehouse);
        if !taken.insert((book, warehouse)) {
            continue;
        }
        let copies = random.between(1, 2).min(piles[place].copies);
        if !draft {
            piles[place].copies -= copies;
            if piles[place].copies == 0 {
                piles.swap_remove(place);
            }
        }
        let price = catalogue.books[book].price_cents;
        script.row(
            "outbound_line (note_id, isbn, warehouse_id, quantity, price_cents, added_at)",
            vec![
                id.clone().into(),
                catalogue.books[book].isbn.clone().into(),
                catalogue.warehouses[warehouse].clone().into(),
                copies.into(),
                price.into(),
                at.into(),
            ],
        );
    }
    let customer = if random.below(5) == 0 { random.of(&catalogue.customers).clone() } else { String::new() };
    let name = if customer.is_empty() { "Counter sale" } else { "Customer order" };
    script.row(
        "outbound_note (id, name, customer_id, created_at, committed_at)",
        vec![id.into(), name.into(), customer.into(), at.into(), committed(at, draft)],
    );
    taken.len()
}

fn committed(at: i64, draft: bool) -> Cell {
    (!draft).then_some(at + 900_000).into()
}
