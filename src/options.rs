//! What a caller may ask: one table for the options of a generation, one for those of loading a model.
//!
//! An option is declared once, as a row ([`table`]): its names, type, range, default and one sentence. Parsing and
//! checks here, the flags of the command line, the types and tables of the npm package and the tables of the
//! docs all come from that row. `tests/options.rs` writes the files that are made of it and fails when one is stale.
//!
//! An unknown name and a value out of range are errors that say what is allowed. No option is ignored.

pub mod generate;
pub mod load;
pub mod table;
mod values;

pub use generate::{Options, Overflow, Settings};
pub use load::LoadOptions;
pub(crate) use table::not_an_object;
