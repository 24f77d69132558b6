//! Frames put together field by field, so that one field can be replaced by another spelling.
//!
//! Where in the flow: below the tests of limits and of spellings. Never uses the encoder under test.

/// A frame as its named fields. The names are those by which the decoder reports an error.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    fields: Vec<(&'static str, Vec<u8>)>,
    /// Which of the fields are a lone varint.
    varints: Vec<usize>,
}

impl Frame {
    pub(crate) fn new(kind: u8) -> Self {
        Self { fields: vec![("message type", vec![kind])], varints: Vec::new() }
    }

    pub(crate) fn raw(mut self, name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name, bytes.into()));
        self
    }

    pub(crate) fn varint(mut self, name: &'static str, number: u64) -> Self {
        self.varints.push(self.fields.len());
        self.raw(name, varint(number))
    }

    /// A version and its tag.
    pub(crate) fn mark(self, name: &'static str, version: u64, tag: u64) -> Self {
        self.varint(name, version).raw(name, tag.to_le_bytes())
    }

    pub(crate) fn text(self, name: &'static str, text: &str) -> Self {
        self.raw(name, bytes(text.as_bytes()))
    }

    /// The same frame with the first field of that name spelt otherwise.
    pub(crate) fn with(&self, name: &str, spelling: impl Into<Vec<u8>>) -> Self {
        let mut frame = self.clone();
        let field = frame.fields.iter_mut().find(|(field, _)| *field == name).expect("the frame has such a field");
        field.1 = spelling.into();
        frame
    }

    /// Every frame that differs from this one in that one varint has a needless last byte, with the field's name.
    pub(crate) fn with_longer_varints(&self) -> Vec<(&'static str, Vec<u8>)> {
        let longer = |&index: &usize| {
            let mut frame = self.clone();
            let (name, spelling) = &mut frame.fields[index];
            *spelling.last_mut().expect("a varint has a byte") |= 0x80;
            spelling.push(0);
            (*name, frame.bytes())
        };
        self.varints.iter().map(longer).collect()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.fields.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }
}

pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

pub(crate) fn zigzag(number: i64) -> Vec<u8> {
    let magnitude = number.unsigned_abs();
    varint(if number < 0 { (magnitude - 1).wrapping_mul(2) + 1 } else { magnitude * 2 })
}

/// A length and the bytes.
pub(crate) fn bytes(content: &[u8]) -> Vec<u8> {
    [varint(content.len() as u64), content.to_vec()].concat()
}

/// A text of that many bytes, with its length.
pub(crate) fn text_of(length: usize) -> Vec<u8> {
    bytes(&vec![b'a'; length])
}

/// A list: a count and its items.
pub(crate) fn list(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let items: Vec<Vec<u8>> = items.into_iter().collect();
    [varint(items.len() as u64), items.concat()].concat()
}

pub(crate) fn hello() -> Frame {
    schema(Frame::new(1).varint("protocol", 1).varint("features", 0).raw("site", [0xa1; 16]))
        .raw("lineage", [&[1][..], &[0xb0; 16], &7u64.to_le_bytes()].concat())
        .mark("cursor", 300, 0x0123_4567_89ab_cdef)
        .mark("acknowledged", 12, 5)
        .text("token", "secret")
        .text("agent", "shop 1.0")
}

pub(crate) fn welcome() -> Frame {
    schema(
        Frame::new(2)
            .varint("protocol", 1)
            .varint("features", 0)
            .raw("lineage", [&[0xb0; 16][..], &7u64.to_le_bytes()].concat()),
    )
    .mark("head", 301, 9)
    .mark("held", 12, 5)
    .raw("cursor known", [1])
    .raw("may write", [1])
    .raw("writer", [0])
}

fn schema(frame: Frame) -> Frame {
    frame.text("schema name", "shop").varint("schema number", 4).raw("schema digest", [0xd1; 16]).raw(
        "shape",
        list([[bytes(b"book"), list([bytes(b"isbn")]), list([bytes(b"price"), bytes(b"title")])].concat()]),
    )
}

pub(crate) fn refuse() -> Frame {
    Frame::new(3).varint("code", 6).text("sentence", "who are you?")
}

pub(crate) fn upload() -> Frame {
    body(
        Frame::new(4)
            .mark("since", 12, 5)
            .mark("until", 14, 6)
            .varint("part", 2)
            .raw("last", [1])
            .raw("offer", [0])
            .varint("remaining", 0),
    )
}

pub(crate) fn download() -> Frame {
    body(
        Frame::new(5)
            .mark("since", 300, 8)
            .mark("until", 301, 9)
            .varint("part", 0)
            .raw("last", [0])
            .varint("remaining", 70),
    )
}

/// One change: the book with ISBN `x` has the price 5, written by site a1 as its third version.
fn body(frame: Frame) -> Frame {
    frame
        .raw("names", list([bytes(b"book"), bytes(b"price")]))
        .raw("sites", list([vec![0xa1; 16]]))
        .varint("changes", 1)
        .raw("flags", [1 << 4])
        .varint("table", 0)
        .raw("key", bytes(&[1, 0x0b, 1, b'x']))
        .varint("column", 1)
        .varint("change site", 0)
        .varint("column version", 3)
        .varint("causal length", 3)
        .raw("sequence", zigzag(2))
        .raw("value", zigzag(5))
}

pub(crate) fn uploaded() -> Frame {
    Frame::new(6).mark("until", 14, 6).varint("part", 2).raw("last", [1])
}

pub(crate) fn downloaded() -> Frame {
    Frame::new(7).mark("until", 301, 9).varint("part", 0).raw("last", [0])
}

pub(crate) fn ping() -> Frame {
    Frame::new(8).varint("number", 77).raw("state", [2]).varint("pending", 200).mark("cursor", 301, 9)
}

pub(crate) fn pong() -> Frame {
    Frame::new(9).varint("number", 77).mark("head", 301, 9).raw("writer", [3])
}

pub(crate) fn verify() -> Frame {
    Frame::new(10).varint("number", 300).raw("scope", [2]).text("table", "book").raw("bucket", [7])
}

pub(crate) fn digests() -> Frame {
    Frame::new(11)
        .varint("number", 300)
        .mark("at", 301, 9)
        .raw("sums", [1])
        .raw("list", list([[bytes(b"book"), vec![1; 16]].concat(), [bytes(b"stock"), vec![2; 16]].concat()]))
}

pub(crate) fn fragment() -> Frame {
    Frame::new(12).varint("number", 300).raw("last", [0]).raw("fragment", bytes(&[1, 2, 3]))
}

pub(crate) fn received() -> Frame {
    Frame::new(13).varint("number", 300)
}

/// Every message that a client sends, and then every one that a server sends.
pub(crate) fn all() -> ([Frame; 7], [Frame; 8]) {
    (
        [hello(), upload(), downloaded(), ping(), verify(), fragment(), received()],
        [welcome(), refuse(), download(), uploaded(), pong(), digests(), fragment(), received()],
    )
}
