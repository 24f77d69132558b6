// Tests of turning what was typed into a search.

import { expect, it } from "vitest";
import { containing } from "./query.ts";

it("finds wildcards and backslashes as they are written", () => {
  expect(containing("100%")).toBe("%100\\%%");
  expect(containing("a_b")).toBe("%a\\_b%");
  expect(containing("c:\\")).toBe("%c:\\\\%");
  expect(containing("")).toBe("%%");
});
