//! Tuple space search over versioned rules: staged lookup, prefix tries, priorities. Level 3.
