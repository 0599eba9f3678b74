//! Text of whole messages, as `ovs-ofctl ofp-print` and the log of a connection have it.

mod asynchronous;
mod group;
mod limits;
mod others;
mod port;
mod table;
pub mod tables;

use super::names::{ForFlow, PortNames, port_text};
use super::number;
use crate::action::actions_text_raw;
use crate::flow_mod::{Command, FlowMod};
use crate::group_mod::{BucketRef, GroupCommand, GroupMod};
use crate::types::OfPort;
use crate::view;
use crate::wire::flow::{FlowModRequest, FlowRemoved, RemovedReason};
use crate::wire::kind::{self, Kind};
use crate::wire::message::{BUNDLE_ATOMIC, BUNDLE_ORDERED, Bundle, BundleCommand, ErrorMessage};
use crate::wire::packet::{PacketIn, PacketInFormat, PacketOut};
use crate::wire::stats::{FlowEntry, FlowRequest};
use crate::wire::switch::{FlowFormat, Fragments, Role, RoleReason, RoleRequest, capability};
use crate::wire::text::hex_dump;
use crate::wire::version::Versions;
use crate::wire::{Connection, Error, Header, Message, Version, Xid, bytes::Bytes, codes, decode};
use flow::text::format::{format_masked, packet_mask};
use flow::{Depth, Key, Layers, Metadata, extract, layout as l};
use std::fmt::Write;
use std::time::Duration;

/// A message in words, and what there is to log of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub text: String,
    /// As [`Error::log`].
    pub log: Vec<(&'static str, String)>,
}

/// How much is told: from 1 on the bytes of packets too.
#[derive(Clone, Copy)]
pub struct Teller<'a> {
    pub names: &'a dyn PortNames,
    pub verbosity: u8,
    pub on: Connection<'a>,
}

/// Seconds with milliseconds where there is a fraction.
fn duration(d: Duration) -> String {
    match d.subsec_nanos() {
        0 => format!("{}s", d.as_secs()),
        // milliseconds, and as many digits more as there are
        nanos => {
            let digits = format!("{nanos:09}");
            let end = digits.trim_end_matches('0').len().max(3);
            format!("{}.{}s", d.as_secs(), digits.get(..end).unwrap_or(&digits))
        }
    }
}

/// Flags of a multipart message: that more of it comes.
fn multipart_flags(flags: u16) -> String {
    let more = if flags & 1 != 0 { "[more]" } else { "" };
    match flags & !1 {
        0 if flags == 0 => String::new(),
        0 => format!(" flags={more}"),
        unknown => format!(" flags={more}[***unknown flags {unknown:#06x}***]"),
    }
}

/// Name, version and transaction.
fn head(name: &str, version: u8, xid: Xid) -> String {
    let version = match (version, Version::from_wire(version)) {
        (1, _) => String::new(),
        (_, Some(v)) => format!(" ({})", v.short()),
        (n, None) => format!(" (OF {n:#04x})"),
    };
    format!("{name}{version} (xid={:#x}):", xid.0)
}

