//! The words that titles, names and places are made of.
//!
//! Where in the flow: read by the catalogue. All invented, or common words and names.

use super::random::Random;

/// Warehouses with their addresses.
pub(super) const WAREHOUSES: &[(&str, &str)] = &[
    ("Main shop", "Canal Street 4"),
    ("Basement", "Canal Street 4"),
    ("Station kiosk", "Platform 2"),
    ("Market stall", "Old Market"),
    ("University", "College Lane 19"),
    ("Second-hand room", "Mill Yard 7"),
    ("Depot north", "Dock Road 112"),
    ("Fair boxes", "Dock Road 112"),
];

/// Publishers with their towns.
pub(super) const PUBLISHERS: &[(&str, &str)] = &[
    ("Heron & Daughters", "Leith"),
    ("Blue Lantern", "Trieste"),
    ("Kestrel House", "Bristol"),
    ("Nine Bridges", "Ghent"),
    ("Orchard Press", "Hereford"),
    ("Marginalia", "Berlin"),
    ("Salt & Paper", "Cork"),
    ("Tamarind", "Lisbon"),
    ("Quayside", "Hull"),
    ("Edizioni del Faro", "Genoa"),
    ("Sommerfeld", "Basel"),
    ("Petit Renard", "Lyon"),
    ("Longshore", "Aberdeen"),
    ("Atlas Minor", "Utrecht"),
    ("Foxglove", "Bath"),
    ("Twelve Winds", "Riga"),
    ("Paper Kite", "Porto"),
    ("Old Ferry", "Rostock"),
    ("Undertow", "Brighton"),
    ("Halfmoon", "Krakow"),
];

/// Categories in their order on the shelves.
pub(super) const CATEGORIES: &[&str] = &[
    "Fiction",
    "Crime",
    "Poetry",
    "Children",
    "Young readers",
    "History",
    "Nature",
    "Travel",
    "Cookery",
    "Art",
    "Science",
    "Philosophy",
    "Music",
    "Local interest",
];

/// Wholesalers.
pub(super) const SUPPLIERS: &[&str] = &[
    "Northern Book Trade",
    "Carrier & Sons",
    "Harbour Wholesale",
    "Libri Express",
    "Page Freight",
    "Remainders Ltd",
    "Small Press Union",
    "Continental Books",
];

/// First names.
pub(super) const FIRST_NAMES: &[&str] = &[
    "Ada", "Amir", "Beatrice", "Bruno", "Carla", "Chidi", "Clara", "Dario", "Edith", "Elif", "Emil", "Farah", "Felix",
    "Greta", "Hana", "Hugo", "Ines", "Ivo", "Jonas", "Judith", "Kaspar", "Leila", "Lorenzo", "Lucia", "Magnus",
    "Marta", "Mei", "Milan", "Nadia", "Noor", "Olga", "Oskar", "Paola", "Rafael", "Rosa", "Samuel", "Silvia", "Tomas",
    "Ursula", "Viktor", "Wanda", "Yusuf",
];

/// Last names.
pub(super) const LAST_NAMES: &[&str] = &[
    "Abbot",
    "Adeyemi",
    "Barlow",
    "Bianchi",
    "Brandt",
    "Calder",
    "Castell",
    "Dahl",
    "Dimitrov",
    "Eriksen",
    "Falk",
    "Ferrante",
    "Fontaine",
    "Garland",
    "Hale",
    "Holm",
    "Ibrahim",
    "Jansen",
    "Kaya",
    "Keller",
    "Lindqvist",
    "Lowell",
    "Marchetti",
    "Moreau",
    "Navarro",
    "Nowak",
    "Okafor",
    "Pereira",
    "Quill",
    "Rinaldi",
    "Rowe",
    "Sato",
    "Serra",
    "Thorne",
    "Urban",
    "Vance",
    "Weiss",
    "Winter",
    "Yilmaz",
    "Zeller",
];

const ADJECTIVES: &[&str] = &[
    "Quiet",
    "Last",
    "Hidden",
    "Borrowed",
    "Northern",
    "Paper",
    "Salt",
    "Winter",
    "Hollow",
    "Patient",
    "Golden",
    "Crooked",
    "Unfinished",
    "Second",
    "Distant",
    "Silent",
    "Tidal",
    "Gentle",
    "Burning",
    "Forgotten",
];

const NOUNS: &[&str] = &[
    "Orchard",
    "Lighthouse",
    "River",
    "Garden",
    "Library",
    "Harbour",
    "Map",
    "Letter",
    "Island",
    "Cartographer",
    "Clockmaker",
    "Bridge",
    "Winter",
    "Daughter",
    "Archive",
    "Ferry",
    "Tide",
    "House",
    "Beekeeper",
    "Mountain",
    "Alphabet",
    "Station",
    "Kitchen",
    "Forest",
    "Atlas",
    "Violin",
];

const PLACES: &[&str] = &[
    "Trieste",
    "the Fens",
    "Saltmarsh",
    "the Upper Lake",
    "Calder Street",
    "Porto",
    "the North Sea",
    "Old Town",
    "Valparaiso",
    "the Delta",
    "Samarkand",
    "Winterthur",
];

/// A title of one of six shapes.
pub(super) fn title(random: &mut Random) -> String {
    let adjective = *random.of(ADJECTIVES);
    let (noun, other, place) = (*random.of(NOUNS), *random.of(NOUNS), *random.of(PLACES));
    match random.below(6) {
        0 => format!("The {adjective} {noun}"),
        1 => format!("{} {noun} in {place}", if begins_with_vowel(noun) { "An" } else { "A" }),
        2 => format!("The {noun} and the {other}"),
        3 => format!("{adjective} {noun}s"),
        4 => format!("The {noun} of {place}"),
        _ => format!("Notes on {} {adjective} {noun}", if begins_with_vowel(adjective) { "an" } else { "a" }),
    }
}

fn begins_with_vowel(word: &str) -> bool {
    word.starts_with(['A', 'E', 'I', 'O', 'U'])
}
