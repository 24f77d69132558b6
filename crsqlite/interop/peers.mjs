// The two sides of the interop test behind one interface: `sql`, `rows`, `apply`, `close`, all with values in the
// encoding that examples/interop_peer.rs documents, so that types and bits are compared and not what JavaScript makes
// of them.
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import * as SQLite from "@vlcn.io/wa-sqlite";
import { MemoryVFS } from "@vlcn.io/wa-sqlite/src/examples/MemoryVFS.js";

const require = createRequire(import.meta.url);

/** This crate, in a process of its own. */
export class OurPeer {
  static start(program) {
    const peer = new OurPeer();
    peer.process = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
    peer.lines = createInterface({ input: peer.process.stdout })[Symbol.asyncIterator]();
    return peer;
  }

  async ask(line) {
    this.process.stdin.write(`${line.replaceAll("\n", " ")}\n`);
    const rows = [];
    for (;;) {
      const { value, done } = await this.lines.next();
      if (done) throw new Error(`the process ended at: ${line}`);
      if (value === "ok") return rows;
      if (value.startsWith("error ")) throw new Error(`${value.slice(6)} at: ${line}`);
      rows.push(value.slice(4).split("\t"));
    }
  }

  /** A fresh database in memory, or the one in `file`. */
  open(file) {
    return this.ask(file ? `open ${file}` : "open");
  }

  sql(text) {
    return this.ask(`sql ${text}`);
  }

  rows(query) {
    return this.ask(`rows ${query}`);
  }

  apply(change) {
    return this.ask(`apply ${change.join("\t")}`);
  }

  close() {
    return this.ask("close");
  }

  stop() {
    this.process.stdin.end();
  }
}

/** The npm package, instantiated in this process; the oracle. */
export class TheirPeer {
  static async start() {
    const wasm = require.resolve("@vlcn.io/crsqlite-wasm/crsqlite.wasm");
    // Its own entry point wants IndexedDB; the module beneath is the same.
    const { default: factory } = await import(pathToFileURL(wasm.replace(/\.wasm$/, ".mjs")).href);
    const peer = new TheirPeer();
    peer.api = SQLite.Factory(await factory({ wasmBinary: readFileSync(wasm) }));
    peer.files = new MemoryVFS();
    peer.api.vfs_register(peer.files, false);
    return peer;
  }

  /** A fresh database in memory, or the one in `file`, which `close` writes back. */
  async open(file) {
    this.file = file;
    if (file) {
      const bytes = new Uint8Array(readFileSync(file));
      this.files.mapNameToFile.set(file, { name: file, flags: 0, size: bytes.length, data: bytes.buffer });
    }
    this.db = await this.api.open_v2(file ?? ":memory:", undefined, file ? "memory" : undefined);
  }

  async sql(text) {
    await this.api.exec(this.db, text);
  }

  async rows(query) {
    const rows = [];
    for await (const statement of this.api.statements(this.db, query)) {
      while ((await this.api.step(statement)) === SQLite.SQLITE_ROW) {
        const columns = Array.from({ length: this.api.column_count(statement) }, (_, i) => i);
        rows.push(columns.map((i) => this.encode(statement, i)));
      }
    }
    return rows;
  }

  encode(statement, i) {
    const hex = () => Buffer.from(this.api.column_blob(statement, i)).toString("hex");
    switch (this.api.column_type(statement, i)) {
      case SQLite.SQLITE_NULL:
        return "n";
      case SQLite.SQLITE_INTEGER:
        return `i${this.api.column_int64(statement, i)}`;
      case SQLite.SQLITE_FLOAT: {
        const bits = Buffer.alloc(8);
        bits.writeDoubleBE(this.api.column_double(statement, i));
        return `r${bits.toString("hex")}`;
      }
      case SQLite.SQLITE_TEXT:
        return `t${hex()}`;
      default:
        return `b${hex()}`;
    }
  }

  async apply(change) {
    const values = change.map((value) => this.literal(value));
    const insert = `INSERT INTO crsql_changes VALUES (${values.map(({ sql }) => sql).join(",")})`;
    for await (const statement of this.api.statements(this.db, insert)) {
      const reals = values.filter(({ real }) => real !== undefined);
      reals.forEach(({ real }, i) => this.api.bind_double(statement, i + 1, real));
      await this.api.step(statement);
    }
  }

  /** A value as SQL; a real is bound, so that no digit is lost. */
  literal(value) {
    const rest = value.slice(1);
    switch (value[0]) {
      case "n":
        return { sql: "NULL" };
      case "i":
        return { sql: rest };
      case "r":
        return { sql: "?", real: Buffer.from(rest, "hex").readDoubleBE() };
      case "t":
        return { sql: `CAST(x'${rest}' AS TEXT)` };
      default:
        return { sql: `x'${rest}'` };
    }
  }

  async close() {
    await this.sql("SELECT crsql_finalize()");
    await this.api.close(this.db);
    if (this.file) {
      const { data, size } = this.files.mapNameToFile.get(this.file);
      writeFileSync(this.file, new Uint8Array(data, 0, size));
    }
  }

  stop() {}
}