impl Teller<'_> {
    /// Tells of one message in `bytes`, whatever they are.
    pub fn tell(&self, bytes: &[u8]) -> Told {
        let dump = || hex_dump(bytes, true);
        let plain = |text: String| Told { text, log: Vec::new() };
        if bytes.is_empty() {
            return plain("OpenFlow message is empty\n".to_owned());
        }
        let Ok(header) = Header::read(&mut Bytes::new(bytes)) else {
            return plain(format!("OpenFlow packet too short (only {} bytes):\n{}", bytes.len(), dump()));
        };
        let len = usize::from(header.len);
        if len != bytes.len() {
            let what = if len > bytes.len() {
                format!("(***truncated to {} bytes from {len}***)\n", bytes.len())
            } else {
                format!("(***only uses {len} bytes out of {}***)\n", bytes.len())
            };
            let name = name_of(bytes, header).map(|n| head(n, header.version, header.xid) + "\n");
            return plain(format!("{}{what}{}", name.unwrap_or_default(), dump()));
        }
        match decode(bytes, self.on) {
            Ok((version, xid, message)) => {
                let name = name_of(bytes, header).unwrap_or("");
                let mut told = Told { text: head(name, header.version, xid), log: Vec::new() };
                let mut rest = Bytes::new(bytes);
                let flags = rest.skip(8).map_or(0, |()| kind::flags(header, version, rest));
                told.text.push_str(&multipart_flags(flags));
                self.body(&mut told, bytes, version, &message);
                if !told.text.ends_with('\n') {
                    told.text.push('\n');
                }
                told
            }
            Err(e) => refused(bytes, header, &e),
        }
    }

    fn body(&self, told: &mut Told, bytes: &[u8], version: Version, message: &Message) {
        let out = &mut told.text;
        match message {
            Message::Hello(versions) => {
                hello(out, bytes, *versions);
                told.log.extend(crate::wire::version::hello_notes(bytes.get(8..).unwrap_or(&[])));
            }
            Message::Error(e) => self.error(told, e),
            Message::EchoRequest(data) | Message::EchoReply(data) => {
                let _ = writeln!(out, " {} bytes of payload", data.len());
                out.push_str(&hex_dump(data, true));
            }
            Message::FeaturesReply(f) => features(out, f, version),
            Message::GetConfigReply(c) | Message::SetConfig(c) => {
                let fragments = match c.fragments {
                    Fragments::Normal => "normal",
                    Fragments::Drop => "drop",
                    Fragments::Reassemble => "reassemble",
                    Fragments::NxMatch => "nx-match",
                };
                let ttl = if c.invalid_ttl_to_controller == Some(true) { " invalid_ttl_to_controller" } else { "" };
                let _ = write!(out, " frags={fragments}{ttl} miss_send_len={}", c.miss_send_len);
            }
            Message::PacketIn(p) | Message::Resume(p) => self.packet_in(out, p),
            Message::PacketOut(p) => self.packet_out(out, p, version),
            Message::FlowMod { request, nx } => {
                self.flow_mod(out, bytes, request, version, *nx);
                if version == Version::Of10 && !nx {
                    told.log.extend(left_out(bytes, &request.flow.matching));
                }
            }
            Message::FlowRemoved { removed, .. } => self.flow_removed(out, removed),
            Message::GroupMod { group, nx } => {
                let _ = write!(out, "\n {}", self.group_mod(group, *nx || version >= Version::Of15));
            }
            Message::PortStatus(s) => out.push_str(&port::status(s)),
            Message::PortMod(m) => out.push_str(&port::modify(m)),
            Message::RoleRequest(r) | Message::RoleReply(r) => out.push_str(&role(*r)),
            Message::RoleStatus(s) => {
                out.push_str(&role(RoleRequest { role: s.role, generation: s.generation }));
                let _ = write!(
                    out,
                    " reason={}",
                    match s.reason {
                        RoleReason::PrimaryRequest => "primary_request",
                        RoleReason::Config => "configuration_changed",
                        RoleReason::Experimenter => "experimenter_data_changed",
                    }
                );
            }
            Message::SetFlowFormat(f) => {
                let _ = write!(out, " format={}", if *f == FlowFormat::Nxm { "nxm" } else { "openflow10" });
            }
            Message::FlowModTableId(on) => out.push_str(if *on { " enable" } else { " disable" }),
            Message::SetPacketInFormat(f) => {
                let _ = write!(
                    out,
                    " format={}",
                    match f {
                        PacketInFormat::Standard => "openflow10",
                        PacketInFormat::Nxt => "nxt_packet_in",
                        PacketInFormat::Nxt2 => "nxt_packet_in2",
                    }
                );
            }
            Message::SetControllerId(id) => {
                let _ = write!(out, " id={id}");
            }
            Message::BundleControl { bundle, command } => {
                let _ = write!(out, "\n{}", bundle_text(*bundle, Some(*command)));
            }
            Message::BundleAdd { bundle, .. } => {
                let _ = writeln!(out, "\n{}", bundle_text(*bundle, None));
                let inner = inner(bytes, version).map(|b| self.tell(b)).unwrap_or_default();
                told.text.push_str(&inner.text);
                told.log.extend(inner.log);
            }
            Message::DescReply(d) => {
                let _ = write!(
                    out,
                    "\nManufacturer: {}\nHardware: {}\nSoftware: {}\nSerial Num: {}\nDP Description: {}\n",
                    d.manufacturer, d.hardware, d.software, d.serial, d.datapath
                );
            }
            Message::FlowStatsRequest { request, .. } | Message::AggregateRequest { request, .. } => {
                out.push_str(&self.flow_request(request));
            }
            Message::FlowStatsReply { flows, .. } => {
                for f in &flows.entries {
                    let _ = write!(out, "\n {}", self.flow_entry(f, version));
                }
            }
            Message::AggregateReply { aggregate: a, .. } => {
                let _ = write!(out, " packet_count={} byte_count={} flow_count={}", a.packets, a.bytes, a.flows);
            }
            Message::TableStatsReply(t) => out.push_str(&tables::Tables::of_stats(&t.entries, version, self.names)),
            Message::TableFeaturesRequest(t) if t.entries.is_empty() => {}
            Message::TableFeaturesRequest(t) => out.push_str(&tables::request(&t.entries, version, self.names)),
            Message::TableFeaturesReply(t) => out.push_str(&tables::Tables::of_features(&t.entries, self.names)),
            Message::PortStatsRequest(p) => {
                let _ = write!(out, " port_no={}", port::wanted(*p));
            }
            Message::PortStatsReply(ports) => out.push_str(&port::stats(&ports.entries)),
            Message::PortDescRequest(p) => {
                let _ = write!(out, " port={}", port::wanted(*p));
            }
            Message::PortDescReply(ports) => {
                out.push('\n');
                out.push_str(&port::list(&ports.entries));
            }
            Message::MeterMod(m) => out.push_str(&limits::meter_mod(m)),
            Message::MeterStatsRequest(id) | Message::MeterConfigRequest(id) => {
                let _ = write!(out, " meter={}", limits::meter_id(*id));
            }
            Message::MeterStatsReply(meters) => meters.entries.iter().for_each(|m| limits::meter_stats(out, m)),
            Message::MeterConfigReply(meters) => {
                meters.entries.iter().for_each(|m| out.push_str(&format!("\n{}", limits::meter(m))));
            }
            Message::MeterFeaturesReply(f) => limits::meter_features(out, f),
            Message::QueueStatsRequest(r) => out.push_str(&limits::queues(*r, self.names)),
            Message::QueueConfigRequest(r) => out.push_str(&limits::queues_of(*r, version, self.names)),
            Message::QueueStatsReply(queues) => limits::queue_stats(out, &queues.entries, self.names),
            Message::QueueConfigReply { queues, .. } => limits::queue_configs(out, &queues.entries, self.names),
            Message::GroupStatsRequest(id) | Message::GroupDescRequest(id) => {
                let _ = write!(out, " group_id={}", group::id(*id));
            }
            Message::GroupStatsReply(groups) => groups.entries.iter().for_each(|g| group::stats(out, g)),
            Message::GroupDescReply(groups) => {
                for g in &groups.entries {
                    let modern = version == Version::Of10 || version >= Version::Of15;
                    let words = if modern { view::Version::Of15 } else { view::Version::Of10 };
                    let _ = write!(out, "\n {}", super::group::group_text(g, words, self.names));
                }
            }
            Message::GroupFeaturesReply(f) => group::features(out, f, version),
            Message::TableMod(m) => out.push_str(&table::modify(m, version, self.names)),
            Message::TableDescReply(tables) => table::descriptions(out, &tables.entries, self.names),
            Message::TableStatus { reason, table } => table::status(out, *reason, table, self.names),
            Message::GetAsyncReply(c) | Message::SetAsync { config: c, .. } => asynchronous::config(out, c),
            Message::RequestForward { message, .. } => match &**message {
                Message::GroupMod { group, nx } => {
                    let modern = *nx || version >= Version::Of15;
                    let _ = write!(out, " reason=group_mod\n {}", self.group_mod(group, modern));
                }
                Message::MeterMod(m) => {
                    let _ = write!(out, " reason=meter_mod{}", limits::meter_mod(m));
                }
                _ => {}
            },
            Message::FlowMonitorRequest(all) => all.iter().for_each(|r| self.monitor(out, r)),
            Message::FlowMonitorReply(updates) => updates.entries.iter().for_each(|u| self.update(out, u, version)),
            Message::FlowMonitorCancel(id) => {
                let _ = write!(out, " id={id}");
            }
            Message::TlvTableMod(m) => others::tlv_mod(out, m),
            Message::TlvTableReply(r) => others::tlv_reply(out, r),
            Message::CtFlushZone(zone) => {
                let _ = write!(out, " zone_id={zone}");
            }
            Message::CtFlush(f) => out.push_str(&others::flush(f)),
            Message::IpfixBridgeReply(s) => out.push_str(&others::ipfix_bridge(s)),
            Message::IpfixFlowReply(sets) => out.push_str(&others::ipfix_flows(&sets.entries)),
            Message::FeaturesRequest
            | Message::MeterFeaturesRequest
            | Message::GroupFeaturesRequest
            | Message::TableDescRequest
            | Message::GetAsyncRequest
            | Message::FlowMonitorPaused
            | Message::FlowMonitorResumed
            | Message::TlvTableRequest
            | Message::IpfixBridgeRequest
            | Message::IpfixFlowRequest
            | Message::GetConfigRequest
            | Message::BarrierRequest
            | Message::BarrierReply
            | Message::FlowAge
            | Message::DescRequest
            | Message::TableStatsRequest => {}
        }
    }

    fn error(&self, told: &mut Told, e: &ErrorMessage) {
        let out = &mut told.text;
        match e.code {
            Some(code) => {
                let _ = writeln!(out, " {code}");
            }
            None => {
                let n = e.numbers;
                let _ =
                    writeln!(out, " ***unknown error (vendor {:#x}, type {}, code {})***", n.vendor, n.kind, n.code);
                out.push_str(&hex_dump(&e.data, true));
                return;
            }
        }
        if e.code == Some(codes::OFPHFC_INCOMPATIBLE) || e.code == Some(codes::OFPHFC_EPERM) {
            let text: String = e.data.iter().map(|b| escaped(*b)).collect();
            let _ = writeln!(out, "{text}");
        } else {
            let inner = self.tell(&e.data);
            out.push_str(&inner.text);
            told.log.extend(inner.log);
        }
    }

    fn packet(&self, out: &mut String, packet: &[u8]) {
        out.push_str(&packet_text(packet));
        if self.verbosity > 2 {
            out.push_str(&hex_dump(packet, false));
        }
    }

    fn packet_in(&self, out: &mut String, p: &PacketIn) {
        if let Some(t) = p.table.filter(|t| t.0 != 0) {
            let _ = write!(out, " table_id={t}");
        }
        if let Some(c) = p.cookie.filter(|c| c.0 != u64::MAX) {
            let _ = write!(out, " cookie={c}");
        }
        let metadata = flow::text::format::format_match(&p.metadata, &ForFlow(self.names));
        let metadata = if metadata.is_empty() { String::new() } else { format!(" {metadata}") };
        let _ =
            write!(out, " total_len={}{metadata} (via {}) data_len={} ", p.total_len, p.reason.name(), p.packet.len());
        match p.buffer {
            Some(id) => {
                let _ = writeln!(out, "buffer={id:#010x}");
            }
            None => out.push_str("(unbuffered)\n"),
        }
        if !p.userdata.is_empty() {
            let _ = writeln!(out, " userdata={}", number::bytes_text(&p.userdata));
        }
        if p.continuation.is_some() {
            out.push_str(" continuation\n");
        }
        self.packet(out, &p.packet);
    }

    fn packet_out(&self, out: &mut String, p: &PacketOut, version: Version) {
        let metadata = flow::text::format::format_match(&p.metadata, &ForFlow(self.names));
        let _ = write!(out, " {metadata} actions={}", self.actions(&p.actions, version));
        match p.buffer {
            Some(id) => {
                let _ = write!(out, " buffer={id:#010x}");
            }
            None => {
                let _ = writeln!(out, " data_len={}", p.packet.len());
                if !p.packet.is_empty() {
                    self.packet(out, &p.packet);
                }
            }
        }
    }

    fn actions(&self, actions: &[crate::Action], version: Version) -> String {
        actions_text(actions, version, self.names)
    }

    fn flow_mod(&self, out: &mut String, bytes: &[u8], r: &FlowModRequest, version: Version, nx: bool) {
        let f = &r.flow;
        let command = match f.command {
            Command::Add => "ADD",
            Command::Modify => "MOD",
            Command::ModifyStrict => "MOD_STRICT",
            Command::Delete => "DEL",
            Command::DeleteStrict => "DEL_STRICT",
        };
        let mut words = vec![command.to_owned()];
        let all = version > Version::Of10 && f.command != Command::Add;
        // OpenFlow 1.0 has it in the command's upper byte
        let said = bytes.get(if nx { 24 } else { 56 }).filter(|_| version == Version::Of10).map(|n| crate::TableId(*n));
        let table = said.or(f.table).or(all.then_some(crate::TableId(crate::TableId::ALL)));
        words.extend(table.filter(|t| t.0 != 0).map(|t| format!("table:{t}")));
        let raw = if self.verbosity >= 3 { super::raw::flow_mod(bytes, version, nx) } else { None };
        let priority = raw.as_ref().filter(|_| f.priority != crate::flow_mod::DEFAULT_PRIORITY).map(|_| f.priority);
        let rule = raw.unwrap_or_else(|| super::flow::rule_text(f, view::Version::Meant, self.names));
        words.extend(Some(rule).filter(|r| !r.is_empty()));
        words.extend(f.new_cookie.filter(|c| c.0 != 0).map(|c| format!("cookie:{c}")));
        if f.cookie_mask != 0 {
            words.push(format!("cookie:{}/{:#x}", f.cookie, f.cookie_mask));
        }
        let mut some = |name: &str, n: u16| words.extend((n != 0).then(|| format!("{name}:{n}")));
        some("idle", f.idle_timeout);
        some("hard", f.hard_timeout);
        some("importance", f.importance);
        words.extend(priority.map(|p| format!("pri:{p}")));
        words.extend(r.buffer.map(|b| format!("buf:{b:#x}")));
        words.extend(r.out_port.map(|p| format!("out_port:{}", port_text(p, self.names))));
        words.extend(f.out_group.map(|g| format!("out_group:{g}")));
        let mut flags = f.flags;
        // what OpenFlow 1.0 implies is not told
        flags.reset_counts &= version >= Version::Of12;
        words.extend(Some(super::flow::flags_text(flags).trim_end().to_owned()).filter(|t| !t.is_empty()));
        let _ = write!(out, " {} actions={}", words.join(" "), self.actions(&f.actions, version));
    }

    fn flow_removed(&self, out: &mut String, r: &FlowRemoved) {
        let rule = FlowMod { matching: r.matching.clone(), priority: r.priority, ..FlowMod::default() };
        let reason = match r.reason {
            RemovedReason::IdleTimeout => "idle",
            RemovedReason::HardTimeout => "hard",
            RemovedReason::Delete => "delete",
            RemovedReason::GroupDelete => "group_delete",
            RemovedReason::MeterDelete => "meter_delete",
            RemovedReason::Eviction => "eviction",
        };
        let _ = write!(out, " {} reason={reason}", super::flow::rule_text(&rule, view::Version::Meant, self.names));
        if let Some(t) = r.table {
            let _ = write!(out, " table_id={t}");
        }
        if r.cookie.0 != 0 {
            let _ = write!(out, " cookie:{}", r.cookie);
        }
        let _ = write!(out, " duration{}", duration(r.duration));
        for (name, n) in [("idle", r.idle_timeout), ("hard", r.hard_timeout)] {
            if n != 0 {
                let _ = write!(out, " {name}{n}");
            }
        }
        let _ = write!(out, " pkts{} bytes{}", r.packets, r.bytes);
    }

    fn group_mod(&self, g: &GroupMod, modern: bool) -> String {
        let command = match g.command {
            GroupCommand::Add => "ADD",
            GroupCommand::Modify => "MOD",
            GroupCommand::AddOrModify => "ADD_OR_MOD",
            GroupCommand::Delete => "DEL",
            GroupCommand::InsertBuckets => "INSERT_BUCKET",
            GroupCommand::RemoveBuckets => "REMOVE_BUCKET",
        };
        let bucket = match g.command_bucket {
            None => String::new(),
            Some(BucketRef::First) => "command_bucket_id:first,".to_owned(),
            Some(BucketRef::Last) => "command_bucket_id:last,".to_owned(),
            Some(BucketRef::All) => "command_bucket_id:all,".to_owned(),
            Some(BucketRef::Id(n)) => format!("command_bucket_id:{n},"),
        };
        let typed = !matches!(g.command, GroupCommand::InsertBuckets | GroupCommand::RemoveBuckets);
        let version = if modern { view::Version::Of15 } else { view::Version::Of10 };
        let mut text = super::group::group_text(g, version, self.names);
        if !typed && let Some((before, rest)) = text.split_once(",type=") {
            let rest = rest.split_once(',').map_or("", |(_, r)| r);
            text = if rest.is_empty() { before.to_owned() } else { format!("{before},{rest}") };
        }
        format!("{command} {bucket}{text}")
    }

    fn flow_request(&self, r: &FlowRequest) -> String {
        let mut words = Vec::new();
        if let Some(t) = r.table {
            words.push(format!("table={t}"));
        }
        words.extend(r.out_port.map(|p| format!("out_port={}", port_text(p, self.names))));
        words.extend(r.out_group.map(|g| format!("out_group={g}")));
        if r.cookie_mask != 0 {
            words.push(format!("cookie={}/{:#x}", r.cookie, r.cookie_mask));
        }
        let matching = flow::text::format::format_match(&r.matching, &ForFlow(self.names));
        words.extend(Some(matching).filter(|m| !m.is_empty()));
        if words.is_empty() { String::new() } else { format!(" {}", words.join(" ")) }
    }

    /// A flow as dump-flows prints it, without the leading space.
    pub fn flow_entry(&self, e: &FlowEntry, version: Version) -> String {
        let mut out = format!(
            "cookie={}, duration={}, table={}, n_packets={}, n_bytes={}, ",
            e.cookie,
            duration(e.duration),
            super::names::table_text(e.table, self.names),
            e.packets,
            e.bytes
        );
        for (name, n) in [("idle_timeout", e.idle_timeout), ("hard_timeout", e.hard_timeout)] {
            if n != 0 {
                let _ = write!(out, "{name}={n}, ");
            }
        }
        out.push_str(&super::flow::flags_text(e.flags));
        if e.importance != 0 {
            let _ = write!(out, "importance={}, ", e.importance);
        }
        if let Some(age) = e.idle_age {
            let _ = write!(out, "idle_age={age}, ");
        }
        if let Some(age) = e.hard_age.filter(|a| u64::from(*a) != e.duration.as_secs()) {
            let _ = write!(out, "hard_age={age}, ");
        }
        let rule = FlowMod { matching: e.matching.clone(), priority: e.priority, ..FlowMod::default() };
        let rule = super::flow::rule_text(&rule, view::Version::Meant, self.names);
        out.push_str(&rule);
        if !rule.is_empty() {
            out.push(' ');
        }
        out + "actions=" + &self.actions(&e.actions, version)
    }
}

