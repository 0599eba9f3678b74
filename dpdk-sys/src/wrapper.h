/* What bindgen reads: DPDK's headers, and shims for what it cannot express. */
#include <stddef.h>
#include <stdio.h>
#include <rte_config.h>
#include <rte_version.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_vhost.h>

/* rte_errno is a macro over a per-thread variable. */
static inline int ib_errno(void) { return rte_errno; }

/* struct rte_eth_link became a union in 24.11, and its bit-fields have no stable path. */
struct ib_link {
    uint32_t speed_mbps;
    uint8_t full_duplex;
    uint8_t autoneg;
    uint8_t up;
};
static inline int ib_link_get(uint16_t port, struct ib_link *out)
{
    struct rte_eth_link link = {0};
    int rc = rte_eth_link_get_nowait(port, &link);
    out->speed_mbps = link.link_speed;
    out->full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
    out->autoneg = link.link_autoneg == RTE_ETH_LINK_AUTONEG;
    out->up = link.link_status == RTE_ETH_LINK_UP;
    return rc;
}

/*
 * DPDK logs to a stdio stream. This one hands each write, with its level, to a function; it has no file behind it.
 * Returns 0, or -1 when the stream cannot be made.
 */
typedef void (*ib_log_fn)(int level, const char *text, size_t length);
static ib_log_fn ib_log_sink;
static ssize_t ib_log_write(void *cookie, const char *text, size_t length)
{
    (void)cookie;
    ib_log_sink(rte_log_cur_msg_loglevel(), text, length);
    return (ssize_t)length;
}
static inline int ib_log_open(ib_log_fn sink)
{
    cookie_io_functions_t functions = {0};
    FILE *stream;

    ib_log_sink = sink;
    functions.write = ib_log_write;
    stream = fopencookie(NULL, "w", functions);
    return stream == NULL ? -1 : rte_openlog_stream(stream);
}

/* Macros with casts and shifts, which bindgen does not evaluate. */
#define IB_CONST(type, name, value) static const type IB_##name = (value);

IB_CONST(uint32_t, VERSION, RTE_VERSION)
IB_CONST(uint32_t, VERSION_22_11, RTE_VERSION_NUM(22, 11, 0, 0))
IB_CONST(uint32_t, MAX_LCORE, RTE_MAX_LCORE)
IB_CONST(uint32_t, MAX_ETHPORTS, RTE_MAX_ETHPORTS)
IB_CONST(uint32_t, LCORE_ID_ANY, LCORE_ID_ANY)
IB_CONST(int32_t, SOCKET_ID_ANY, SOCKET_ID_ANY)
IB_CONST(uint32_t, PKTMBUF_HEADROOM, RTE_PKTMBUF_HEADROOM)
IB_CONST(uint32_t, MEMPOOL_CACHE_MAX_SIZE, RTE_MEMPOOL_CACHE_MAX_SIZE)
IB_CONST(uint32_t, MEMPOOL_NAMESIZE, RTE_MEMPOOL_NAMESIZE)
IB_CONST(uint32_t, ETH_NAME_MAX_LEN, RTE_ETH_NAME_MAX_LEN)
IB_CONST(uint32_t, LOG_ERR, RTE_LOG_ERR)
IB_CONST(uint32_t, LOG_WARNING, RTE_LOG_WARNING)
IB_CONST(uint32_t, LOG_INFO, RTE_LOG_INFO)
IB_CONST(uint32_t, LOG_DEBUG, RTE_LOG_DEBUG)

