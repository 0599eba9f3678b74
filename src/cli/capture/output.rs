//! Where packets of a capture go: a pcapng file, lines of text, lines of JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use datapath::tap::Point;
use flow::extract::{Metadata, extract_flow};
use flow::layout::IN_PORT;
use flow::text::NoNames;
use flow::text::format::{format_masked, packet_mask};
use packet::pcapng::{Direction, Writer};
use serde_json::json;

use super::stream::Packet;
use super::{Broken, Started, Wish};

type Sink = BufWriter<Box<dyn Write>>;

enum Form {
    File(Writer<Sink>),
    Text(Sink),
    Json(Sink),
}

pub(super) struct Output {
    form: Form,
    offset: i64,
    snaplen: u32,
    names: BTreeMap<u32, String>,
    /// Interfaces of the file by port.
    interfaces: BTreeMap<u32, u32>,
    written: u64,
    /// Time of the last packet, UTC.
    last: u64,
}

impl Output {
    pub(super) fn open(wish: &Wish, started: &Started) -> Result<Output, Broken> {
        let sink = |out: Box<dyn Write>| BufWriter::with_capacity(1 << 16, out);
        let form = match &wish.write {
            None if wish.json => Form::Json(sink(Box::new(io::stdout()))),
            None => Form::Text(sink(Box::new(io::stdout()))),
            Some(path) => {
                let out: Box<dyn Write> = if path == Path::new("-") {
                    Box::new(io::stdout())
                } else {
                    Box::new(File::create(path).map_err(|e| Broken::Other(format!("{}: {e}", path.display())))?)
                };
                Form::File(Writer::new(sink(out), concat!("ironbridge ", env!("CARGO_PKG_VERSION")))?)
            }
        };
        let names = started.ports.iter().cloned().collect();
        let (offset, snaplen) = (started.offset, wish.snaplen);
        let mut output = Output { form, offset, snaplen, names, interfaces: BTreeMap::new(), written: 0, last: 0 };
        output.flush()?;
        Ok(output)
    }

    /// How many packets it has.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    fn name(&self, port: u32) -> String {
        self.names.get(&port).cloned().unwrap_or_else(|| format!("port {port}"))
    }

    pub(super) fn packet(&mut self, packet: &Packet) -> Result<(), Broken> {
        let nanos = packet.time.saturating_add_signed(self.offset);
        let name = self.name(packet.port);
        self.last = nanos;
        match &mut self.form {
            Form::File(file) => {
                let interface = match self.interfaces.get(&packet.port) {
                    Some(number) => *number,
                    None => {
                        let number = file.interface(&name, &format!("datapath port {}", packet.port), self.snaplen)?;
                        self.interfaces.insert(packet.port, number);
                        number
                    }
                };
                let (direction, comment) = match packet.point() {
                    Point::Ingress => (Direction::Inbound, None),
                    Point::Egress => (Direction::Outbound, None),
                    Point::Drop(reason) => {
                        (Direction::Inbound, Some(format!("dropped: {}: {}", reason.name(), reason.describe())))
                    }
                };
                file.packet(&packet::pcapng::Packet {
                    interface,
                    nanos,
                    original_len: packet.length,
                    direction,
                    comment: comment.as_deref(),
                    data: &packet.bytes,
                })?;
            }
            Form::Text(out) => {
                let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
                let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
                let way = match packet.point() {
                    Point::Ingress => "in".to_owned(),
                    Point::Egress => "out".to_owned(),
                    Point::Drop(reason) => format!("dropped ({})", reason.name()),
                };
                let flow = described(&packet.bytes);
                writeln!(out, "{h:02}:{m:02}:{s:02}.{rest:09} {name} {way} {} bytes: {flow}", packet.length)?;
            }
            Form::Json(out) => {
                let (point, reason) = match packet.point() {
                    Point::Ingress => ("ingress", None),
                    Point::Egress => ("egress", None),
                    Point::Drop(reason) => ("drop", Some(reason.name())),
                };
                let bytes: String = packet.bytes.iter().map(|b| format!("{b:02x}")).collect();
                let line = json!({
                    "time": nanos, "port": name, "point": point, "reason": reason, "length": packet.length,
                    "flow": described(&packet.bytes), "bytes": bytes,
                });
                writeln!(out, "{line}")?;
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Hands what there is to whoever reads along.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        match &mut self.form {
            Form::File(file) => file.flush()?,
            Form::Text(out) | Form::Json(out) => out.flush()?,
        }
        Ok(())
    }

    /// The capture is over; `missed` packets found no room, if that is known.
    pub(super) fn end(&mut self, missed: Option<u64>) -> Result<(), Broken> {
        if let (Form::File(file), Some(missed), Some((_, first))) =
            (&mut self.form, missed, self.interfaces.first_key_value())
        {
            // which interface would have had them is not known
            file.statistics(*first, self.last, missed)?;
        }
        self.flush()
    }
}

/// A packet in the syntax of flows.
fn described(bytes: &[u8]) -> String {
    let Ok(flow) = extract_flow(bytes, 0, &Metadata::default()) else { return "no whole Ethernet header".into() };
    let mut mask = packet_mask(&flow);
    mask.set(IN_PORT, 0);
    format_masked(&flow, &mask, &NoNames)
}
