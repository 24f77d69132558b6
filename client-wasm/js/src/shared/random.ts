// Random names for calls, tabs and terms. Works on insecure pages too, where `crypto.randomUUID` is missing.

/** 16 random bytes as hexadecimal digits. */
export function randomId(): string {
  let id = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) id += byte.toString(16).padStart(2, "0");
  return id;
}
