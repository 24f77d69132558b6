// Patch 4: keys unpack to what was packed, and an empty or NULL value is a valid slice.

const CAPI = "sqlite-rs-embedded/sqlite3_capi/src/capi.rs";
const NOSTD = "sqlite-rs-embedded/sqlite_nostd/src/nostd.rs";

export default function apply(tree) {
  // Packed integers and lengths are unsigned and minimal. `bytes` after 1.5.0 sign-extends get_int, so that integer
  // keys 128..255, 32768..65535 and so on, and texts and blobs of those lengths, would unpack wrongly.
  tree.edit("core/src/pack_columns.rs", "buf.get_int(intlen)", "(buf.get_uint(intlen) as i64)", 3);

  // SQLite gives a null pointer for NULL and for an empty blob: not a valid slice in Rust, and an abort in debug
  // builds. Both become an empty slice.
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
  tree.edit(CAPI, "core::slice::from_raw_parts(bytes as *const u8, len as usize)", "bytes_or_none(bytes as *const u8, len)", 2);
  tree.edit(CAPI, "core::slice::from_raw_parts(b.cast::<u8>(), n as usize)", "bytes_or_none(b.cast::<u8>(), n)");
  tree.edit(
    NOSTD,
    "unsafe { core::slice::from_raw_parts(ptr as *const u8, len as usize) }\n    }",
    "unsafe { sqlite3_capi::bytes_or_none(ptr as *const u8, len) }\n    }",
  );
  // args!: a function called without arguments, or a table queried without constraints, may be given a null array.
  tree.edit(CAPI, "unsafe { ::core::slice::from_raw_parts($argv, $argc as usize) }", `unsafe {
            if $argc <= 0 { &[] } else { ::core::slice::from_raw_parts($argv, $argc as usize) }
        }`);
  tree.edit(CAPI, "unsafe { ::core::slice::from_raw_parts_mut($argv, $argc as usize) }", `unsafe {
            if $argc <= 0 { &mut [] } else { ::core::slice::from_raw_parts_mut($argv, $argc as usize) }
        }`);
}
