//! How a snapshot is packed at a remote: compressed, encrypted with a passphrase, or neither.
//!
//! Where in the flow: between a snapshot and the remote that stores it ([`packed`](super::packed)), the same for every
//! kind of remote. Compressed first, since what is encrypted can't be compressed any more. Streams: never holds more of a
//! snapshot in memory than a few pieces. Never writes a passphrase anywhere.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SyncError;
use super::folder::{PIECE_BYTES, hex};
use crate::durable::{self, Readers};

/// The variable that holds the passphrase where no file is named.
pub const PASSPHRASE_VARIABLE: &str = "GREENLIGHT_PASSPHRASE";
/// The longest file of a passphrase that is read, in bytes.
const MAX_PASSPHRASE_BYTES: u64 = 4096;
/// zstd's own default: half a database's size at the speed of a disk.
const ZSTD_LEVEL: i32 = 3;
/// The largest window that is unpacked, as a power of two: 8 MiB, what zstd's levels up to 19 use.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// scrypt's cost of a passphrase, as a power of two: 128 MiB of memory and some tenths of a second, for whoever guesses
/// too.
const SCRYPT_LOG_N: u8 = 17;
/// The highest cost that is accepted from a remote: 1 GiB of memory, and some seconds.
const SCRYPT_LOG_N_MAX: u8 = 20;

/// How a snapshot is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As Zstandard, which `zstd -d` reads.
    Zstd,
}

/// How a snapshot is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// With a passphrase, as the tool `age` does, which reads it.
    Age,
}

/// How what a push stores is packed, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    /// `None`: as what is there is.
    pub compression: Option<Compression>,
    /// `None`: as what is there is.
    pub encryption: Option<Encryption>,
    /// Read only where something is or will be encrypted.
    pub passphrase: Passphrase,
}

impl Default for Packing {
    /// As what is there; the passphrase is in the environment.
    fn default() -> Self {
        Self { compression: None, encryption: None, passphrase: Passphrase::Environment(PASSPHRASE_VARIABLE) }
    }
}

/// Where the passphrase comes from: never the configuration itself, and never the command line, which others can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passphrase {
    /// The file's text, without the line's end.
    File(PathBuf),
    /// The environment variable's text.
    Environment(&'static str),
}

impl Passphrase {
    /// The passphrase.
    ///
    /// # Errors
    /// [`SyncError::Passphrase`] where there is none.
    pub(super) fn read(&self, shown: &str) -> Result<SecretString, SyncError> {
        let missing = |why: String| SyncError::Passphrase { remote: shown.to_owned(), why };
        let text = match self {
            Self::Environment(name) => std::env::var(name).map_err(|_| missing(format!("{name} holds none")))?,
            Self::File(file) => {
                let mut text = String::new();
                let read = File::open(file).and_then(|file| file.take(MAX_PASSPHRASE_BYTES).read_to_string(&mut text));
                read.map_err(|error| missing(format!("{} can't be read: {error}", file.display())))?;
                text
            }
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        match text.strip_suffix('\r').unwrap_or(text) {
            "" => Err(missing("what should hold it is empty".to_owned())),
            text => Ok(SecretString::from(text.to_owned())),
        }
    }
}

/// The file that results: SHA-256 and length.
pub(super) struct Sum {
    pub(super) hash: String,
    pub(super) bytes: u64,
}

/// Packs a file into another, which only this person may read and which is on disk then.
pub(super) fn pack(
    (from, to): (&Path, &Path),
    compression: Compression,
    passphrase: Option<SecretString>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Sum, SyncError> {
    let here = |path: &Path| {
        let path = path.to_owned();
        |source| SyncError::File { path, source }
    };
    let mut source = File::open(from).map_err(here(from))?;
    let of = source.metadata().map_err(here(from))?.len();
    let mut out =
        Summing { file: durable::create(to, Readers::Owner).map_err(here(to))?, hash: Sha256::new(), bytes: 0 };
    sealed(&mut out, passphrase, &mut |out| {
        squeezed(out, compression, &mut |out| copy(&mut source, out, &mut |done| progress(done, of)))
    })
    .and_then(|()| out.file.sync_all())
    .map_err(here(to))?;
    Ok(Sum { hash: hex(&out.hash.finalize()), bytes: out.bytes })
}

/// Unpacks a file into a new one, which only this person may read and which is on disk then. Stops at `limit` bytes: more
/// is refused.
pub(super) fn unpack(
    (from, to): (&Path, &Path),
    compression: Compression,
    passphrase: Option<SecretString>,
    limit: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Sum, Unpack> {
    let file = File::open(from).map_err(Unpack::Read)?;
    let opened: Box<dyn Read> = match passphrase {
        None => Box::new(file),
        Some(passphrase) => Box::new(open(file, passphrase)?),
    };
    let plain: Box<dyn Read> = match compression {
        Compression::None => opened,
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(opened).map_err(Unpack::Read)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(Unpack::Read)?;
            Box::new(decoder)
        }
    };
    // One byte beyond shows that there is more.
    let mut plain = plain.take(limit.saturating_add(1));
    let mut out = durable::create(to, Readers::Owner).map_err(Unpack::Write)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = match plain.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.map_err(Unpack::Read)?,
        };
        bytes += read as u64;
        if bytes > limit {
            return Err(Unpack::TooLong);
        }
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        out.write_all(&piece[..read]).map_err(Unpack::Write)?;
        progress(bytes, limit);
    }
    out.sync_all().map_err(Unpack::Write)?;
    Ok(Sum { hash: hex(&hash.finalize()), bytes })
}

