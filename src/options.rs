//! What a caller may ask: one table for the options of a generation, one for those of loading a model.
//!
//! A row of [`table`] declares an option: its names, type, range, default and one sentence. Parsing and
//! checks, the flags of the command line, the types of the npm package and the tables of the docs come
//! from the row. `tests/options.rs` writes the files that are made from rows, and fails if one is stale.
//!
//! An unknown name and a value out of range are errors that say what is allowed. No option is ignored.

pub mod generate;
pub mod load;
pub(crate) mod table;
mod values;

pub use generate::{Options, Overflow, Settings};
pub use load::LoadOptions;
pub(crate) use table::not_an_object;
