//! How much one caller may ask for: the numbers.
//!
//! Where in the flow: read once at the start. Never counts anything.

use std::num::NonZeroU32;

use greenlight_core::limits::MAX_FRAME_BYTES;

use super::SettingsError;
use super::file::RateSection;

/// Least bytes a second: the largest message then waits no longer than the silence that ends a connection.
const UPLOAD_MIN: u32 = 1024 * 1024;
/// Least bytes at once: the largest message.
const UPLOAD_BURST_MIN: u32 = MAX_FRAME_BYTES as u32;

const REQUESTS: NonZeroU32 = NonZeroU32::new(100).unwrap();
const REQUEST_BURST: NonZeroU32 = NonZeroU32::new(2_000).unwrap();
const UPLOAD: NonZeroU32 = NonZeroU32::new(16 * 1024 * 1024).unwrap();
const UPLOAD_BURST: NonZeroU32 = NonZeroU32::new(64 * 1024 * 1024).unwrap();
const SOCKETS_PER_ADDRESS: usize = 500;

/// How much one caller may ask for. What is counted by address is counted for an IPv6 network of 64 bits as for one.
#[derive(Clone, Copy, Debug)]
pub struct RateSettings {
    /// HTTP requests and new sockets a second, of one address and of one token each.
    pub requests_per_second: NonZeroU32,
    /// The same at once, after a time of quiet.
    pub request_burst: NonZeroU32,
    /// Bytes of messages a second on the sockets of one token.
    pub upload_bytes_per_second: NonZeroU32,
    /// The same at once.
    pub upload_burst_bytes: NonZeroU32,
    /// Sockets of one address at once.
    pub sockets_per_address: usize,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            requests_per_second: REQUESTS,
            request_burst: REQUEST_BURST,
            upload_bytes_per_second: UPLOAD,
            upload_burst_bytes: UPLOAD_BURST,
            sockets_per_address: SOCKETS_PER_ADDRESS,
        }
    }
}

impl TryFrom<RateSection> for RateSettings {
    type Error = SettingsError;

    fn try_from(section: RateSection) -> Result<Self, SettingsError> {
        let number = |key: &str, said: Option<u32>, least: u32, otherwise: NonZeroU32| match said {
            None => Ok(otherwise),
            Some(number) => NonZeroU32::new(number)
                .filter(|number| number.get() >= least)
                .ok_or_else(|| SettingsError::bad(format!("rates.{key}"), format!("use at least {least}"))),
        };
        let sockets_per_address = section.sockets_per_address.unwrap_or(SOCKETS_PER_ADDRESS);
        if sockets_per_address == 0 {
            return Err(SettingsError::bad("rates.sockets_per_address", "use at least 1"));
        }
        let (per_second, burst) = (section.upload_bytes_per_second, section.upload_burst_bytes);
        Ok(Self {
            requests_per_second: number("requests_per_second", section.requests_per_second, 1, REQUESTS)?,
            request_burst: number("request_burst", section.request_burst, 1, REQUEST_BURST)?,
            upload_bytes_per_second: number("upload_bytes_per_second", per_second, UPLOAD_MIN, UPLOAD)?,
            upload_burst_bytes: number("upload_burst_bytes", burst, UPLOAD_BURST_MIN, UPLOAD_BURST)?,
            sockets_per_address,
        })
    }
}