/// Why a file can't be unpacked.
pub(super) enum Unpack {
    /// It is not of this passphrase.
    Passphrase,
    /// It is not what its meta says.
    Read(io::Error),
    /// It holds more than its meta says.
    TooLong,
    /// The disk here.
    Write(io::Error),
}

/// What shows later whether a passphrase is this one: nothing, encrypted with it, as hexadecimal digits.
pub(super) fn check_of(passphrase: SecretString) -> io::Result<String> {
    let mut sealed_nothing = Vec::new();
    sealed(&mut sealed_nothing, Some(passphrase), &mut |_| Ok(()))?;
    Ok(hex(&sealed_nothing))
}

/// Whether a check was made with this passphrase.
pub(super) fn is_of(check: &str, passphrase: SecretString) -> io::Result<bool> {
    let digits = |at| check.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes: Option<Vec<u8>> = (0..check.len()).step_by(2).map(digits).collect();
    let bytes = bytes.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it is no hexadecimal number"))?;
    match open(&*bytes, passphrase) {
        Ok(_) => Ok(true),
        Err(Unpack::Passphrase) => Ok(false),
        Err(Unpack::Read(error) | Unpack::Write(error)) => Err(error),
        Err(Unpack::TooLong) => Err(ErrorKind::FileTooLarge.into()),
    }
}

fn open<R: Read>(file: R, passphrase: SecretString) -> Result<age::stream::StreamReader<R>, Unpack> {
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(SCRYPT_LOG_N_MAX);
    let decryptor = age::Decryptor::new(file).map_err(|error| Unpack::Read(io::Error::other(error.to_string())))?;
    decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(|error| match error {
        age::DecryptError::KeyDecryptionFailed | age::DecryptError::DecryptionFailed => Unpack::Passphrase,
        // A passphrase is the only key there is; what has others is not of this program.
        other => Unpack::Read(io::Error::other(other.to_string())),
    })
}

type Fill<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Lets `fill` write through the encryption.
fn sealed(out: &mut dyn Write, passphrase: Option<SecretString>, fill: Fill<'_>) -> io::Result<()> {
    let Some(passphrase) = passphrase else { return fill(out) };
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(SCRYPT_LOG_N);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .map_err(|error| io::Error::other(error.to_string()))?;
    let mut sealing = encryptor.wrap_output(out)?;
    fill(&mut sealing)?;
    sealing.finish().map(drop)
}

/// Lets `fill` write through the compression.
fn squeezed(out: &mut dyn Write, compression: Compression, fill: Fill<'_>) -> io::Result<()> {
    match compression {
        Compression::None => fill(out),
        Compression::Zstd => {
            let mut squeezing = zstd::Encoder::new(out, ZSTD_LEVEL)?;
            fill(&mut squeezing)?;
            squeezing.finish().map(drop)
        }
    }
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut done = 0;
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&piece[..read])?;
        done += read as u64;
        progress(done);
    }
}

/// What is written, with its sum.
struct Summing {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Write for Summing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
