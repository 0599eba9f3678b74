//! Configures, starts and stops devices. Read first: rte_ethdev.h, its introduction.
use super::{Inner, PortConfig, PortError, Running, RxQueue, TxQueue, info};
use crate::pool::FRAME_OVERHEAD;
use crate::{Errno, Pool, logging};
use dpdk_sys::rte_eth_dev_info;
use std::sync::Arc;

/// The queues of a started port, each to be had by one thread at a time.
#[derive(Debug)]
pub struct Queues {
    /// As many as were asked for, or as many as the device has.
    pub rx: Vec<RxQueue>,
    /// As many as were asked for, or as many as the device has. When these are fewer than the workers, they share: a
    /// lock per burst around each is the caller's.
    pub tx: Vec<TxQueue>,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u16,
}

/// What is asked of the device after looking at what it can do.
struct Plan {
    rx_queues: u16,
    tx_queues: u16,
    rx_offloads: u64,
    tx_offloads: u64,
    rss: u64,
    link_interrupt: bool,
}

pub(super) fn start(port: &Arc<Inner>, config: &PortConfig, pool: &Pool) -> Result<Queues, PortError> {
    if let Some((setting, reason)) = config.wrong() {
        return Err(port.config_error(setting, reason));
    }
    stop(port)?;
    let mut control = port.control();
    let device = info::raw(port.id);
    let plan = plan(port, config, pool, &device)?;
    let (mut rx, mut tx) = (plan.rx_queues, plan.tx_queues);
    // drivers may promise more queues than they can set up: try again with those that could be
    let (rx_descriptors, tx_descriptors) = loop {
        match set_up(port, config, &plan, pool, &device, (rx, tx)) {
            Ok(descriptors) => break descriptors,
            Err(Failed::RxQueue(count, _)) if count > 0 => rx = count,
            Err(Failed::TxQueue(count, _)) if count > 0 => tx = count,
            Err(Failed::RxQueue(_, error) | Failed::TxQueue(_, error) | Failed::Other(error)) => return Err(error),
        }
    };
    // from here on the device may hold frames of the pool, started or not
    control.pool = Some(pool.clone());
    control.xstat_names.clear();
    if let Some(mac) = config.mac {
        set_mac(port, mac)?;
    }
    port.call("start", || {
        // SAFETY: configured above.
        unsafe { dpdk_sys::rte_eth_dev_start(port.id) }
    })?;
    control.running = Some(Running { rx_queues: rx, tx_queues: tx, config: config.clone() });
    if let Err(error) = set_promiscuous(port, config.promiscuous) {
        // many virtual devices receive everything and have no such setting
        log::debug!(target: "dpdk", "{error}");
    }
    if rx < config.rx_queues || tx < config.tx_queues {
        log::info!(
            target: "dpdk",
            "port {} has {rx} receive and {tx} transmit queues; {} and {} were asked for",
            port.name, config.rx_queues, config.tx_queues
        );
    }
    let max_frame = u32::from(config.mtu) + FRAME_OVERHEAD - 4;
    let caps = info::tx_caps(plan.tx_offloads, max_frame);
    Ok(Queues {
        rx: (0..rx).map(|queue| RxQueue::new(port, queue)).collect(),
        tx: (0..tx).map(|queue| TxQueue::new(port, queue, caps, pool)).collect(),
        rx_descriptors,
        tx_descriptors,
    })
}

pub(super) fn stop(port: &Inner) -> Result<(), PortError> {
    let mut control = port.control();
    if control.running.is_none() {
        return Ok(());
    }
    port.call("stop", || {
        // SAFETY: nobody has queues of it: the caller has seen to that.
        unsafe { dpdk_sys::rte_eth_dev_stop(port.id) }
    })?;
    control.running = None;
    Ok(())
}

fn plan(port: &Inner, config: &PortConfig, pool: &Pool, device: &rte_eth_dev_info) -> Result<Plan, PortError> {
    let out_of_range = config.mtu < device.min_mtu || (device.max_mtu != 0 && config.mtu > device.max_mtu);
    if out_of_range {
        let (mtu, least, most) = (config.mtu, device.min_mtu, device.max_mtu);
        return Err(port.config_error("mtu", format_args!("{mtu} is not within the device's {least} to {most}")));
    }
    let can = info::features(device);
    let rx_queues = config.rx_queues.min(device.max_rx_queues);
    let tx_queues = config.tx_queues.min(device.max_tx_queues);
    if rx_queues == 0 || tx_queues == 0 {
        return Err(port.config_error("rx_queues", "the device has no receive or no transmit queues"));
    }
    let mut rx_offloads = 0;
    if config.rx_checksum && can.rx_checksum {
        rx_offloads |= info::RX_CHECKSUMS;
    }
    let rss = if config.rss && rx_queues > 1 { device.flow_type_rss_offloads & info::RSS } else { 0 };
    if rss != 0 {
        rx_offloads |= device.rx_offload_capa & dpdk_sys::IB_RX_OFFLOAD_RSS_HASH;
    }
    if config.mtu > pool.mtu() {
        if device.rx_offload_capa & dpdk_sys::IB_RX_OFFLOAD_SCATTER == 0 {
            let (mtu, fits) = (config.mtu, pool.mtu());
            return Err(
                port.config_error("mtu", format_args!("{mtu} is more than the {fits} that its pool has room for"))
            );
        }
        rx_offloads |= dpdk_sys::IB_RX_OFFLOAD_SCATTER;
    }
    let mut tx_offloads = 0;
    if config.tx_checksum || config.tso {
        let checksums = dpdk_sys::IB_TX_OFFLOAD_IPV4_CKSUM
            | dpdk_sys::IB_TX_OFFLOAD_TCP_CKSUM
            | dpdk_sys::IB_TX_OFFLOAD_UDP_CKSUM
            | dpdk_sys::IB_TX_OFFLOAD_SCTP_CKSUM;
        tx_offloads |= device.tx_offload_capa & checksums;
    }
    if config.tso && can.tso {
        tx_offloads |= dpdk_sys::IB_TX_OFFLOAD_TCP_TSO;
    }
    if (config.multi_segment || config.tso) && can.multi_segment {
        tx_offloads |= dpdk_sys::IB_TX_OFFLOAD_MULTI_SEGS;
    }
    let link_interrupt = config.link_interrupt && can.link_interrupt;
    Ok(Plan { rx_queues, tx_queues, rx_offloads, tx_offloads, rss, link_interrupt })
}

