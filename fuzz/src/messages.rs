//! Whole messages of both directions, and ways to spoil a frame.
//!
//! Where in the flow: between [`crate::content`] and the sessions' targets. Never checks anything.

use arbitrary::{Result, Unstructured};
use greenlight_core::limits::{FRAGMENT_BYTES, MAX_RANGE_PARTS};
use greenlight_core::protocol::{
    ClientMessage, DigestAnswer, Download, EncodedChanges, Fragment, Hello, Ping, Pong, Receipt, Refuse, RefuseCode,
    ServerMessage, Upload, Verify, Welcome, WriterState,
};
use greenlight_core::replica::{DigestScope, Digests, ServerFacts};
use greenlight_core::{Bound, Cursor, Epoch, Lineage, SiteId, StatusState};

use crate::content::{TABLES, changes, number, site, tag, text, version};

fn cursor(input: &mut Unstructured<'_>) -> Result<Cursor> {
    Ok(Cursor { version: version(input)?, tag: tag(input)? })
}

fn bound(input: &mut Unstructured<'_>) -> Result<Bound> {
    Ok(Bound { version: version(input)?, tag: tag(input)? })
}

fn part(input: &mut Unstructured<'_>) -> Result<u32> {
    Ok(u32::try_from(number(input, u64::from(MAX_RANGE_PARTS))?).unwrap_or(u32::MAX))
}

/// Mostly the server's own, as it would tell it.
fn lineage(input: &mut Unstructured<'_>, facts: &ServerFacts) -> Result<Lineage> {
    if input.ratio(7, 8u8)? {
        Ok(facts.lineage)
    } else {
        Ok(Lineage { site_id: site(input)?, epoch: Epoch(input.arbitrary()?) })
    }
}

/// A hello that is welcome but for what the input changes in it.
pub(crate) fn hello(input: &mut Unstructured<'_>, facts: &ServerFacts, site: SiteId) -> Result<Hello> {
    let mut hello = Hello {
        protocol: if input.ratio(1, 16u8)? { input.arbitrary()? } else { 1 },
        features: number(input, u64::MAX)?,
        site,
        schema: facts.schema.clone(),
        shape: facts.shape.clone(),
        lineage: if input.arbitrary()? { Some(lineage(input, facts)?) } else { None },
        cursor: cursor(input)?,
        acknowledged: bound(input)?,
        token: text(input)?,
        agent: text(input)?,
    };
    if input.ratio(1, 16u8)? {
        hello.schema.number = input.arbitrary()?;
        hello.shape.tables.truncate(usize::from(input.int_in_range(0..=4u8)?));
    }
    Ok(hello)
}

/// Any message of a client's but the hello.
pub(crate) fn of_client(input: &mut Unstructured<'_>) -> Result<ClientMessage<EncodedChanges>> {
    Ok(match input.int_in_range(0..=6u8)? {
        0 => ClientMessage::Downloaded(Receipt { until: cursor(input)?, part: part(input)?, last: input.arbitrary()? }),
        1 => ClientMessage::Ping(Ping {
            number: input.arbitrary()?,
            state: *input.choose(&StatusState::ALL)?,
            pending: input.arbitrary()?,
            cursor: cursor(input)?,
        }),
        2 => ClientMessage::Verify(Verify { number: input.arbitrary()?, scope: scope(input)? }),
        3 => ClientMessage::Fragment(fragment(input)?),
        4 => ClientMessage::Received(number(input, u64::MAX - 1)?),
        _ => ClientMessage::Upload(Upload {
            since: bound(input)?,
            until: bound(input)?,
            part: part(input)?,
            last: input.arbitrary()?,
            offer: input.arbitrary()?,
            remaining: input.arbitrary()?,
            changes: EncodedChanges::from_changes(&changes(input)?),
        }),
    })
}

fn scope(input: &mut Unstructured<'_>) -> Result<DigestScope> {
    let table = if input.ratio(1, 8u8)? { text(input)? } else { (*input.choose(&TABLES)?).to_owned() };
    Ok(match input.int_in_range(0..=2u8)? {
        0 => DigestScope::Tables,
        1 => DigestScope::Buckets(table),
        _ => DigestScope::Rows(table, input.arbitrary()?),
    })
}

