//! The shop's books, people and places.
//!
//! Where in the flow: drawn first; trade refers to it.

use std::collections::HashSet;

use super::Size;
use super::random::Random;
use super::script::Script;
use super::words;

const DAY_MS: i64 = 86_400_000;

/// A title.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) isbn: String,
    pub(super) price_cents: i64,
    pub(super) supplier: usize,
}

/// What trade refers to.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) books: Vec<Book>,
    pub(super) warehouses: Vec<String>,
    pub(super) suppliers: Vec<(String, &'static str)>,
    pub(super) customers: Vec<String>,
}

impl Catalogue {
    pub(super) fn draw(size: Size, random: &mut Random, until_ms: i64, commits: &mut Vec<Script>) -> Self {
        let mut base = Script::default();
        let warehouses = warehouses(size, random, &mut base);
        let publishers = publishers(random, &mut base);
        let categories = categories(random, &mut base);
        let authors = authors(size, random, &mut base);
        let suppliers = suppliers(random, &mut base);
        let customers = customers(random, until_ms, &mut base);
        base.row("setting (key, value)", vec!["shop_name".into(), "Colophon".into()]);
        commits.push(base);
        let mut catalogue = Self { books: Vec::new(), warehouses, suppliers, customers };
        let mut taken = HashSet::new();
        let mut script = Script::default();
        while catalogue.books.len() < size.books {
            let isbn = isbn(random);
            if !taken.insert(isbn.clone()) {
                continue;
            }
            catalogue.book(isbn, random, until_ms, [&publishers, &categories, &authors], &mut script);
            if script.rows() > 2_000 {
                commits.push(std::mem::take(&mut script));
            }
        }
        commits.push(script);
        catalogue
    }

    fn book(
        &mut self,
        isbn: String,
        random: &mut Random,
        until_ms: i64,
        [publishers, categories, authors]: [&[String]; 3],
        script: &mut Script,
    ) {
        let price_cents = random.between(6, 48) * 100 - *random.of(&[1, 5, 10, 50]);
        let created_at = until_ms - random.between(1_100, 1_500) * DAY_MS;
        let supplier = random.below(self.suppliers.len());
        script.row(
            "book (isbn, title, publisher_id, category_id, year, language, pages, format, price_cents, created_at)",
            vec![
                isbn.clone().into(),
                words::title(random).into(),
                random.of(publishers).clone().into(),
                random.of(categories).clone().into(),
                random.between(1962, 2024).into(),
                (*random.of(&["en", "en", "en", "it", "de", "fr"])).into(),
                random.between(64, 880).into(),
                (*random.of(&["paperback", "paperback", "hardback"])).into(),
                price_cents.into(),
                created_at.into(),
            ],
        );
        let count = if random.below(6) == 0 { 2 } else { 1 };
        let first = random.below(authors.len());
        for position in 0..count {
            let author = authors[(first + position) % authors.len()].clone();
            let row = vec![isbn.clone().into(), author.into(), "author".into(), (position as i64).into()];
            script.row("book_author (isbn, author_id, role, position)", row);
        }
        let cost = price_cents * random.between(52, 68) / 100;
        let supplier_id = self.suppliers[supplier].0.clone();
        let row = vec![supplier_id.into(), isbn.clone().into(), cost.into(), random.between(1, 12).into()];
        script.row("supplier_book (supplier_id, isbn, cost_cents, delivery_days)", row);
        if random.below(8) == 0 {
            let tag = *random.of(&["staff pick", "window", "signed", "prize", "reading group"]);
            script.row("book_tag (isbn, tag, tagged_at)", vec![isbn.clone().into(), tag.into(), created_at.into()]);
        }
        self.books.push(Book { isbn, price_cents, supplier });
    }
}

/// Thirteen digits with the right check digit: weights 1 and 3 in turn, to a multiple of ten (ISO 2108).
fn isbn(random: &mut Random) -> String {
    let body = format!("978{:09}", random.next() % 1_000_000_000);
    let sum: u32 =
        body.bytes().zip([1, 3].into_iter().cycle()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

fn warehouses(size: Size, random: &mut Random, script: &mut Script) -> Vec<String> {
    let mut ids = Vec::new();
    for (position, (name, address)) in words::WAREHOUSES.iter().take(size.warehouses).enumerate() {
        let id = random.id();
        let discount = *random.of(&[0, 0, 0, 10, 30]);
        script.row(
            "warehouse (id, name, address, discount_percent, position)",
            vec![id.clone().into(), (*name).into(), (*address).into(), discount.into(), (position as i64).into()],
        );
        for shelf in 1..=12 {
            let code = format!("{}{shelf}", char::from(b'A' + (shelf % 4) as u8));
            let label = format!("Bay {shelf}");
            script.row("shelf (warehouse_id, code, label)", vec![id.clone().into(), code.into(), label.into()]);
        }
        ids.push(id);
    }
    ids
}

fn publishers(random: &mut Random, script: &mut Script) -> Vec<String> {
    let mut ids = Vec::new();
    for (name, city) in words::PUBLISHERS {
        let id = random.id();
        script.row("publisher (id, name, city)", vec![id.clone().into(), (*name).into(), (*city).into()]);
        ids.push(id);
    }
    ids
}

fn categories(random: &mut Random, script: &mut Script) -> Vec<String> {
    let mut ids = Vec::new();
    for (position, name) in words::CATEGORIES.iter().enumerate() {
        let id = random.id();
        script.row("category (id, name, position)", vec![id.clone().into(), (*name).into(), (position as i64).into()]);
        ids.push(id);
    }
    ids
}

fn authors(size: Size, random: &mut Random, script: &mut Script) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..(size.books / 4).max(1) {
        let (first, last) = (*random.of(words::FIRST_NAMES), *random.of(words::LAST_NAMES));
        let id = random.id();
        let (name, sorted) = (format!("{first} {last}"), format!("{last}, {first}"));
        script.row("author (id, name, sort_name)", vec![id.clone().into(), name.into(), sorted.into()]);
        ids.push(id);
    }
    ids
}

fn suppliers(random: &mut Random, script: &mut Script) -> Vec<(String, &'static str)> {
    let mut suppliers = Vec::new();
    for name in words::SUPPLIERS {
        let id = random.id();
        script.row("supplier (id, name)", vec![id.clone().into(), (*name).into()]);
        suppliers.push((id, *name));
    }
    suppliers
}

fn customers(random: &mut Random, until_ms: i64, script: &mut Script) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..240 {
        let id = random.id();
        let name = format!("{} {}", random.of(words::FIRST_NAMES), random.of(words::LAST_NAMES));
        let email = format!("reader{number}@example.org");
        let created_at = until_ms - random.between(30, 1_000) * DAY_MS;
        let row = vec![id.clone().into(), name.into(), email.into(), created_at.into()];
        script.row("customer (id, name, email, created_at)", row);
        ids.push(id);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_right() {
        let mut random = Random::new(1);
        for _ in 0..1_000 {
            let isbn = isbn(&mut random);
            let sum: u32 =
                isbn.bytes().enumerate().map(|(place, digit)| u32::from(digit - b'0') * [1, 3][place % 2]).sum();
            assert!(isbn.len() == 13 && sum.is_multiple_of(10), "{isbn}");
        }
    }
}
