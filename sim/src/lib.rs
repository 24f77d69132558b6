//! Seeded simulation of clients and a server over a faulty network.
