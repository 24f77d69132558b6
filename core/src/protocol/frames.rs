//! The messages on the wire: encoded, decoded and checked.
//!
//! Where in the flow: between session and socket. The table in the parent module is what this file follows.

mod digests;
mod fragments;

pub(crate) use self::fragments::{encode_fragment, encode_received, is_about_fragments};

use super::changes::{EncodedChanges, decode_changes};
use super::messages::{ClientMessage, Download, Hello, Ping, Pong, Receipt, Refuse, ServerMessage, Upload, Welcome};
use super::wire::{Reader, WireError, Writer};
use super::{RefuseCode, WriterState};
use crate::change::Change;
use crate::limits::{
    MAX_AGENT_BYTES, MAX_COLUMNS, MAX_FRAME_BYTES, MAX_KEY_COLUMNS, MAX_NAME_BYTES, MAX_RANGE_PARTS,
    MAX_SENTENCE_BYTES, MAX_TABLES, MAX_TOKEN_BYTES,
};
use crate::position::{Bound, Cursor, Epoch, Lineage, SiteId, Tag, Version};
use crate::schema::{SchemaId, SchemaShape, TableShape};
use crate::status::StatusState;

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const REFUSE: u8 = 3;
const UPLOAD: u8 = 4;
const DOWNLOAD: u8 = 5;
const UPLOADED: u8 = 6;
const DOWNLOADED: u8 = 7;
const PING: u8 = 8;
const PONG: u8 = 9;
const VERIFY: u8 = 10;
const DIGESTS: u8 = 11;
const FRAGMENT: u8 = 12;
const RECEIVED: u8 = 13;

impl ClientMessage<EncodedChanges> {
    /// The frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => encode_hello(hello),
            Self::Upload(upload) => encode_upload(upload),
            Self::Downloaded(receipt) => {
                encode_receipt(DOWNLOADED, receipt.until.version, receipt.until.tag, receipt.part, receipt.last)
            }
            Self::Ping(ping) => {
                let mut out = start(PING, 32);
                out.varint(ping.number);
                out.byte(ping.state.number());
                out.varint(ping.pending);
                put_mark(&mut out, ping.cursor.version, ping.cursor.tag);
                out.into_vec()
            }
            Self::Verify(verify) => digests::encode_verify(verify),
            Self::Fragment(fragment) => encode_fragment(fragment.number, fragment.last, &fragment.bytes),
            Self::Received(number) => encode_received(*number),
        }
    }
}

impl ClientMessage<Vec<Change>> {
    /// Decodes and checks a frame from a client.
    ///
    /// # Errors
    /// [`WireError`] names the first field that is not right.
    pub fn decode(frame: &[u8]) -> Result<Self, WireError> {
        let mut input = open_frame(frame)?;
        let message = match input.byte("message type")? {
            HELLO => Self::Hello(decode_hello(&mut input)?),
            UPLOAD => Self::Upload(decode_upload(&mut input)?),
            DOWNLOADED => {
                let (version, tag) = take_mark(&mut input, "until")?;
                Self::Downloaded(take_receipt(&mut input, Cursor { version, tag })?)
            }
            PING => Self::Ping(Ping {
                number: input.varint("number")?,
                state: StatusState::from_number(input.byte("state")?).ok_or(WireError::Invalid("state"))?,
                pending: input.varint("pending")?,
                cursor: take_cursor(&mut input, "cursor")?,
            }),
            VERIFY => Self::Verify(digests::decode_verify(&mut input)?),
            FRAGMENT => Self::Fragment(fragments::decode_fragment(&mut input)?),
            RECEIVED => Self::Received(input.varint("number")?),
            other => return Err(WireError::UnknownType(other)),
        };
        input.finish()?;
        Ok(message)
    }
}

