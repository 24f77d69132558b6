// Tests of how numbers, money and dates are shown.

import { expect, it } from "vitest";
import { editMoney, parseMoney, plural, showQuantity } from "./format.ts";

it("reads amounts as people type them", () => {
  expect(parseMoney("12")).toBe(1200);
  expect(parseMoney("12.5")).toBe(1250);
  expect(parseMoney(" 8,99 €")).toBe(899);
  // 1.15 * 100 is 114.99999999999999 in binary.
  expect(parseMoney("1.15")).toBe(115);
});

it("refuses what is no amount", () => {
  for (const text of ["", "-1", "1.234", "12,50,0", "1e3", "free", "123456789"]) expect(parseMoney(text)).toBeNull();
});

it("reads back every amount that it lets someone edit", () => {
  for (let cents = 0; cents < 10_000; cents += 7) expect(parseMoney(editMoney(cents))).toBe(cents);
});

it("counts in words", () => {
  expect(plural(1, "copy", "copies")).toBe("1 copy");
  expect(plural(0, "copy", "copies")).toBe("0 copies");
  expect(plural(2, "title")).toBe("2 titles");
});

it("writes negative stock with a minus sign", () => {
  expect(showQuantity(-2)).toBe("\u22122");
  expect(showQuantity(0)).toBe("0");
});