/// What failed; for queues, how many of them could be set up.
enum Failed {
    RxQueue(u16, PortError),
    TxQueue(u16, PortError),
    Other(PortError),
}

fn set_up(
    port: &Inner,
    config: &PortConfig,
    plan: &Plan,
    pool: &Pool,
    device: &rte_eth_dev_info,
    (rx, tx): (u16, u16),
) -> Result<(u16, u16), Failed> {
    let mut conf = dpdk_sys::rte_eth_conf::default();
    conf.rxmode.mtu = u32::from(config.mtu);
    conf.rxmode.offloads = plan.rx_offloads;
    conf.txmode.offloads = plan.tx_offloads;
    if plan.rss != 0 {
        conf.rxmode.mq_mode = dpdk_sys::IB_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = plan.rss;
    }
    conf.intr_conf.set_lsc(u32::from(plan.link_interrupt));
    let complaints = logging::Complaints::begin();
    // SAFETY: the port is stopped, and the structure is copied.
    let code = unsafe { dpdk_sys::rte_eth_dev_configure(port.id, rx, tx, &conf) };
    if code < 0 {
        return Err(Failed::Other(port.device_error("configure", &complaints, Errno::from_negative(code))));
    }
    let (mut rx_descriptors, mut tx_descriptors) = (config.rx_descriptors, config.tx_descriptors);
    port.call("adjust descriptors", || {
        // SAFETY: places to read and write.
        unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(port.id, &mut rx_descriptors, &mut tx_descriptors) }
    })
    .map_err(Failed::Other)?;
    // SAFETY: takes any number.
    let node = unsafe { dpdk_sys::rte_eth_dev_socket_id(port.id) };
    let node = node.cast_unsigned();
    let mut rxconf = device.default_rxconf;
    rxconf.offloads = plan.rx_offloads;
    for queue in 0..rx {
        port.call("set up a receive queue", || {
            let mempool = pool.mempool().as_ptr();
            // SAFETY: configured above; the configuration is copied; the pool is kept by `Control` while the device
            // may have frames of it.
            unsafe { dpdk_sys::rte_eth_rx_queue_setup(port.id, queue, rx_descriptors, node, &rxconf, mempool) }
        })
        .map_err(|error| Failed::RxQueue(queue, error))?;
    }
    let mut txconf = device.default_txconf;
    txconf.offloads = plan.tx_offloads;
    for queue in 0..tx {
        port.call("set up a transmit queue", || {
            // SAFETY: configured above; the configuration is copied.
            unsafe { dpdk_sys::rte_eth_tx_queue_setup(port.id, queue, tx_descriptors, node, &txconf) }
        })
        .map_err(|error| Failed::TxQueue(queue, error))?;
    }
    Ok((rx_descriptors, tx_descriptors))
}

pub(super) fn set_mac(port: &Inner, mac: [u8; 6]) -> Result<(), PortError> {
    let mut address = dpdk_sys::rte_ether_addr { addr_bytes: mac };
    port.call("set the Ethernet address", || {
        // SAFETY: the address is copied; the number is the port's.
        unsafe { dpdk_sys::rte_eth_dev_default_mac_addr_set(port.id, &mut address) }
    })
}

pub(super) fn set_mtu(port: &Inner, mtu: u16) -> Result<(), PortError> {
    port.call("set the MTU", || {
        // SAFETY: the number is the port's.
        unsafe { dpdk_sys::rte_eth_dev_set_mtu(port.id, mtu) }
    })
}

pub(super) fn set_promiscuous(port: &Inner, on: bool) -> Result<(), PortError> {
    port.call("set promiscuous mode", || {
        if on {
            // SAFETY: the number is the port's.
            unsafe { dpdk_sys::rte_eth_promiscuous_enable(port.id) }
        } else {
            // SAFETY: the number is the port's.
            unsafe { dpdk_sys::rte_eth_promiscuous_disable(port.id) }
        }
    })
}