impl ServerMessage<EncodedChanges> {
    /// The frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome(welcome) => encode_welcome(welcome),
            Self::Refuse(refuse) => {
                let mut out = start(REFUSE, 64 + refuse.sentence.len());
                out.varint(refuse.code.number());
                out.bytes(clip(&refuse.sentence, MAX_SENTENCE_BYTES).as_bytes());
                out.into_vec()
            }
            Self::Download(download) => encode_download(download),
            Self::Uploaded(receipt) => {
                encode_receipt(UPLOADED, receipt.until.version, receipt.until.tag, receipt.part, receipt.last)
            }
            Self::Pong(pong) => {
                let mut out = start(PONG, 32);
                out.varint(pong.number);
                put_mark(&mut out, pong.head.version, pong.head.tag);
                out.byte(pong.writer.number());
                out.into_vec()
            }
            Self::Digests(answer) => digests::encode_answer(answer),
            Self::Fragment(fragment) => encode_fragment(fragment.number, fragment.last, &fragment.bytes),
            Self::Received(number) => encode_received(*number),
        }
    }
}

impl ServerMessage<Vec<Change>> {
    /// Decodes and checks a frame from a server.
    ///
    /// # Errors
    /// [`WireError`] names the first field that is not right.
    pub fn decode(frame: &[u8]) -> Result<Self, WireError> {
        let mut input = open_frame(frame)?;
        let message = match input.byte("message type")? {
            WELCOME => Self::Welcome(decode_welcome(&mut input)?),
            REFUSE => Self::Refuse(Refuse {
                code: RefuseCode::from_number(input.varint("code")?).ok_or(WireError::Invalid("code"))?,
                sentence: input.text(MAX_SENTENCE_BYTES, "sentence")?.to_owned(),
            }),
            DOWNLOAD => Self::Download(decode_download(&mut input)?),
            UPLOADED => {
                let (version, tag) = take_mark(&mut input, "until")?;
                Self::Uploaded(take_receipt(&mut input, Bound { version, tag })?)
            }
            PONG => Self::Pong(Pong {
                number: input.varint("number")?,
                head: take_cursor(&mut input, "head")?,
                writer: take_writer(&mut input)?,
            }),
            DIGESTS => Self::Digests(digests::decode_answer(&mut input)?),
            FRAGMENT => Self::Fragment(fragments::decode_fragment(&mut input)?),
            RECEIVED => Self::Received(input.varint("number")?),
            other => return Err(WireError::UnknownType(other)),
        };
        input.finish()?;
        Ok(message)
    }
}

/// Shortens a text to at most `limit` bytes at a character's boundary.
fn clip(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

fn start(kind: u8, capacity: usize) -> Writer {
    let mut out = Writer::with_capacity(capacity);
    out.byte(kind);
    out
}

fn open_frame(frame: &[u8]) -> Result<Reader<'_>, WireError> {
    if frame.len() > MAX_FRAME_BYTES { Err(WireError::TooLarge("frame")) } else { Ok(Reader::new(frame)) }
}

fn encode_hello(hello: &Hello) -> Vec<u8> {
    let mut out = start(HELLO, 1_024);
    out.varint(u64::from(hello.protocol));
    out.varint(hello.features);
    out.raw(&hello.site.0);
    put_schema(&mut out, &hello.schema);
    put_shape(&mut out, &hello.shape);
    put_flag(&mut out, hello.lineage.is_some());
    if let Some(lineage) = hello.lineage {
        put_lineage(&mut out, lineage);
    }
    put_mark(&mut out, hello.cursor.version, hello.cursor.tag);
    put_mark(&mut out, hello.acknowledged.version, hello.acknowledged.tag);
    out.bytes(hello.token.as_bytes());
    out.bytes(clip(&hello.agent, MAX_AGENT_BYTES).as_bytes());
    out.into_vec()
}

fn decode_hello(input: &mut Reader<'_>) -> Result<Hello, WireError> {
    Ok(Hello {
        protocol: take_protocol(input)?,
        features: input.varint("features")?,
        site: SiteId(input.array("site")?),
        schema: take_schema(input)?,
        shape: take_shape(input)?,
        lineage: if take_flag(input, "lineage")? { Some(take_lineage(input)?) } else { None },
        cursor: take_cursor(input, "cursor")?,
        acknowledged: take_bound(input, "acknowledged")?,
        token: input.text(MAX_TOKEN_BYTES, "token")?.to_owned(),
        agent: input.text(MAX_AGENT_BYTES, "agent")?.to_owned(),
    })
}

