//! What pipeline and datapath say to each other: actions, translations, changes, drop reasons. Level 3.
