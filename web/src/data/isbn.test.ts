// Tests of reading and checking ISBNs.

import { describe, expect, it } from "vitest";
import { looksLikeIsbn, parseIsbn, showIsbn } from "./isbn.ts";

describe("parseIsbn", () => {
  it("takes thirteen digits, with hyphens and blanks or without", () => {
    expect(parseIsbn("9780141439518")).toBe("9780141439518");
    expect(parseIsbn(" 978-0-14-143951-8 ")).toBe("9780141439518");
    expect(parseIsbn("978\u20110 14\u2013143951 8")).toBe("9780141439518");
  });

  it("turns ten digits into thirteen, a check digit X included", () => {
    expect(parseIsbn("0-14-143951-3")).toBe("9780141439518");
    expect(parseIsbn("080442957x")).toBe("9780804429573");
  });

  it("refuses every single wrong digit and every swap of two neighbours that differ by other than five", () => {
    const right = [..."9780141439518"];
    for (const [i, digit] of right.entries()) {
      for (const wrong of "0123456789") {
        if (wrong === digit) continue;
        expect(parseIsbn(right.with(i, wrong).join(""))).toBeNull();
      }
    }
    expect(parseIsbn("9780141439581")).toBeNull();
  });

  it("refuses other numbers and texts", () => {
    for (const text of ["", "978014143951", "97801414395180", "1234567890123", "Pride and Prejudice", "X804429570"]) {
      expect(parseIsbn(text)).toBeNull();
    }
  });
});

it("tells typing an ISBN from typing a title", () => {
  expect(looksLikeIsbn("978-01")).toBe(true);
  expect(looksLikeIsbn("1984")).toBe(true);
  expect(looksLikeIsbn("Catch 22")).toBe(false);
});

it("shows the prefix apart", () => {
  expect(showIsbn("9780141439518")).toBe("978-0141439518");
  expect(showIsbn("odd")).toBe("odd");
});