fn encode_welcome(welcome: &Welcome) -> Vec<u8> {
    let mut out = start(WELCOME, 1_024);
    out.varint(u64::from(welcome.protocol));
    out.varint(welcome.features);
    put_lineage(&mut out, welcome.lineage);
    put_schema(&mut out, &welcome.schema);
    put_shape(&mut out, &welcome.shape);
    put_mark(&mut out, welcome.head.version, welcome.head.tag);
    put_mark(&mut out, welcome.held.version, welcome.held.tag);
    put_flag(&mut out, welcome.cursor_known);
    put_flag(&mut out, welcome.may_write);
    out.byte(welcome.writer.number());
    out.into_vec()
}

fn decode_welcome(input: &mut Reader<'_>) -> Result<Welcome, WireError> {
    Ok(Welcome {
        protocol: take_protocol(input)?,
        features: input.varint("features")?,
        lineage: take_lineage(input)?,
        schema: take_schema(input)?,
        shape: take_shape(input)?,
        head: take_cursor(input, "head")?,
        held: take_bound(input, "held")?,
        cursor_known: take_flag(input, "cursor known")?,
        may_write: take_flag(input, "may write")?,
        writer: take_writer(input)?,
    })
}

fn encode_upload(upload: &Upload<EncodedChanges>) -> Vec<u8> {
    let mut out = start(UPLOAD, upload.changes.body.len() + 64);
    put_mark(&mut out, upload.since.version, upload.since.tag);
    put_mark(&mut out, upload.until.version, upload.until.tag);
    put_part(&mut out, upload.part, upload.last);
    put_flag(&mut out, upload.offer);
    out.varint(upload.remaining);
    out.raw(&upload.changes.body);
    out.into_vec()
}

fn decode_upload(input: &mut Reader<'_>) -> Result<Upload<Vec<Change>>, WireError> {
    let since = take_bound(input, "since")?;
    let until = take_bound(input, "until")?;
    if until.version < since.version {
        return Err(WireError::Invalid("until"));
    }
    let (part, last) = take_part(input)?;
    Ok(Upload {
        since,
        until,
        part,
        last,
        offer: take_flag(input, "offer")?,
        remaining: input.varint("remaining")?,
        changes: decode_changes(input)?,
    })
}

fn encode_download(download: &Download<EncodedChanges>) -> Vec<u8> {
    let mut out = start(DOWNLOAD, download.changes.body.len() + 64);
    put_mark(&mut out, download.since.version, download.since.tag);
    put_mark(&mut out, download.until.version, download.until.tag);
    put_part(&mut out, download.part, download.last);
    out.varint(download.remaining);
    out.raw(&download.changes.body);
    out.into_vec()
}

fn decode_download(input: &mut Reader<'_>) -> Result<Download<Vec<Change>>, WireError> {
    let since = take_cursor(input, "since")?;
    let until = take_cursor(input, "until")?;
    if until.version < since.version {
        return Err(WireError::Invalid("until"));
    }
    let (part, last) = take_part(input)?;
    Ok(Download { since, until, part, last, remaining: input.varint("remaining")?, changes: decode_changes(input)? })
}

fn encode_receipt(kind: u8, version: Version, tag: Tag, part: u32, last: bool) -> Vec<u8> {
    let mut out = start(kind, 32);
    put_mark(&mut out, version, tag);
    put_part(&mut out, part, last);
    out.into_vec()
}

fn take_receipt<P>(input: &mut Reader<'_>, until: P) -> Result<Receipt<P>, WireError> {
    let (part, last) = take_part(input)?;
    Ok(Receipt { until, part, last })
}

fn put_flag(out: &mut Writer, flag: bool) {
    out.byte(u8::from(flag));
}

