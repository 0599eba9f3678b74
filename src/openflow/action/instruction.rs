//! Instructions: `meter`, `clear_actions`, `write_actions`, `write_metadata`, `goto_table`.
