//! VLAN tags: pushing, popping, rewriting, and which of a packet's own tags are still where they were.
//!
//! As long as nothing is pushed or popped, tags are words of the flow like any other. From the first push or pop on a
//! view has [`Tags`]: a stack that knows of each tag whether it is one of the packet's own. The flow's words mirror the top
//! two.

use dpif::{Action as DpAction, DropReason};
use flow::Field;
use flow::fields::Kind;
use flow::fields::prereq::eth_type;
use flow::layout::{self as l, VLAN_PRESENT};

use super::state::View;
use super::{Sink, Walk};

/// Tags that translation keeps track of: the two that a key has and what may be pushed on top.
const DEEPEST: usize = 4;
/// A tag that was pushed here.
const NEW: u8 = u8::MAX;

/// One tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    /// Which of the packet's own tags it is (0 is the outer one), or [`NEW`].
    origin: u8,
    tpid: u16,
    tci: u16,
    /// Bits of `tci` that were written; the others are the packet's.
    written: u16,
}

/// The stack of tags, outermost first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tags {
    len: usize,
    tags: [Tag; DEEPEST],
}

impl Tags {
    fn push(&mut self, tag: Tag) {
        self.tags.copy_within(0..DEEPEST - 1, 1);
        self.tags[0] = tag;
        self.len += 1;
    }

    fn pop(&mut self) {
        if self.len > 0 {
            self.tags.copy_within(1.., 0);
            self.len -= 1;
        }
    }

    /// The tags as a slice, outermost first.
    fn all(&self) -> &[Tag] {
        &self.tags[..self.len]
    }
}

const WORDS: [(l::Slot, l::Slot); 2] = [(l::VLAN_TCI, l::VLAN_TPID), (l::VLAN1_TCI, l::VLAN1_TPID)];

/// The tag that the flow of `view` has at `i` (0 or 1).
fn from_words(view: &View, i: usize) -> Tag {
    let (tci, tpid) = WORDS[i];
    // a traced packet need not say it
    let known = Some(view.flow.get64(tpid) as u16).filter(|n| *n != 0);
    Tag {
        origin: i as u8,
        tpid: known.unwrap_or(eth_type::VLAN),
        tci: view.flow.get64(tci) as u16,
        written: view.written.get64(tci) as u16 & !VLAN_PRESENT,
    }
}