fn take_flag(input: &mut Reader<'_>, field: &'static str) -> Result<bool, WireError> {
    match input.byte(field)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(WireError::Invalid(field)),
    }
}

fn put_part(out: &mut Writer, part: u32, last: bool) {
    out.varint(u64::from(part));
    put_flag(out, last);
}

fn take_part(input: &mut Reader<'_>) -> Result<(u32, bool), WireError> {
    let part = input.limited(u64::from(MAX_RANGE_PARTS), "part")? as u32;
    Ok((part, take_flag(input, "last")?))
}

fn put_mark(out: &mut Writer, version: Version, tag: Tag) {
    out.varint(version.get());
    out.fixed(tag.0);
}

fn take_mark(input: &mut Reader<'_>, field: &'static str) -> Result<(Version, Tag), WireError> {
    let version = Version::new(input.varint(field)?).ok_or(WireError::TooLarge(field))?;
    Ok((version, Tag(input.fixed(field)?)))
}

fn take_cursor(input: &mut Reader<'_>, field: &'static str) -> Result<Cursor, WireError> {
    let (version, tag) = take_mark(input, field)?;
    Ok(Cursor { version, tag })
}

fn take_bound(input: &mut Reader<'_>, field: &'static str) -> Result<Bound, WireError> {
    let (version, tag) = take_mark(input, field)?;
    Ok(Bound { version, tag })
}

fn take_protocol(input: &mut Reader<'_>) -> Result<u16, WireError> {
    let number = input.limited(u64::from(u16::MAX), "protocol")?;
    if number == 0 { Err(WireError::Invalid("protocol")) } else { Ok(number as u16) }
}

fn put_lineage(out: &mut Writer, lineage: Lineage) {
    out.raw(&lineage.site_id.0);
    out.fixed(lineage.epoch.0);
}

fn take_lineage(input: &mut Reader<'_>) -> Result<Lineage, WireError> {
    Ok(Lineage { site_id: SiteId(input.array("lineage")?), epoch: Epoch(input.fixed("epoch")?) })
}

fn take_writer(input: &mut Reader<'_>) -> Result<WriterState, WireError> {
    WriterState::from_number(input.byte("writer")?).ok_or(WireError::Invalid("writer"))
}

fn put_schema(out: &mut Writer, schema: &SchemaId) {
    out.bytes(schema.name.as_bytes());
    out.varint(u64::from(schema.number));
    out.raw(&schema.digest);
}

fn take_schema(input: &mut Reader<'_>) -> Result<SchemaId, WireError> {
    Ok(SchemaId {
        name: input.text(MAX_NAME_BYTES, "schema name")?.to_owned(),
        number: input.limited(u64::from(u32::MAX), "schema number")? as u32,
        digest: input.array("schema digest")?,
    })
}

fn put_shape(out: &mut Writer, shape: &SchemaShape) {
    out.varint(shape.tables.len() as u64);
    for table in &shape.tables {
        out.bytes(table.name.as_bytes());
        for names in [&table.key, &table.columns] {
            out.varint(names.len() as u64);
            for name in names {
                out.bytes(name.as_bytes());
            }
        }
    }
}

fn take_shape(input: &mut Reader<'_>) -> Result<SchemaShape, WireError> {
    let count = input.count(MAX_TABLES, "tables")?;
    let mut tables: Vec<TableShape> = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let name = input.text(MAX_NAME_BYTES, "table")?.to_owned();
        if tables.last().is_some_and(|before| before.name >= name) {
            return Err(WireError::Invalid("table"));
        }
        let key = take_names(input, MAX_KEY_COLUMNS, "key column")?;
        let columns = take_names(input, MAX_COLUMNS, "column")?;
        tables.push(TableShape { name, key, columns });
    }
    Ok(SchemaShape { tables })
}

fn take_names(input: &mut Reader<'_>, limit: usize, field: &'static str) -> Result<Vec<String>, WireError> {
    let count = input.count(limit, field)?;
    (0..count).map(|_| Ok(input.text(MAX_NAME_BYTES, field)?.to_owned())).collect()
}