/// What the numbers at the beginning of `bytes` name.
fn name_of(bytes: &[u8], header: Header) -> Option<&'static str> {
    if header.kind == 0 {
        return Some(Kind::Hello.name());
    }
    let mut b = Bytes::new(bytes);
    b.skip(8).ok()?;
    let version = Version::from_wire(header.version)?;
    kind::read(header, version, &mut b).ok().map(|(kind, _)| match kind {
        // ONF's, before they were OpenFlow's
        Kind::BundleControl if version < Version::Of14 => "ONFT_BUNDLE_CONTROL",
        Kind::BundleAdd if version < Version::Of14 => "ONFT_BUNDLE_ADD_MESSAGE",
        kind => kind.name(),
    })
}

/// A message that cannot be read.
fn refused(bytes: &[u8], header: Header, e: &Error) -> Told {
    let mut log = e.log.clone();
    let unknown = [codes::OFPBRC_BAD_TYPE, codes::OFPBRC_BAD_STAT, codes::OFPBRC_BAD_VERSION];
    if log.is_empty() && unknown.contains(&e.code) && name_of(bytes, header).is_none() {
        let words = format!("unknown OpenFlow message (version {}, type {})", header.version, header.kind);
        log.push(("ofp_msgs", words));
    }
    // a version that nobody speaks has no types either
    let code = if e.code == codes::OFPBRC_BAD_VERSION { codes::OFPBRC_BAD_TYPE } else { e.code };
    // what is too short or long for its kind is not looked into
    let name = name_of(bytes, header).filter(|_| code != codes::OFPBRC_BAD_LEN);
    let head = name.map(|n| head(n, header.version, header.xid) + " ").unwrap_or_default();
    Told { text: format!("{head}***decode error: {code}***\n{}", hex_dump(bytes, true)), log }
}

