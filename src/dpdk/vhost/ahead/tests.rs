//! Rings as a guest would have them, and as it should not.

use super::*;
use std::os::fd::AsFd;

/// A guest's memory at guest address 4096: a table of 256 descriptors, a ring from 8192 on.
struct Guest {
    memory: Memory,
    own: *mut u8,
}

const SIZE: u16 = 256;
const HOST: u64 = 0x7000_0000_0000;
const AVAILABLE: usize = 8192;

impl Guest {
    fn new() -> Guest {
        let file = nix::sys::memfd::memfd_create(c"ring", nix::sys::memfd::MFdFlags::empty()).unwrap();
        nix::unistd::ftruncate(&file, 16384).unwrap();
        let map = |how| {
            let size = NonZeroUsize::new(16384).unwrap();
            // SAFETY: a new mapping.
            unsafe { mmap(None, size, how, MapFlags::MAP_SHARED, file.as_fd(), 0) }.unwrap()
        };
        let own = map(ProtFlags::PROT_READ);
        let region = Region { guest: 4096, size: 16384, host: HOST, own, mapped: 16384, offset: 0 };
        let writable = map(ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
        Guest { memory: Memory { regions: vec![region] }, own: writable.as_ptr().cast() }
    }

    fn view(&self, place: u16) -> View {
        View::at(HOST, HOST + AVAILABLE as u64, SIZE, place, &self.memory).unwrap()
    }

    fn put<T>(&self, at: usize, value: T) {
        assert!(at + size_of::<T>() <= 16384);
        // SAFETY: inside the mapping; aligned, as the callers' places are.
        unsafe { self.own.add(at).cast::<T>().write_volatile(value) };
    }

    fn descriptor(&self, id: u16, flags: u16, length: u32, next: u16) {
        self.put(usize::from(id) * 16, Descriptor { address: 0x10_0000 + u64::from(id), length, flags, next });
    }

    fn entry(&self, place: u16, id: u16) {
        self.put(AVAILABLE + 4 + 2 * usize::from(place % SIZE), id);
    }

    fn index(&self, index: u16) {
        self.put(AVAILABLE + 2, index);
    }

    /// All descriptors, each the buffer of the place of its number.
    fn plain() -> Guest {
        let guest = Guest::new();
        for id in 0..SIZE {
            guest.descriptor(id, 0, 1500, 0);
            guest.entry(id, id);
        }
        guest
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // SAFETY: mapped with this size by `new`.
        let _ = unsafe { munmap(NonNull::new(self.own.cast()).unwrap(), 16384) };
    }
}

fn visited(view: &mut View, at: u16) -> Vec<u64> {
    let mut all = Vec::new();
    view.advance(at, |address| all.push(address.wrapping_sub(0x10_0000)));
    all
}

#[test]
fn each_buffer_once_and_a_while_before_its_turn() {
    let guest = Guest::plain();
    let mut view = guest.view(0);
    assert_eq!(visited(&mut view, 0), []);
    guest.index(200);
    assert_eq!(visited(&mut view, 0), Vec::from_iter(0..64));
    assert_eq!(visited(&mut view, 0), []);
    assert_eq!(visited(&mut view, 10), Vec::from_iter(64..74));
    // past what was asked for, and up to the end
    assert_eq!(visited(&mut view, 150), Vec::from_iter(150..200));
    assert_eq!(visited(&mut view, 200), []);
    guest.index(203);
    assert_eq!(visited(&mut view, 200), [200, 201, 202]);
    // places go on after 65,535, and entries after 255
    let mut view = guest.view(65_530);
    guest.index(65_533);
    assert_eq!(visited(&mut view, 65_530), [250, 251, 252]);
    guest.index(5);
    assert_eq!(visited(&mut view, 65_533), [253, 254, 255, 0, 1, 2, 3, 4]);
}

#[test]
fn headers_of_their_own_lead_to_what_they_head() {
    let guest = Guest::plain();
    guest.descriptor(0, NEXT, 12, 7);
    guest.descriptor(1, NEXT, 13, 7);
    guest.descriptor(2, INDIRECT, 64, 0);
    guest.descriptor(3, NEXT, 10, SIZE);
    guest.index(4);
    assert_eq!(visited(&mut guest.view(0), 0), [0, 7, 1, 3]);
}

#[test]
fn nonsense_leads_nowhere() {
    let guest = Guest::plain();
    guest.entry(0, SIZE);
    guest.entry(1, u16::MAX);
    guest.index(3);
    assert_eq!(visited(&mut guest.view(0), 0), [2]);
    // more than a ring has
    guest.index(SIZE + 1);
    assert_eq!(visited(&mut guest.view(0), 0), []);
    assert_eq!(visited(&mut guest.view(0), SIZE + 2), []);
    let at = |table, available, size| View::at(table, available, size, 0, &guest.memory).is_some();
    assert!(at(HOST, HOST + 8192, 256) && at(HOST + 16384 - 16, HOST, 1));
    // sizes, places and ends that cannot be
    assert!(!at(HOST, HOST, 0) && !at(HOST, HOST, 3) && !at(HOST + 8, HOST, 1) && !at(HOST, HOST + 1, 1));
    assert!(!at(HOST + 16384, HOST, 1) && !at(HOST - 16, HOST, 1) && !at(HOST, HOST + 16384 - 4, 1));
    assert!(!at(HOST, HOST, 2048) && !at(0, 0, 1) && !at(u64::MAX - 15, HOST, 1));
}

#[test]
fn addresses_of_the_guest_and_of_the_mapping() {
    let guest = Guest::new();
    let host = |address| guest.memory.host(address).map(|at| at as u64);
    assert_eq!([4096, 4096 + 16383].map(host), [Some(HOST), Some(HOST + 16383)]);
    assert_eq!([0, 4095, 4096 + 16384, u64::MAX].map(host), [None; 4]);
    assert!(guest.memory.own(HOST + 16380, 4).is_some() && guest.memory.own(HOST + 16381, 4).is_none());
    assert!(guest.memory.own(HOST, u64::MAX).is_none() && guest.memory.own(HOST + 1, u64::MAX).is_none());
}
