//! What cr-sqlite does once it is built from source and patched. One module for each patch, with the number of the
//! patch whose absence makes it fail (`prove-patches` shows it), and one for what is left as it is and worked around.

mod basics;
mod peer;
