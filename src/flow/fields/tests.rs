//! Tests of the field table, by rows of ovs-fields(7) and by properties that every row has.
use super::*;
use crate::words::{Flow, Mask};

#[test]
fn rows_are_in_order_and_found() {
    for (i, f) in Field::all().enumerate() {
        assert_eq!(f.id.index(), i);
        assert_eq!(FieldId::from_index(i), Some(f.id));
        assert_eq!(by_name(f.name), Some(f.id));
        for o in f.oxm {
            assert_eq!(by_oxm(o.class, o.field, o.experimenter), Some(f.id), "{}", f.name);
            assert_eq!(by_nxm_name(o.name), Some(f.id));
        }
        assert!(usize::from(f.bits) <= usize::from(f.bytes) * 8);
    }
    assert_eq!(by_name("dl_src"), Some(FieldId::EthSrc));
    assert_eq!(by_name("no_such_field"), None);
    assert_eq!(FieldId::IpSrc.row().nxm_name(), Some("NXM_OF_IP_SRC"));
    assert_eq!(FieldId::Metadata.row().nxm_name(), Some("OXM_OF_METADATA"));
    assert_eq!(by_oxm(0x8000, 13, 0), Some(FieldId::TcpSrc));
    assert_eq!(by_oxm(1, 103, 0), FieldId::tun_metadata(63));
    assert_eq!(by_oxm(1, 109, 0), Some(FieldId::TunIpv6Src));
    assert_eq!(FieldId::reg(31), Some(FieldId::Reg31));
    assert_eq!(FieldId::reg(32), None);
}

#[test]
fn code_points_are_unique() {
    let mut seen = std::collections::HashSet::new();
    for f in Field::all() {
        for o in f.oxm {
            assert!(seen.insert((o.class, o.field, o.experimenter)), "{} {o:?}", f.name);
        }
    }
}

#[test]
fn code_points_by_version() {
    let point = |f: FieldId, v| f.row().oxm(v).map(|o| (o.class, o.field));
    assert_eq!(point(FieldId::TcpFlags, 0x01), Some((1, 34)));
    assert_eq!(point(FieldId::TcpFlags, 0x04), Some((0xffff, 42)));
    assert_eq!(point(FieldId::TcpFlags, 0x06), Some((0x8000, 42)));
    assert_eq!(point(FieldId::EthSrc, 0x01), Some((0, 2)));
    assert_eq!(point(FieldId::EthSrc, 0x03), Some((0x8000, 4)));
    assert_eq!(point(FieldId::VlanVid, 0x01), Some((0x8000, 6)));
    assert_eq!(point(FieldId::DlVlan, 0x04), None);
}

#[test]
fn values_survive_set_and_get() {
    for f in Field::all().filter(|f| f.kind != Kind::TunMetadata) {
        for v in [1, f.full_mask() & f.max(), f.max() & 0x5555_5555_5555_5555_5555_5555_5555_5555] {
            let v = if f.kind == Kind::WidePort { v & 0x7fff } else { v };
            if !f.is_valid(v) || f.kind == Kind::VlanVid && v == 0 {
                continue;
            }
            let mut flow = Flow::default();
            f.set(&mut flow, v);
            let got = if f.kind == Kind::VlanVid { f.get(&flow) & 0xfff } else { f.get(&flow) };
            assert_eq!(got, v, "{}", f.name);
            let (mut flow, mut mask) = (Flow::default(), Mask::default());
            assert!(f.set_match(&mut flow, &mut mask, v, f.full_mask()), "{}", f.name);
            let (value, bits) = f.get_match(&flow, &mask);
            assert_eq!((value & f.max(), bits), (v, f.full_mask()), "{}", f.name);
            assert!(f.set_match(&mut flow, &mut mask, 0, 0));
            assert_eq!(f.get_match(&flow, &mask).1, 0, "{}", f.name);
        }
    }
}

