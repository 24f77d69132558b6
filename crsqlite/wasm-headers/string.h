/* The memory functions are those of Rust's compiler builtins. */
#pragma once
#include <stddef.h>

void *memset(void *place, int byte, size_t count);
void *memcpy(void *to, const void *from, size_t count);

static inline int strcmp(const char *left, const char *right) {
  while (*left && *left == *right) {
    left++;
    right++;
  }
  return (unsigned char)*left - (unsigned char)*right;
}
