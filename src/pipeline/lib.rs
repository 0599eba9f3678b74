//! Tables, rules, groups, translation, NORMAL, learning, tracing. Level 4.