/// What is said of a match of OpenFlow 1.0 that has fields which mean nothing beside the others.
fn left_out(bytes: &[u8], matching: &crate::Match) -> Vec<(&'static str, String)> {
    let mut b = Bytes::new(bytes.get(8..).unwrap_or(&[]));
    match crate::wire::match10::read_all(&mut b) {
        Ok(whole) if whole != *matching => super::flow::notes(&whole.to_string(), matching),
        _ => Vec::new(),
    }
}

/// The message inside a bundle's.
fn inner(bytes: &[u8], version: Version) -> Option<&[u8]> {
    // header, an experimenter's numbers in OpenFlow 1.3, bundle, padding and flags
    let inner = bytes.get(if version == Version::Of13 { 24 } else { 16 }..)?;
    let len = Header::read(&mut Bytes::new(inner)).ok()?.len;
    inner.get(..usize::from(len))
}

fn hello(out: &mut String, bytes: &[u8], versions: Versions) {
    let named: Vec<_> = (1..32).filter(|n| versions.0 >> n & 1 != 0).map(|n| format!("{n:#04x}")).collect();
    let _ = writeln!(out, "\n version bitmap: {}", named.join(", "));
    if !crate::wire::version::hello_is_clean(bytes.get(8..).unwrap_or(&[])) {
        let _ = write!(out, " unknown data in hello:\n{}", hex_dump(bytes, true));
    }
}

