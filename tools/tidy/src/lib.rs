//! Keeps the rules of the house.
