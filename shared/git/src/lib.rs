//! The one git adapter: the only importer of git2.
