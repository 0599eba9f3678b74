//! Finds DPDK with pkg-config, generates the bindings with bindgen and compiles the shims for static inlines.
//!
//! Only names listed here are generated: the list is what crate `dpdk` uses, and it keeps the build quick and the
//! surface that another DPDK release could break small.
use std::{env, path::PathBuf, process::Command};

/// Functions that DPDK exports, and static inline functions (bindgen writes an out-of-line twin for those).
const FUNCTIONS: &[&str] = &[
    "rte_(eal_init|eal_cleanup|eal_get_runtime_dir|version|strerror)",
    "rte_(thread_register|thread_unregister|lcore_id)",
    "rte_log_set_global_level",
    "rte_dev_(probe|remove)",
    "rte_eth_iterator_(init|next)",
    "rte_eth_dev_(info_get|configure|start|stop|close|socket_id|get_mtu|set_mtu|get_port_by_name|get_name_by_port)",
    "rte_eth_dev_(is_valid_port|adjust_nb_rx_tx_desc|default_mac_addr_set|callback_register)",
    "rte_eth_dev_callback_unregister|rte_eth_find_next",
    "rte_eth_(rx_queue_setup|tx_queue_setup|macaddr_get|stats_get|xstats_get|xstats_get_names)",
    "rte_eth_(promiscuous_enable|promiscuous_disable)",
    "rte_eth_(rx_burst|tx_burst|tx_prepare)",
    "rte_pktmbuf_(pool_create|free|free_bulk|copy|alloc|alloc_bulk)",
    "rte_mempool_(free|full|in_use_count|avail_count)",
    "rte_vhost_driver_(register|unregister|start|callback_register|disable_features)",
    "rte_vhost_(enqueue_burst|dequeue_burst|enable_guest_notification)",
    "rte_vhost_get_(ifname|negotiated_features|vring_num|mtu|numa_node|mem_table|vhost_vring|vring_base)",
    "ib_(errno|link_get|log_open)",
];

/// Structures whose fields crate `dpdk` reads or writes; the rest stay opaque.
const TYPES: &[&str] = &[
    "rte_eth_(conf|dev_info|rxconf|txconf|stats|xstat|xstat_name|rss_conf)",
    "rte_dev_iterator",
    "rte_ether_addr",
    "rte_mbuf",
    "rte_mempool",
    "rte_vhost_device_ops",
    "ib_.*",
];

/// Bindgen cannot lay these out (packed with aligned members) or nothing of ours looks inside.
const OPAQUE: &[&str] = &[
    "rte_arp_.*",
    "rte_gtp.*",
    "rte_l2tpv2.*",
    "rte_mbuf",
    "rte_mempool",
    "rte_device",
    "rte_eth_rxseg.*",
    "rte_eth_vmdq.*",
    "rte_eth_dcb.*",
];

/// Libraries that the generated names live in (`rte_log` is one of its own since 24.07).
const LIBRARIES: &[&str] = &["rte_vhost", "rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring", "rte_eal", "rte_log"];

/// What to do when there is no DPDK; the root package says the same.
const MISSING: &str = "DPDK 22.11 or newer (libdpdk) was not found: run scripts/setup, \
    or build with --no-default-features to leave DPDK out.";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/wrapper.h");
    if let Err(message) = run() {
        println!("cargo::error={message}");
    }
}

fn run() -> Result<(), String> {
    let library = pkg_config::Config::new()
        .atleast_version("22.11")
        .cargo_metadata(false)
        .probe("libdpdk")
        .map_err(|_| MISSING.to_string())?;
    let flags = cflags()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let shims = out.join("shims.c");

    let mut builder = bindgen::Builder::default()
        .header("src/wrapper.h")
        .clang_args(&flags)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .wrap_static_fns(true)
        .wrap_static_fns_path(&shims)
        .allowlist_var("IB_.*")
        .prepend_enum_name(false)
        .derive_default(true)
        .generate_comments(false)
        .layout_tests(false);
    // An opaque structure still drags the parts of its anonymous unions along.
    builder = builder.blocklist_type("rte_mbuf__bindgen.*");
    builder = FUNCTIONS.iter().fold(builder, |b, name| b.allowlist_function(name));
    builder = TYPES.iter().fold(builder, |b, name| b.allowlist_type(name));
    builder = OPAQUE.iter().fold(builder, |b, name| b.opaque_type(name));
    let bindings = builder.generate().map_err(|e| format!("bindgen cannot read DPDK's headers: {e}."))?;
    bindings.write_to_file(out.join("bindings.rs")).map_err(|e| format!("cannot write the bindings: {e}."))?;

    let mut cc = cc::Build::new();
    cc.file(&shims).include(env!("CARGO_MANIFEST_DIR")).warnings(false).opt_level(3).force_frame_pointer(false);
    flags.iter().for_each(|flag| {
        cc.flag(flag);
    });
    cc.try_compile("dpdk-shims").map_err(|e| format!("the shims for DPDK's inline functions do not compile: {e}."))?;

    for path in &library.link_paths {
        println!("cargo::rustc-link-search=native={}", path.display());
    }
    for name in LIBRARIES.iter().filter(|name| library.libs.iter().any(|l| l == *name)) {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
    Ok(())
}

/// The compiler flags of DPDK's own package: the crate `pkg-config` does not hand on `-include` and `-march`, and
/// the inline functions need both.
fn cflags() -> Result<Vec<String>, String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(&program)
        .args(["--cflags", "libdpdk"])
        .output()
        .map_err(|e| format!("{program} cannot be run: {e}; run scripts/setup."))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut flags: Vec<String> = text.split_whitespace().map(str::to_string).collect();
    // For fopencookie.
    flags.push("-D_GNU_SOURCE".into());
    // rte_thread_register and a few more are marked experimental in some of the releases that we build with.
    flags.push("-DALLOW_EXPERIMENTAL_API".into());
    Ok(flags)
}
