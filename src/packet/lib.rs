//! Frames, bursts, devices and wire formats: checked view and value each; checksums; offload metadata. Level 1.
