//! Which names are databases, and of which schema.
//!
//! Where in the flow: asked when a name is used for the first time. Never looks at the disk.

use super::SettingsError;
use super::file::DatabaseSection;
use crate::name::DatabaseName;

const MIB: u64 = 1024 * 1024;

/// A name with `*` for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Characters that no name has; `key` names the setting.
    pub fn new(text: &str, key: &str) -> Result<Self, SettingsError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-*".contains(c);
        if text.is_empty() || !text.chars().all(allowed) {
            return Err(SettingsError::bad(key, format!("`{text}`: use letters, digits, `_`, `.`, `-` and `*`")));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether every name fits.
    pub fn matches_all(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }

    /// Whether a name fits.
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.len() >= last.len() && rest.ends_with(last)
    }
}

/// A `[[database]]` section, checked.
#[derive(Clone, Debug)]
pub struct DatabaseRule {
    /// The names that it is about.
    pub pattern: Pattern,
    /// The schema file's name without `.sql`.
    pub schema: String,
    /// Whether a database is made on first use.
    pub create: bool,
    /// How large a database may get, in bytes.
    pub max_bytes: Option<u64>,
}

impl TryFrom<DatabaseSection> for DatabaseRule {
    type Error = SettingsError;

    fn try_from(section: DatabaseSection) -> Result<Self, SettingsError> {
        let pattern = Pattern::new(&section.pattern, "database.pattern")?;
        DatabaseName::parse(&section.schema).map_err(|error| {
            SettingsError::bad("database.schema", format!("`{}` is no file's name: {error}", section.schema))
        })?;
        let max_bytes = match section.max_mib {
            Some(0) => return Err(SettingsError::bad("database.max_mib", "use at least 1")),
            max_mib => max_mib.map(|mib| u64::from(mib) * MIB),
        };
        Ok(Self { pattern, schema: section.schema, create: section.create, max_bytes })
    }
}

/// What the rules say of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaChoice {
    /// The schema file's name without `.sql`.
    pub schema: String,
    /// Whether the database is made when it is missing.
    pub create: bool,
    /// How large it may get, in bytes.
    pub max_bytes: Option<u64>,
}

impl SchemaChoice {
    /// The first rule that fits; with `dev` and no rule that fits, the longest schema name that the database's name
    /// starts with, where what follows is nothing, `.` and anything or `-` and anything: `shop`, `shop.sqlite3` and
    /// `shop-42` are of `shop`.
    pub fn of(name: &DatabaseName, rules: &[DatabaseRule], dev: bool, schemas: &[&str]) -> Option<Self> {
        if let Some(rule) = rules.iter().find(|rule| rule.pattern.matches(name.as_str())) {
            let (schema, create, max_bytes) = (rule.schema.clone(), rule.create, rule.max_bytes);
            return Some(Self { schema, create, max_bytes });
        }
        let fits = |schema: &&&str| {
            let rest = name.as_str().strip_prefix(**schema);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
        };
        let longest = schemas.iter().filter(fits).max_by_key(|schema| schema.len())?;
        dev.then(|| Self { schema: (*longest).to_owned(), create: true, max_bytes: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(name: &str, rules: &[DatabaseRule], dev: bool) -> Option<SchemaChoice> {
        SchemaChoice::of(&DatabaseName::parse(name).unwrap(), rules, dev, &["shop", "shop-archive", "notes"])
    }

    fn some(schema: &str, create: bool) -> Option<SchemaChoice> {
        Some(SchemaChoice { schema: schema.to_owned(), create, max_bytes: None })
    }

    #[test]
    fn a_star_stands_for_any_text_also_none() {
        for (pattern, name, fits) in [
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("shop*", "shop", true),
            ("shop*", "shop-42", true),
            ("*shop", "my-shop", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("*", "anything", true),
        ] {
            assert_eq!(Pattern::new(pattern, "pattern").unwrap().matches(name), fits, "{pattern} {name}");
        }
        assert!(Pattern::new("a/b", "pattern").is_err());
    }

    #[test]
    fn in_development_a_name_leads_to_the_schema_that_it_begins_with() {
        assert_eq!(choice("shop", &[], true), some("shop", true));
        assert_eq!(choice("shop.sqlite3", &[], true), some("shop", true));
        assert_eq!(choice("shop-42", &[], true), some("shop", true));
        assert_eq!(choice("shop-archive-1", &[], true), some("shop-archive", true));
        assert_eq!(choice("shopping", &[], true), None);
        assert_eq!(choice("shop", &[], false), None);
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rule = |pattern: &str, create| DatabaseRule {
            pattern: Pattern::new(pattern, "pattern").unwrap(),
            schema: "notes".to_owned(),
            create,
            max_bytes: None,
        };
        let rules = [rule("a*", false), rule("*", true)];
        assert_eq!(choice("abc", &rules, true), some("notes", false));
        assert_eq!(choice("shop", &rules, true), some("notes", true));
    }
}
