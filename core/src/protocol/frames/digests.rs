//! Questions for digests and their answers on the wire.
//!
//! Where in the flow: beside the other messages. Never compares.

use super::{DIGESTS, VERIFY, put_flag, put_mark, start, take_cursor, take_flag};
use crate::limits::{MAX_DIGESTS, MAX_KEY_BYTES, MAX_NAME_BYTES};
use crate::protocol::messages::{DigestAnswer, Verify};
use crate::protocol::wire::{Reader, WireError, Writer};
use crate::replica::{DigestScope, DigestSum, Digests};

pub(super) fn encode_verify(verify: &Verify) -> Vec<u8> {
    let mut out = start(VERIFY, 32);
    out.varint(verify.number);
    match &verify.scope {
        DigestScope::Tables => out.byte(0),
        DigestScope::Buckets(table) => {
            out.byte(1);
            out.bytes(table.as_bytes());
        }
        DigestScope::Rows(table, bucket) => {
            out.byte(2);
            out.bytes(table.as_bytes());
            out.byte(*bucket);
        }
    }
    out.into_vec()
}

pub(super) fn decode_verify(input: &mut Reader<'_>) -> Result<Verify, WireError> {
    let number = input.varint("number")?;
    let scope = match input.byte("scope")? {
        0 => DigestScope::Tables,
        1 => DigestScope::Buckets(take_table(input)?),
        2 => DigestScope::Rows(take_table(input)?, input.byte("bucket")?),
        _ => return Err(WireError::Invalid("scope")),
    };
    Ok(Verify { number, scope })
}

fn take_table(input: &mut Reader<'_>) -> Result<String, WireError> {
    Ok(input.text(MAX_NAME_BYTES, "table")?.to_owned())
}

pub(super) fn encode_answer(answer: &DigestAnswer) -> Vec<u8> {
    let Digests { at, sums } = &answer.digests;
    let mut out = start(DIGESTS, 32 + sums.as_ref().map_or(0, |sums| sums.len() * 32));
    out.varint(answer.number);
    put_mark(&mut out, at.version, at.tag);
    put_flag(&mut out, sums.is_some());
    if let Some(sums) = sums {
        put_sums(&mut out, sums);
    }
    out.into_vec()
}

fn put_sums(out: &mut Writer, sums: &[(Vec<u8>, DigestSum)]) {
    out.varint(sums.len() as u64);
    for (name, sum) in sums {
        out.bytes(name);
        out.raw(&sum.to_be_bytes());
    }
}

pub(super) fn decode_answer(input: &mut Reader<'_>) -> Result<DigestAnswer, WireError> {
    let number = input.varint("number")?;
    let at = take_cursor(input, "at")?;
    let sums = if take_flag(input, "sums")? { Some(take_sums(input)?) } else { None };
    Ok(DigestAnswer { number, digests: Digests { at, sums } })
}

fn take_sums(input: &mut Reader<'_>) -> Result<Vec<(Vec<u8>, DigestSum)>, WireError> {
    let count = input.count(MAX_DIGESTS, "sums")?;
    let mut sums: Vec<(Vec<u8>, DigestSum)> = Vec::with_capacity(count.min(1_024));
    for _ in 0..count {
        let name = input.bytes(MAX_KEY_BYTES, "name")?.to_vec();
        if sums.last().is_some_and(|(before, _)| *before >= name) {
            return Err(WireError::Invalid("name"));
        }
        sums.push((name, DigestSum::from_be_bytes(input.array("sum")?)));
    }
    Ok(sums)
}