IB_CONST(uint64_t, RX_OFFLOAD_VLAN_STRIP, RTE_ETH_RX_OFFLOAD_VLAN_STRIP)
IB_CONST(uint64_t, RX_OFFLOAD_IPV4_CKSUM, RTE_ETH_RX_OFFLOAD_IPV4_CKSUM)
IB_CONST(uint64_t, RX_OFFLOAD_UDP_CKSUM, RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
IB_CONST(uint64_t, RX_OFFLOAD_TCP_CKSUM, RTE_ETH_RX_OFFLOAD_TCP_CKSUM)
IB_CONST(uint64_t, RX_OFFLOAD_TCP_LRO, RTE_ETH_RX_OFFLOAD_TCP_LRO)
IB_CONST(uint64_t, RX_OFFLOAD_SCATTER, RTE_ETH_RX_OFFLOAD_SCATTER)
IB_CONST(uint64_t, RX_OFFLOAD_RSS_HASH, RTE_ETH_RX_OFFLOAD_RSS_HASH)
IB_CONST(uint64_t, TX_OFFLOAD_IPV4_CKSUM, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
IB_CONST(uint64_t, TX_OFFLOAD_UDP_CKSUM, RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
IB_CONST(uint64_t, TX_OFFLOAD_TCP_CKSUM, RTE_ETH_TX_OFFLOAD_TCP_CKSUM)
IB_CONST(uint64_t, TX_OFFLOAD_SCTP_CKSUM, RTE_ETH_TX_OFFLOAD_SCTP_CKSUM)
IB_CONST(uint64_t, TX_OFFLOAD_TCP_TSO, RTE_ETH_TX_OFFLOAD_TCP_TSO)
IB_CONST(uint64_t, TX_OFFLOAD_MULTI_SEGS, RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
IB_CONST(uint64_t, TX_OFFLOAD_MBUF_FAST_FREE, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)
IB_CONST(uint64_t, DEV_CAPA_RUNTIME_RX_QUEUE_SETUP, RTE_ETH_DEV_CAPA_RUNTIME_RX_QUEUE_SETUP)
IB_CONST(uint32_t, DEV_INTR_LSC, RTE_ETH_DEV_INTR_LSC)
IB_CONST(uint32_t, DEV_INTR_RMV, RTE_ETH_DEV_INTR_RMV)
IB_CONST(uint32_t, MQ_RX_NONE, RTE_ETH_MQ_RX_NONE)
IB_CONST(uint32_t, MQ_RX_RSS, RTE_ETH_MQ_RX_RSS)
IB_CONST(uint64_t, RSS_IP, RTE_ETH_RSS_IP)
IB_CONST(uint64_t, RSS_TCP, RTE_ETH_RSS_TCP)
IB_CONST(uint64_t, RSS_UDP, RTE_ETH_RSS_UDP)
IB_CONST(uint64_t, RSS_SCTP, RTE_ETH_RSS_SCTP)
IB_CONST(uint32_t, EVENT_INTR_LSC, RTE_ETH_EVENT_INTR_LSC)
IB_CONST(uint32_t, EVENT_INTR_RMV, RTE_ETH_EVENT_INTR_RMV)

/* Offsets of struct rte_mbuf: crate dpdk asserts that packet::frame::RawFrame has the same ones. */
#define IB_OFFSET(field) static const uint64_t IB_MBUF_OFFSET_##field = offsetof(struct rte_mbuf, field);
IB_OFFSET(buf_addr)
IB_OFFSET(buf_iova)
IB_OFFSET(data_off)
IB_OFFSET(refcnt)
IB_OFFSET(nb_segs)
IB_OFFSET(port)
IB_OFFSET(ol_flags)
IB_OFFSET(packet_type)
IB_OFFSET(pkt_len)
IB_OFFSET(data_len)
IB_OFFSET(vlan_tci)
IB_OFFSET(hash)
IB_OFFSET(vlan_tci_outer)
IB_OFFSET(buf_len)
IB_OFFSET(pool)
IB_OFFSET(next)
IB_OFFSET(tx_offload)
IB_OFFSET(shinfo)
IB_OFFSET(priv_size)
IB_OFFSET(timesync)
IB_OFFSET(dynfield1)
IB_CONST(uint64_t, MBUF_SIZE, sizeof(struct rte_mbuf))

/* Widths of the tx_offload bit-field, in its order. */
IB_CONST(uint32_t, MBUF_L2_LEN_BITS, RTE_MBUF_L2_LEN_BITS)
IB_CONST(uint32_t, MBUF_L3_LEN_BITS, RTE_MBUF_L3_LEN_BITS)
IB_CONST(uint32_t, MBUF_L4_LEN_BITS, RTE_MBUF_L4_LEN_BITS)
IB_CONST(uint32_t, MBUF_TSO_SEGSZ_BITS, RTE_MBUF_TSO_SEGSZ_BITS)
IB_CONST(uint32_t, MBUF_OUTL3_LEN_BITS, RTE_MBUF_OUTL3_LEN_BITS)
IB_CONST(uint32_t, MBUF_OUTL2_LEN_BITS, RTE_MBUF_OUTL2_LEN_BITS)

/* ol_flags. */
#define IB_FLAG(name) static const uint64_t IB_MBUF_F_##name = RTE_MBUF_F_##name;
IB_FLAG(RX_VLAN)
IB_FLAG(RX_RSS_HASH)
IB_FLAG(RX_VLAN_STRIPPED)
IB_FLAG(RX_QINQ_STRIPPED)
IB_FLAG(RX_QINQ)
IB_FLAG(RX_LRO)
IB_FLAG(RX_IP_CKSUM_MASK)
IB_FLAG(RX_IP_CKSUM_UNKNOWN)
IB_FLAG(RX_IP_CKSUM_BAD)
IB_FLAG(RX_IP_CKSUM_GOOD)
IB_FLAG(RX_IP_CKSUM_NONE)
IB_FLAG(RX_OUTER_IP_CKSUM_BAD)
IB_FLAG(RX_L4_CKSUM_MASK)
IB_FLAG(RX_L4_CKSUM_UNKNOWN)
IB_FLAG(RX_L4_CKSUM_BAD)
IB_FLAG(RX_L4_CKSUM_GOOD)
IB_FLAG(RX_L4_CKSUM_NONE)
IB_FLAG(TX_VLAN)
IB_FLAG(TX_QINQ)
IB_FLAG(TX_TCP_SEG)
IB_FLAG(TX_UDP_SEG)
IB_FLAG(TX_L4_NO_CKSUM)
IB_FLAG(TX_TCP_CKSUM)
IB_FLAG(TX_SCTP_CKSUM)
IB_FLAG(TX_UDP_CKSUM)
IB_FLAG(TX_L4_MASK)
IB_FLAG(TX_IP_CKSUM)
IB_FLAG(TX_IPV4)
IB_FLAG(TX_IPV6)
IB_FLAG(TX_OUTER_IP_CKSUM)
IB_FLAG(TX_OUTER_IPV4)
IB_FLAG(TX_OUTER_IPV6)
IB_FLAG(TX_OUTER_UDP_CKSUM)
IB_FLAG(TX_TUNNEL_VXLAN)
IB_FLAG(TX_TUNNEL_GENEVE)
IB_FLAG(TX_TUNNEL_GRE)
IB_FLAG(TX_TUNNEL_IPIP)
IB_FLAG(TX_TUNNEL_MASK)
IB_FLAG(TX_OFFLOAD_MASK)
IB_FLAG(EXTERNAL)
IB_FLAG(INDIRECT)

/* vhost-user: flags of a socket, feature bits that are negotiated with the guest. */
IB_CONST(uint64_t, VHOST_CLIENT, RTE_VHOST_USER_CLIENT)
IB_CONST(uint64_t, VHOST_IOMMU, RTE_VHOST_USER_IOMMU_SUPPORT)
IB_CONST(uint64_t, VHOST_POSTCOPY, RTE_VHOST_USER_POSTCOPY_SUPPORT)
IB_CONST(uint64_t, VHOST_COMPLIANT_OL_FLAGS, RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS)
IB_CONST(uint32_t, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CSUM)
IB_CONST(uint32_t, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM)
IB_CONST(uint32_t, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO4)
IB_CONST(uint32_t, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_TSO6)
IB_CONST(uint32_t, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_ECN)
IB_CONST(uint32_t, VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_GUEST_UFO)
IB_CONST(uint32_t, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO4)
IB_CONST(uint32_t, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_TSO6)
IB_CONST(uint32_t, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_ECN)
IB_CONST(uint32_t, VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_HOST_UFO)
IB_CONST(uint32_t, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_MRG_RXBUF)
IB_CONST(uint32_t, VIRTIO_NET_F_MQ, VIRTIO_NET_F_MQ)
IB_CONST(uint32_t, VIRTIO_F_IOMMU_PLATFORM, VIRTIO_F_IOMMU_PLATFORM)
IB_CONST(uint32_t, VIRTIO_F_RING_PACKED, VIRTIO_F_RING_PACKED)
