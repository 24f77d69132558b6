//! SQL's tokens, as far as they tell where a definition begins and ends.
//!
//! Where in the flow: below the structure of a schema, for what no pragma tells: the text of a column's definition
//! and of its checks. Reads only text that SQLite has accepted, so it never reports an error.

/// One token; comments and white space are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword or a bare name, as written.
    Word(String),
    /// A quoted name, without its quotes.
    Quoted(String),
    /// A string, number or blob literal, as written.
    Literal(String),
    /// Any other character.
    Symbol(char),
}

impl Token {
    /// Whether it is this keyword, in any case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    /// The name that it may be.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Quoted(text) => Some(text),
            _ => None,
        }
    }
}

/// Cuts text into tokens.
pub(crate) fn tokens(sql: &str) -> Vec<Token> {
    let mut rest = sql;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if first.is_whitespace() => first.len_utf8(),
            '-' if rest.starts_with("--") => rest.find('\n').map_or(rest.len(), |end| end + 1),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '\'' => {
                push_quoted(&mut tokens, rest, '\'', |text| Token::Literal(format!("'{}'", text.replace('\'', "''"))))
            }
            '"' | '`' => push_quoted(&mut tokens, rest, first, Token::Quoted),
            '[' => {
                let end = rest.find(']').unwrap_or(rest.len() - 1);
                tokens.push(Token::Quoted(rest[1..end].to_owned()));
                end + 1
            }
            'x' | 'X' if rest[1..].starts_with('\'') => {
                let length = rest[2..].find('\'').map_or(rest.len(), |end| end + 3);
                tokens.push(Token::Literal(rest[..length].to_ascii_lowercase()));
                length
            }
            _ if first.is_ascii_digit() || first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let length = number_length(rest);
                tokens.push(Token::Literal(rest[..length].to_ascii_lowercase()));
                length
            }
            _ if is_word(first) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..length].to_owned()));
                length
            }
            _ => {
                tokens.push(Token::Symbol(first));
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// A number's digits, its point, and an exponent with its sign.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let signed = |index: usize| index > 0 && bytes[index - 1].eq_ignore_ascii_case(&b'e') && !rest.starts_with("0x");
    let goes_on = |(index, byte): (usize, &u8)| {
        byte.is_ascii_alphanumeric() || *byte == b'.' || matches!(byte, b'+' | b'-') && signed(index)
    };
    bytes.iter().enumerate().position(|at| !goes_on(at)).unwrap_or(bytes.len())
}

/// Takes a quoted run in which the quote is doubled, and returns its length.
fn push_quoted(tokens: &mut Vec<Token>, rest: &str, quote: char, make: impl Fn(String) -> Token) -> usize {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((index, c)) = characters.next() {
        if c != quote {
            text.push(c);
        } else if characters.peek().is_some_and(|(_, next)| *next == quote) {
            text.push(c);
            characters.next();
        } else {
            tokens.push(make(text));
            return index + 1;
        }
    }
    tokens.push(make(text));
    rest.len()
}

/// The definitions within the outermost parentheses of a `CREATE TABLE`, cut at its commas.
pub(crate) fn definitions(tokens: &[Token]) -> Vec<&[Token]> {
    let Some(open) = tokens.iter().position(|token| *token == Token::Symbol('(')) else { return Vec::new() };
    let body = group(&tokens[open..]);
    let mut definitions = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (index, token) in body.iter().enumerate() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            Token::Symbol(',') if depth == 0 => {
                definitions.push(&body[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    definitions.push(&body[start..]);
    definitions
}

/// What stands between the parenthesis that `tokens` begin with and the one that closes it.
pub(crate) fn group(tokens: &[Token]) -> &[Token] {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => {
                depth -= 1;
                if depth == 0 {
                    return &tokens[1..index];
                }
            }
            _ => {}
        }
    }
    &tokens[1.min(tokens.len())..]
}

/// The expressions of all `CHECK (...)` in a definition.
pub(crate) fn checks(definition: &[Token]) -> Vec<&[Token]> {
    let starts = definition.windows(2).enumerate();
    starts
        .filter(|(_, pair)| pair[0].is_word("CHECK") && pair[1] == Token::Symbol('('))
        .map(|(index, _)| group(&definition[index + 1..]))
        .collect()
}

/// Tokens as SQL again.
pub(crate) fn sql(tokens: &[Token]) -> String {
    join(tokens, |word| word.to_owned())
}

/// Tokens in a form that is equal for texts that mean the same but for case, quotes, white space and comments.
pub(crate) fn normal_form(tokens: &[Token]) -> String {
    join(tokens, str::to_ascii_lowercase)
}

fn join(tokens: &[Token], word: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for token in tokens {
        // Signs of two characters must not be torn apart.
        let sign = |c: char| "<>=!|&".contains(c);
        if !text.is_empty() && !matches!(token, Token::Symbol(c) if sign(*c) && text.ends_with(sign)) {
            text.push(' ');
        }
        match token {
            Token::Word(name) => text.push_str(&word(name)),
            Token::Quoted(name) => text.push_str(&format!("\"{}\"", word(name).replace('"', "\"\""))),
            Token::Literal(literal) => text.push_str(literal),
            Token::Symbol(c) => text.push(*c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_cut_at_their_own_commas() {
        let tokens =
            tokens("CREATE TABLE t (a TEXT DEFAULT 'x,(y', -- a, b\n \"b c\" CHECK (b IN (1, 2)), PRIMARY KEY (a))");
        let definitions: Vec<String> = definitions(&tokens).into_iter().map(sql).collect();
        assert_eq!(definitions, ["a TEXT DEFAULT 'x,(y'", "\"b c\" CHECK ( b IN ( 1 , 2 ) )", "PRIMARY KEY ( a )"]);
    }

    #[test]
    fn two_character_signs_stay_whole() {
        assert_eq!(sql(&tokens("a<=1 AND b||c != 2 OR d<>3")), "a <= 1 AND b || c != 2 OR d <> 3");
    }

    #[test]
    fn literals_stay_whole() {
        assert_eq!(sql(&tokens("b BLOB DEFAULT X'00fF', r DEFAULT -1.5e-3, h DEFAULT 0x1e+.5")), {
            "b BLOB DEFAULT x'00ff' , r DEFAULT - 1.5e-3 , h DEFAULT 0x1e + .5"
        });
    }
}