fn escaped(b: u8) -> String {
    match b {
        b'\\' => "\\\\".to_owned(),
        0x20..0x7f => char::from(b).to_string(),
        _ => format!("\\{b:03o}"),
    }
}

const CAPABILITIES: [(u32, &str); 11] = [
    (capability::FLOW_STATS, "FLOW_STATS"),
    (capability::TABLE_STATS, "TABLE_STATS"),
    (capability::PORT_STATS, "PORT_STATS"),
    (capability::STP, "STP"),
    (capability::GROUP_STATS, "GROUP_STATS"),
    (capability::IP_REASM, "IP_REASM"),
    (capability::QUEUE_STATS, "QUEUE_STATS"),
    (capability::ARP_MATCH_IP, "ARP_MATCH_IP"),
    (capability::PORT_BLOCKED, "PORT_BLOCKED"),
    (capability::BUNDLES, "BUNDLES"),
    (capability::FLOW_MONITORING, "FLOW_MONITORING"),
];

/// OpenFlow 1.0's actions by number, in the order in which they are told.
const ACTIONS: [(u32, &str); 12] = [
    (0, "output"),
    (11, "enqueue"),
    (1, "set_vlan_vid"),
    (2, "set_vlan_pcp"),
    (3, "strip_vlan"),
    (4, "mod_dl_src"),
    (5, "mod_dl_dst"),
    (6, "mod_nw_src"),
    (7, "mod_nw_dst"),
    (8, "mod_nw_tos"),
    (9, "mod_tp_src"),
    (10, "mod_tp_dst"),
];

