//! Safe wrappers over DPDK: EAL, pools, ports, queues, statistics. Level 2.
