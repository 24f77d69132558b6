// Patch 10: an empty or NULL value is a valid slice.
//
// SQLite gives a null pointer for NULL and for an empty blob, and null for an argument list of length 0. In Rust that
// is not a slice: undefined behaviour, and a panic across C, which ends the process, in debug builds.

const CAPI = "sqlite-rs-embedded/sqlite3_capi/src/capi.rs";
const NOSTD = "sqlite-rs-embedded/sqlite_nostd/src/nostd.rs";

export default function apply(tree) {
  tree.append(
    CAPI,
    `
/// The \`n\` bytes at \`p\`, or none where SQLite has none to point to.
///
/// # Safety
/// \`p\` is null, or points to \`n\` bytes that outlive \`'a\`.
pub unsafe fn bytes_or_none<'a>(p: *const u8, n: c_int) -> &'a [u8] {
    if p.is_null() || n <= 0 {
        &[]
    } else {
        core::slice::from_raw_parts(p, n as usize)
    }
}
`,
  );
  // Texts, then blobs, of values and of columns.
  tree.edit(
    CAPI,
    "core::slice::from_raw_parts(bytes as *const u8, len as usize)",
    "bytes_or_none(bytes as *const u8, len)",
    2,
  );
  tree.edit(CAPI, "core::slice::from_raw_parts(b.cast::<u8>(), n as usize)", "bytes_or_none(b.cast::<u8>(), n)");
  tree.edit(
    NOSTD,
    "unsafe { core::slice::from_raw_parts(ptr as *const u8, len as usize) }\n    }",
    "unsafe { sqlite3_capi::bytes_or_none(ptr as *const u8, len) }\n    }",
  );
  // Argument lists.
  for (const [list, none] of [
    ["from_raw_parts", "&[]"],
    ["from_raw_parts_mut", "&mut []"],
  ]) {
    tree.edit(
      CAPI,
      `unsafe { ::core::slice::${list}($argv, $argc as usize) }`,
      `unsafe {
            if $argc <= 0 { ${none} } else { ::core::slice::${list}($argv, $argc as usize) }
        }`,
    );
  }
}
