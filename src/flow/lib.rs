//! The flow key, masks, matches, extraction, the field table and their text. Level 2.
