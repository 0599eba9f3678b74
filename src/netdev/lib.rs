//! Kernel interfaces as ports: AF_PACKET and tap devices with offload headers, link state. Level 2.
