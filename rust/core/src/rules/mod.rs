//! A merchant's ruleset: which rules a payment matches, and what follows from them.
//!
//! `document` is what comes in, `condition` one question about one fact, `index` and `metadata`
//! the bitmaps that answer all rules' questions at once, `outcomes` what a rule asks for, and
//! `lead` who comes first because of it. docs/routing.md has the formulas and the costs.
mod compile;
mod condition;
mod document;
mod index;
mod intervals;
mod lead;
mod matching;
mod metadata;
mod outcomes;
mod window;

pub(crate) use compile::{Ruleset, places_of};
pub(crate) use document::Document;
pub(crate) use lead::Preference;
pub(crate) use outcomes::{PlaceSet, Verdict};