fn fragment(input: &mut Unstructured<'_>) -> Result<Fragment> {
    let bytes = input.arbitrary::<&[u8]>()?;
    let bytes =
        if input.ratio(1, 32u8)? { vec![bytes.first().copied().unwrap_or(4); FRAGMENT_BYTES] } else { bytes.into() };
    Ok(Fragment { number: number(input, u64::MAX - 1)?, last: input.arbitrary()?, bytes })
}

fn writer(input: &mut Unstructured<'_>) -> Result<WriterState> {
    use WriterState::{Busy, Commits, Failing, Full, ReadOnly};
    Ok(*input.choose(&[Commits, Commits, Commits, Full, ReadOnly, Busy, Failing])?)
}

/// A welcome as a server with these facts would say it, but for what the input changes in it.
pub(crate) fn welcome(input: &mut Unstructured<'_>, facts: &ServerFacts, held: Bound) -> Result<Welcome> {
    let mut welcome = Welcome {
        protocol: if input.ratio(1, 16u8)? { input.arbitrary()? } else { 1 },
        features: input.arbitrary()?,
        lineage: lineage(input, facts)?,
        schema: facts.schema.clone(),
        shape: facts.shape.clone(),
        head: cursor(input)?,
        held: if input.ratio(1, 4u8)? { bound(input)? } else { held },
        cursor_known: input.ratio(3, 4u8)?,
        may_write: input.ratio(7, 8u8)?,
        writer: writer(input)?,
    };
    if input.ratio(1, 16u8)? {
        welcome.schema.name = text(input)?;
        welcome.shape.tables.truncate(usize::from(input.int_in_range(0..=4u8)?));
    }
    Ok(welcome)
}

/// Any message of a server's but the welcome. `at` is where the client stands.
pub(crate) fn of_server(
    input: &mut Unstructured<'_>,
    at: Cursor,
    sent: Option<Bound>,
) -> Result<ServerMessage<EncodedChanges>> {
    Ok(match input.int_in_range(0..=10u8)? {
        0 => ServerMessage::Refuse(Refuse {
            code: RefuseCode::from_number(u64::from(input.int_in_range(1..=10u8)?))
                .ok_or(arbitrary::Error::IncorrectFormat)?,
            sentence: text(input)?,
        }),
        1 | 2 => ServerMessage::Uploaded(Receipt {
            until: match sent {
                Some(sent) if input.ratio(3, 4u8)? => sent,
                _ => bound(input)?,
            },
            part: if input.ratio(3, 4u8)? { 0 } else { part(input)? },
            last: input.ratio(3, 4u8)?,
        }),
        3 => ServerMessage::Pong(Pong { number: input.arbitrary()?, head: cursor(input)?, writer: writer(input)? }),
        4 => {
            let count = input.int_in_range(0..=3u8)?;
            let sums = (0..count).map(|_| Ok((text(input)?.into_bytes(), input.arbitrary()?)));
            let sums = sums.collect::<Result<std::collections::BTreeMap<_, _>>>()?;
            let sums = if input.arbitrary()? { Some(sums.into_iter().collect()) } else { None };
            let at = if input.arbitrary()? { at } else { cursor(input)? };
            ServerMessage::Digests(DigestAnswer { number: input.arbitrary()?, digests: Digests { at, sums } })
        }
        5 => ServerMessage::Fragment(fragment(input)?),
        6 => ServerMessage::Received(number(input, u64::MAX - 1)?),
        _ => ServerMessage::Download(Download {
            since: if input.ratio(7, 8u8)? { at } else { cursor(input)? },
            until: cursor(input)?,
            part: if input.ratio(3, 4u8)? { 0 } else { part(input)? },
            last: input.ratio(3, 4u8)?,
            remaining: input.arbitrary()?,
            changes: EncodedChanges::from_changes(&changes(input)?),
        }),
    })
}

/// Leaves most frames as they are; cuts, lengthens or overwrites others.
pub(crate) fn spoil(input: &mut Unstructured<'_>, mut frame: Vec<u8>) -> Result<Vec<u8>> {
    match input.int_in_range(0..=31u8)? {
        0 => frame.truncate(input.choose_index(frame.len().max(1))?),
        1 => frame.extend_from_slice(input.arbitrary::<&[u8]>()?),
        2 => {
            for _ in 0..input.int_in_range(1..=4u8)? {
                let at = input.choose_index(frame.len().max(1))?;
                if let Some(byte) = frame.get_mut(at) {
                    *byte = input.arbitrary()?;
                }
            }
        }
        3 => frame = input.arbitrary::<&[u8]>()?.to_vec(),
        _ => {}
    }
    Ok(frame)
}
