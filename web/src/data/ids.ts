// Ids are made here, not by the server, so that rows can be born offline.

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
/** 12 letters of 5 bits: two devices that make a million rows each meet with a chance of one in a million. */
const LENGTH = 12;

/** A short random id, readable aloud. */
export function newId(): string {
  const random = crypto.getRandomValues(new Uint8Array(LENGTH));
  return Array.from(random, (byte) => ALPHABET[byte & 31]).join("");
}
