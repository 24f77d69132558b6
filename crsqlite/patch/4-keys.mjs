// Patch 4: keys unpack to what was packed.
//
// Packed integers and lengths are unsigned and minimal: 255 is one byte. Upstream reads them with `get_int`, which in
// the version of `bytes` that it locks leaves the upper bytes zero; later versions extend the sign, so that integer
// keys 128..255, 32768..65535 and so on, and texts and blobs of those lengths, would unpack to something else.

export default function apply(tree) {
  tree.edit("core/src/pack_columns.rs", "buf.get_int(intlen)", "(buf.get_uint(intlen) as i64)", 3);
}
