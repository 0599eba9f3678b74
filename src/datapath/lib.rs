//! Workers: poll, extract, look up, act, transmit; caches, counters, drop reasons. Level 4.