fn features(out: &mut String, f: &crate::wire::switch::Features, version: Version) {
    let _ = write!(out, " dpid:{:016x}\nn_tables:{}, n_buffers:{}", f.datapath_id, f.n_tables, f.n_buffers);
    if f.auxiliary_id != 0 {
        let _ = write!(out, ", auxiliary_id:{}", f.auxiliary_id);
    }
    let named: Vec<_> = CAPABILITIES.iter().filter(|(bit, _)| f.capabilities & bit != 0).map(|(_, n)| *n).collect();
    let _ = writeln!(out, "\ncapabilities: {}", named.join(" "));
    if version == Version::Of10 {
        let named: Vec<_> = ACTIONS.iter().filter(|(n, _)| f.actions >> n & 1 != 0).map(|(_, n)| *n).collect();
        let _ = writeln!(out, "actions: {}", named.join(" "));
    }
    out.push_str(&port::list(&f.ports));
}

fn role(r: RoleRequest) -> String {
    let name = match r.role {
        Role::NoChange => "nochange",
        Role::Equal => "equal",
        Role::Primary => "primary",
        Role::Secondary => "secondary",
    };
    let generation = r.generation.map(|g| format!(" generation_id={g}")).unwrap_or_default();
    format!(" role={name}{generation}")
}

