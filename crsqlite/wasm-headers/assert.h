/* wasm32-unknown-unknown has no C library; cr-sqlite's C part needs this little of one. Its asserts are compiled out. */
#pragma once
#define assert(condition) ((void)0)