impl<S: Sink> Walk<'_, S> {
    /// Makes both views keep stacks. How many tags there are is then known.
    fn track_tags(&mut self) {
        if self.st.now.tags.is_some() {
            return;
        }
        // Where `now` was rolled back, `base` may have its stack already.
        let mut count = 0;
        for (tci, _) in WORDS {
            if self.look_bits(tci, VLAN_PRESENT.into()) == 0 {
                break;
            }
            count += 1;
        }
        for view in [&mut self.st.now, &mut self.st.base].into_iter().filter(|v| v.tags.is_none()) {
            let mut tags = Tags { len: count, ..Tags::default() };
            for i in 0..count {
                tags.tags[i] = from_words(view, i);
            }
            view.tags = Some(tags);
        }
    }

    /// The result depends on the whole of the packet's own tag `i`.
    fn exact_tag(&mut self, i: u8, bits: u16) {
        if let Some((tci, tpid)) = WORDS.get(usize::from(i)) {
            let (tci_bits, tpid_bits) = (self.out.mask.get64(*tci) | u64::from(bits), tpid.bits() >> tpid.shift);
            self.out.mask.set(*tci, tci_bits.into());
            self.out.mask.set(*tpid, tpid_bits.into());
        }
    }

    /// Stores the stack's top in the flow's words; own tags that moved there become exact, since a lookup at their new
    /// place would not find their bits in the mask otherwise.
    fn mirror_tags(&mut self) {
        let Some(tags) = self.st.now.tags else { return };
        for (i, (tci, tpid)) in WORDS.iter().enumerate() {
            let tag = tags.all().get(i).copied().unwrap_or(Tag { origin: NEW, ..Tag::default() });
            if tag.origin != i as u8 {
                if tag.origin != NEW {
                    self.exact_tag(tag.origin, !tag.written);
                }
                self.st.put(*tci, tag.tci.into());
                self.st.put(*tpid, tag.tpid.into());
            } else {
                // Its own place: only what was written is known.
                self.st.now.put_own(*tci, tag.tci, tag.written);
                self.st.now.put_own(*tpid, tag.tpid, 0);
            }
        }
    }

    pub(crate) fn push_vlan(&mut self, tpid: u16, tci: u16) {
        self.track_tags();
        self.exact_top();
        if self.st.now.tags.is_some_and(|t| t.len == DEEPEST) {
            return self.fail(DropReason::Translation);
        }
        if let Some(tags) = &mut self.st.now.tags {
            tags.push(Tag { origin: NEW, tpid, tci: tci | VLAN_PRESENT, written: u16::MAX });
        }
        self.mirror_tags();
    }

    pub(crate) fn pop_vlan(&mut self) {
        self.track_tags();
        self.exact_top();
        if let Some(tags) = &mut self.st.now.tags {
            tags.pop();
        }
        self.mirror_tags();
    }

    /// Writes the bits `mask` (VID or PCP) of the outer tag. Without a tag: pushes one if `push`, else does nothing.
    pub(crate) fn set_vlan(&mut self, value: u16, mask: u16, push: bool) {
        if self.look_bits(l::VLAN_TCI, VLAN_PRESENT.into()) == 0 {
            if push {
                self.push_vlan(0x8100, value & mask);
            }
            return;
        }
        self.write(l::VLAN_TCI, value.into(), mask.into());
        if let Some(tags) = &mut self.st.now.tags {
            let tag = &mut tags.tags[0];
            tag.tci = tag.tci & !mask | value & mask;
            tag.written |= mask;
        }
    }

    /// set_field, load and move on a VLAN field; the field's row says what the tag is afterwards.
    pub(crate) fn store_vlan(&mut self, row: &Field, value: u128, mask: u128) {
        let old = self.look_bits(l::VLAN_TCI, VLAN_PRESENT.into()) != 0;
        let full = mask & row.full_mask() == row.full_mask();
        let simple = match row.kind {
            Kind::VlanVid if full && value & u128::from(VLAN_PRESENT) != 0 => Some((value as u16 & 0xfff, 0xfff)),
            Kind::VlanPcp if full => Some(((value as u16 & 7) << 13, 0xe000)),
            Kind::DlVlan if full && value != 0xffff => Some((value as u16 & 0xfff, 0xfff)),
            _ => None,
        };
        if let Some((value, mask)) = simple {
            return self.set_vlan(value, mask, true);
        }
        // Anything else may make or unmake the tag depending on what it was.
        self.look(l::VLAN_TCI);
        let mut flow = self.st.now.flow.clone();
        let merged = row.get(&flow) & !mask | value & mask;
        row.set(&mut flow, merged);
        let tci = flow.get64(l::VLAN_TCI) as u16;
        match (old, tci & VLAN_PRESENT != 0) {
            (true, true) => self.set_vlan(tci, !VLAN_PRESENT, false),
            (false, true) => self.push_vlan(0x8100, tci),
            (true, false) => self.pop_vlan(),
            (false, false) => {}
        }
    }

    /// Bits in which tag `want` and tag `have` may differ, for some packet of the megaflow; None when they are tags of
    /// different kinds.
    fn tag_difference(&self, want: &Tag, have: &Tag) -> Option<u16> {
        if want.origin != have.origin || want.tpid != have.tpid {
            return None;
        }
        let own = WORDS.get(usize::from(want.origin)).map_or(u16::MAX, |(tci, _)| self.out.mask.get64(*tci) as u16);
        let one_sided = (want.written ^ have.written) & !own;
        Some((one_sided | (want.tci ^ have.tci)) & !VLAN_PRESENT)
    }

    /// Pops the outer tag, one of the packet's own, and pushes what it was rewritten to.
    pub(crate) fn retag(&mut self) {
        let tag = from_words(&self.st.now, 0);
        self.exact_tag(0, !tag.written);
        self.out.actions.push(DpAction::PopVlan);
        self.out.actions.push(DpAction::PushVlan { tpid: tag.tpid, tci: tag.tci | VLAN_PRESENT });
    }

    /// The result depends on the outer tag where it is the packet's own: it moves or goes.
    fn exact_top(&mut self) {
        if let Some(tag) = self.st.now.tags.and_then(|tags| tags.all().first().copied())
            && tag.origin != NEW
        {
            self.exact_tag(tag.origin, !tag.written);
        }
    }

    /// Brings the packet's tags to what tables see. True when it did so: the words need no further look.
    pub(crate) fn commit_tags(&mut self) -> bool {
        if self.st.base.tags.is_some() {
            self.track_tags();
        }
        let (Some(want), Some(have)) = (self.st.now.tags, self.st.base.tags) else { return false };
        // Bits that were written on the packet but not in the flow get the packet's own value back, which is then part
        // of the result.
        for (w, h) in want.all().iter().rev().zip(have.all().iter().rev()) {
            if w.origin == h.origin && w.origin != NEW && h.written & !w.written != 0 {
                self.exact_tag(w.origin, h.written & !w.written);
            }
        }
        let same = |w: &Tag, h: &Tag| self.tag_difference(w, h) == Some(0);
        let pairs = want.all().iter().rev().zip(have.all().iter().rev());
        // what is written is popped and pushed again, as in OVS
        let common = pairs.take_while(|(w, h)| same(w, h)).count();
        for _ in common..have.len {
            self.out.actions.push(DpAction::PopVlan);
        }
        let mut pushed = want.all()[..want.len - common].to_vec();
        while let Some(tag) = pushed.pop() {
            if tag.origin != NEW {
                self.exact_tag(tag.origin, !tag.written);
            }
            self.out.actions.push(DpAction::PushVlan { tpid: tag.tpid, tci: tag.tci | VLAN_PRESENT });
        }
        self.st.base.tags = Some(want);
        true
    }
}
