// Checks what an app passes to `open` before anything is started, and fills in the defaults.

import { GreenlightError } from "../shared/error.js";
import { MAX_NAME_LENGTH } from "../shared/limits.js";
import type { Integers, OpenOptions } from "../shared/types.js";

/** The options with nothing left open. */
export interface CheckedOptions {
  name: string;
  socketUrl: string;
  schema: string;
  token: () => string | Promise<string>;
  memory: "never" | "fallback" | "always";
  integers: Integers;
  warnBeforeUnload: boolean;
  workerUrl: string | URL | null;
  wasmUrl: string | null;
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/** Throws `invalid` with a sentence that names the option. */
export function checkOptions(options: OpenOptions): CheckedOptions {
  const { name, schema, token = "", memory = "never", integers = "auto" } = options;
  if (typeof name !== "string" || !NAME.test(name) || name.length > MAX_NAME_LENGTH) {
    throw invalid(`name must be 1 to ${MAX_NAME_LENGTH} letters, digits, ".", "_" or "-", not beginning with "." or "-"`);
  }
  if (typeof schema !== "string" || schema.trim() === "") throw invalid("schema must be the schema file's text");
  if (!["never", "fallback", "always"].includes(memory)) throw invalid(`memory can't be "${memory}"`);
  if (!["auto", "bigint", "number"].includes(integers)) throw invalid(`integers can't be "${integers}"`);
  return {
    name,
    socketUrl: socketUrl(options.url, name),
    schema,
    token: typeof token === "function" ? token : () => token,
    memory,
    integers,
    warnBeforeUnload: options.warnBeforeUnload ?? true,
    workerUrl: options.workerUrl ?? null,
    wasmUrl: options.wasmUrl === undefined ? null : new URL(options.wasmUrl, location.href).href,
  };
}

/** `http://host/base` and `ws://host/base` both give `ws://host/base/{name}/sync`. */
function socketUrl(base: string, name: string): string {
  let url: URL;
  try {
    url = new URL(base === "" ? location.origin : base, location.href);
  } catch {
    throw invalid(`url can't be read: "${base}"`);
  }
  const scheme = { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" }[url.protocol];
  if (scheme === undefined) throw invalid(`url must begin with ws, wss, http or https, not "${url.protocol}"`);
  return `${scheme}//${url.host}${url.pathname.replace(/\/+$/, "")}/${name}/sync`;
}

function invalid(message: string): GreenlightError {
  return new GreenlightError("invalid", message);
}
