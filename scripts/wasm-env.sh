# The environment of every build for the browser. Sourced by scripts/setup, scripts/wasm-cargo and scripts/build-web.
#
# There are two ways to have Rust's standard library for wasm32-unknown-unknown:
#   rustup  the toolchain's own target, by `rustup target add` (the usual way);
#   debian  Debian's rustc with a standard library built from Debian's sources, for machines that reach only
#           package registries. That compiler has another version, so it gets a target folder of its own.
# wasm_way prints the one this machine has; GREENLIGHT_WASM=rustup|debian forces one, which is how both are tested.
# Nothing here installs anything.

wasm_target=wasm32-unknown-unknown
debian_rustlib=/usr/lib/rustlib/$wasm_target

# Rust's test harness is part of the check: without it `cargo test` for wasm can't link.
has_wasm_std() { compgen -G "$1/libstd-*.rlib" >/dev/null && compgen -G "$1/libtest-*.rlib" >/dev/null; }

has_rustup_wasm() {
  local sysroot
  sysroot=$(rustc --print sysroot 2>/dev/null) && has_wasm_std "$sysroot/lib/rustlib/$wasm_target/lib"
}

has_debian_wasm() {
  [ -x /usr/bin/rustc ] && [ "$(cat $debian_rustlib/.version 2>/dev/null)" = "$(/usr/bin/rustc -V)" ] &&
    has_wasm_std $debian_rustlib/lib
}

wasm_way() {
  case ${GREENLIGHT_WASM:-any} in
    rustup) has_rustup_wasm && echo rustup ;;
    debian) has_debian_wasm && echo debian ;;
    any) if has_rustup_wasm; then echo rustup; elif has_debian_wasm; then echo debian; else return 1; fi ;;
    *) echo "GREENLIGHT_WASM is '$GREENLIGHT_WASM'; it may be rustup, debian or any" >&2; return 1 ;;
  esac
}

# The suffix ("-19", or nothing) of a clang that compiles SQLite's C for wasm, with the llvm-ar of the same version.
clang_suffix() {
  local suffix
  for suffix in -19 -20 -21 -22 -18 ''; do
    # Read whole, not piped into `grep -q`: a reader that leaves early makes pipefail see a failed writer.
    if command -v "clang$suffix" "llvm-ar$suffix" >/dev/null &&
      [[ $("clang$suffix" --print-targets) == *wasm32* ]]; then
      echo "$suffix"
      return
    fi
  done
  return 1
}

# Exports what cargo, cc and the test runner read. $1 is the repository's root.
export_wasm_env() {
  local root=$1 way suffix
  way=$(wasm_way) || { echo "No Rust standard library for $wasm_target here: run scripts/setup first." >&2; return 1; }
  suffix=$(clang_suffix) || { echo "No clang here that compiles for wasm32: run scripts/setup first." >&2; return 1; }
  export CC_wasm32_unknown_unknown=clang$suffix AR_wasm32_unknown_unknown=llvm-ar$suffix
  export CARGO_BUILD_TARGET=$wasm_target
  # A name of its own, since build scripts of two compilers in one folder rebuild each other's work for ever.
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/wasm
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$root/scripts/wasm-test-runner
  if [ "$way" = debian ]; then
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-19
    CARGO_TARGET_DIR+=-debian
  fi
}
