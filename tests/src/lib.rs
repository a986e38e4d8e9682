//! Harness for the end-to-end tests: everything real, everything labelled, everything cleaned up.