fn bundle_text(b: Bundle, command: Option<BundleCommand>) -> String {
    let mut out = format!(" bundle_id={}", number::hex(b.id));
    if let Some(c) = command {
        let name = match c {
            BundleCommand::OpenRequest => "OPEN_REQUEST",
            BundleCommand::OpenReply => "OPEN_REPLY",
            BundleCommand::CloseRequest => "CLOSE_REQUEST",
            BundleCommand::CloseReply => "CLOSE_REPLY",
            BundleCommand::CommitRequest => "COMMIT_REQUEST",
            BundleCommand::CommitReply => "COMMIT_REPLY",
            BundleCommand::DiscardRequest => "DISCARD_REQUEST",
            BundleCommand::DiscardReply => "DISCARD_REPLY",
        };
        let _ = write!(out, " type={name}");
    }
    let flags: Vec<_> = [(BUNDLE_ATOMIC, "atomic"), (BUNDLE_ORDERED, "ordered")]
        .iter()
        .filter(|(bit, _)| b.flags & bit != 0)
        .map(|(_, n)| *n)
        .collect();
    let _ = write!(out, " flags={}", if flags.is_empty() { "0".to_owned() } else { flags.join(" ") });
    out
}

/// The fields of a packet and its transport's checksum.
pub fn packet_text(packet: &[u8]) -> String {
    let (mut key, mut layers) = (Key::default(), Layers::default());
    let md = Metadata::default();
    if extract(packet, Depth::L4, OfPort::NONE.0 & 0xffff, &md, &mut key, &mut layers).is_err() {
        return "(packet too short)\n".to_owned();
    }
    let flow = key.to_flow();
    let mut mask = packet_mask(&flow);
    mask.set(l::IN_PORT, 0);
    let mut out = format_masked(&flow, &mask, &flow::text::NoNames);
    let l4 = packet.get(usize::from(layers.l4)..).unwrap_or(&[]);
    let (name, at) = match flow.get64(l::NW_PROTO) as u8 {
        6 => ("tcp_csum", 16),
        17 => ("udp_csum", 6),
        132 => ("sctp_csum", 8),
        1 | 58 => ("icmp_csum", 2),
        _ => ("", 0),
    };
    if let Some([a, b]) = l4.get(at..at + 2).filter(|_| at != 0) {
        let _ = write!(out, " {name}:{:x}", u16::from_be_bytes([*a, *b]));
    }
    out.push('\n');
    out
}

/// A list of actions, in the words of OpenFlow 1.0 or of later versions.
pub fn actions_text(actions: &[crate::Action], version: Version, names: &dyn PortNames) -> String {
    actions_text_raw(actions, version > Version::Of10, names)
}