#[test]
fn vlan_fields() {
    let (vlan, vid, pcp, tci) =
        (FieldId::DlVlan.row(), FieldId::VlanVid.row(), FieldId::VlanPcp.row(), FieldId::VlanTci.row());
    let mut flow = Flow::default();
    assert_eq!(vlan.get(&flow), 0xffff);
    pcp.set(&mut flow, 5);
    assert_eq!((vlan.get(&flow), vid.get(&flow), tci.get(&flow)), (0, 0x1000, 0xb000));
    vid.set(&mut flow, 0x1064);
    assert_eq!((vlan.get(&flow), pcp.get(&flow), tci.get(&flow)), (100, 5, 0xb064));
    assert_eq!(flow.get(crate::layout::VLAN_TPID), 0x8100);
    vlan.set(&mut flow, 0xffff);
    assert_eq!(flow, Flow::default());
    let (mut flow, mut mask) = (Flow::default(), Mask::default());
    assert!(vlan.set_match(&mut flow, &mut mask, 10, 0xffff));
    assert_eq!(tci.get_match(&flow, &mask), (0x100a, 0x1fff));
    assert!(pcp.set_match(&mut flow, &mut mask, 3, 7));
    assert_eq!(tci.get_match(&flow, &mask), (0x700a, 0xffff));
    assert!(vlan.set_match(&mut flow, &mut mask, 0xffff, 0xffff));
    assert_eq!(tci.get_match(&flow, &mask), (0, 0xffff));
}

#[test]
fn ports_of_two_versions() {
    let mut flow = Flow::default();
    FieldId::InPortOxm.row().set(&mut flow, 0xffff_fffe);
    assert_eq!(FieldId::InPort.row().get(&flow), 0xfffe);
    assert_eq!(FieldId::InPortOxm.row().get(&flow), 0xffff_fffe);
    assert!(!FieldId::InPortOxm.row().is_valid(0x1_0000));
}

#[test]
fn prerequisites() {
    let mut flow = Flow::default();
    let mut set = |f: FieldId, v| f.row().set(&mut flow, v);
    set(FieldId::EthType, 0x86dd);
    set(FieldId::NwProto, 58);
    set(FieldId::Icmpv6Type, 135);
    assert!(FieldId::NdSll.row().prereqs_ok(&flow) && FieldId::NdTarget.row().prereqs_ok(&flow));
    assert!(!FieldId::NdTll.row().prereqs_ok(&flow) && !FieldId::TcpSrc.row().prereqs_ok(&flow));
    // A match must ask for what the prerequisite needs.
    let mut mask = Mask::default();
    assert!(!Prereq::Icmpv6.ok_match(&flow, &mask));
    Prereq::Icmpv6.add_mask(&mut mask);
    assert!(Prereq::Icmpv6.ok_match(&flow, &mask) && !Prereq::Nd.ok_match(&flow, &mask));
    FieldId::IpFrag.row().set(&mut flow, 3);
    assert!(!FieldId::Icmpv6Type.row().prereqs_ok(&flow));
}

#[test]
fn tunnel_options() {
    use tlv::{TlvError, TlvTable, Wide};
    let mut table = TlvTable::default();
    assert_eq!(table.add(0xffff, 0, 4, 0), Ok(()));
    assert_eq!(table.add(0xffff, 1, 124, 1), Ok(()));
    assert_eq!(table.add(0xffff, 2, 124, 2), Ok(()));
    assert_eq!(table.add(0xffff, 3, 8, 3), Err(TlvError::Full));
    assert_eq!(table.add(0xffff, 3, 6, 3), Err(TlvError::BadLength));
    assert_eq!(table.add(0xffff, 3, 4, 1), Err(TlvError::Duplicate));
    assert_eq!(table.add(0xffff, 3, 4, 3), Ok(()));
    let map = *table.of(FieldId::TunMetadata1).unwrap();
    let bytes: Vec<u8> = (1..=124).collect();
    let (mut flow, mut mask) = (Flow::default(), Mask::default());
    map.set(&mut flow, &Wide::new(&bytes).unwrap());
    assert_eq!(map.get(&flow).bytes(), bytes);
    assert!(map.is_present(&flow) && !table.of(FieldId::TunMetadata0).unwrap().is_present(&flow));
    let small = Wide::new(&[0x12, 0x34]).unwrap();
    map.set_match(&mut flow, &mut mask, &small, &Wide::new(&[0xff, 0xff]).unwrap());
    assert_eq!((map.get(&flow).low(), map.get_mask(&mask).low()), (0x1234, 0xffff));
    assert!(table.remove(1) && !table.remove(1));
    assert_eq!(table.add(0xffff, 4, 8, 4), Ok(()));
}
