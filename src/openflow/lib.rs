//! OpenFlow values and their text: actions, instructions, matches, flow-mods. Level 3.
