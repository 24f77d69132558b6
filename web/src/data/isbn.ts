// ISBNs as people type and scanners send them, and as the database keeps them: thirteen digits.

const SHAPE_13 = /^97[89]\d{10}$/;
const SHAPE_10 = /^\d{9}[\dX]$/;

/** The thirteen digits of an ISBN-10 or ISBN-13 with a right check digit, else null. Hyphens and blanks are passed over. */
export function parseIsbn(typed: string): string | null {
  const text = typed.toUpperCase().replace(/[\s\u2010-\u2015-]/g, "");
  if (SHAPE_13.test(text)) return check13(text.slice(0, 12)) === text[12] ? text : null;
  if (!SHAPE_10.test(text) || check10(text.slice(0, 9)) !== text[9]) return null;
  const body = `978${text.slice(0, 9)}`;
  return body + check13(body);
}

/** Whether someone seems to be typing an ISBN rather than a title. */
export function looksLikeIsbn(typed: string): boolean {
  return /^[\d\s-]{4,}X?$/i.test(typed.trim());
}

/** With a gap after the prefix, as lists show it. */
export function showIsbn(isbn: string): string {
  return isbn.length === 13 ? `${isbn.slice(0, 3)}-${isbn.slice(3)}` : isbn;
}

function check13(digits: string): string {
  const sum = [...digits].reduce((total, digit, i) => total + Number(digit) * (i % 2 === 0 ? 1 : 3), 0);
  return String((10 - (sum % 10)) % 10);
}

function check10(digits: string): string {
  const sum = [...digits].reduce((total, digit, i) => total + Number(digit) * (10 - i), 0);
  const check = (11 - (sum % 11)) % 11;
  return check === 10 ? "X" : String(check);
}
