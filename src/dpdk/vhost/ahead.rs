//! Looks ahead in a guest's rings: has the buffers that rte_vhost is about to work on fetched before it gets to them.
//!
//! rte_vhost takes one buffer after the other, and the header at the front of each is in the cache of the core that the
//! guest runs on. Waiting for them in turn takes more time than everything else that is done for a frame; asked for together,
//! they come together.
//!
//! Which buffers are next is in the ring (virtio 1.2 section 2.7). rte_vhost may take away its mapping of a guest's memory
//! between two calls, when the guest sends another table of memory, and says so to nobody. So rings are read by a mapping
//! of our own, which stays while the guest is at the gate; addresses in rte_vhost's mapping are only handed to the prefetch
//! instruction, which takes any. Wrong ones, as the guest may write what it likes into a ring, cost a little time.
//!
//! Not done for packed rings, behind an IOMMU (addresses are not the guest's physical ones), and where memory may arrive
//! late: reading what has not arrived would make it look as if it had.

use base::prefetch::{prefetch_read, prefetch_write};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut, without_provenance};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Acquire};

/// How far ahead of rte_vhost's place buffers are asked for, so that they are there a burst before it is.
const BUFFERS: u16 = 64;
/// How far ahead descriptors are, which say where buffers are.
const DESCRIPTORS: u16 = 96;
/// How far ahead entries are, which say which descriptors.
const ENTRIES: u16 = 160;
/// Bursts between two looks at where a ring is: a guest may move it, which is worth noticing and no more.
const LOOKS: u16 = 1024;
/// A descriptor that names a table of descriptors (VIRTQ_DESC_F_INDIRECT).
const INDIRECT: u16 = 4;
/// One whose buffer goes on in another (VIRTQ_DESC_F_NEXT).
const NEXT: u16 = 1;
/// A buffer as short as that has the header alone (virtio 1.2 section 5.1.6).
const HEADER: u32 = 12;

/// A guest's memory.
pub(super) struct Memory {
    regions: Vec<Region>,
}

/// A part of it.
struct Region {
    /// Its address as the guest's rings have it.
    guest: u64,
    size: u64,
    /// Its address in rte_vhost's mapping.
    host: u64,
    /// Where our mapping of the file begins, and its size; the region begins `offset` behind it.
    own: NonNull<c_void>,
    mapped: usize,
    offset: u64,
}

// SAFETY: a mapping for reading belongs to no thread, and what is in it is only read as what may change at any time.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: made by `mmap` with this size; pointers into it are in views, each of which has the memory.
        let _ = unsafe { munmap(self.own, self.mapped) };
    }
}

impl Memory {
    /// That of guest `vid`, which negotiated `features`; none where rings cannot be read. To be called on vhost's thread.
    pub(super) fn of(vid: i32, features: u64) -> Option<Arc<Memory>> {
        let has = |bit: u32| features & 1 << bit != 0;
        if has(dpdk_sys::IB_VIRTIO_F_RING_PACKED) || has(dpdk_sys::IB_VIRTIO_F_IOMMU_PLATFORM) {
            return None;
        }
        let mut table = null_mut();
        // SAFETY: a place for a pointer; takes any number.
        if unsafe { dpdk_sys::rte_vhost_get_mem_table(vid, &mut table) } != 0 {
            return None;
        }
        // SAFETY: 0 means that it wrote the address of a table that is ours now.
        let count = unsafe { (*table).nregions } as usize;
        // SAFETY: so many regions are behind the table's head.
        let listed = unsafe { (*table).regions.as_slice(count) };
        let regions = listed.iter().map(Region::map).collect::<Option<Vec<_>>>();
        // SAFETY: made by malloc(3) for us, and not used any more.
        unsafe { libc::free(table.cast()) };
        Some(Arc::new(Memory { regions: regions? }))
    }

    /// The address in rte_vhost's mapping of an address that a ring has.
    #[inline]
    fn host(&self, guest: u64) -> Option<*const u8> {
        let region = self.regions.iter().find(|r| guest.wrapping_sub(r.guest) < r.size)?;
        Some(without_provenance((region.host + (guest - region.guest)) as usize))
    }

    /// Where `bytes` at an address of rte_vhost's mapping are in ours.
    fn own(&self, host: u64, bytes: u64) -> Option<*const u8> {
        let region = self.regions.iter().find(|r| host.wrapping_sub(r.host) < r.size)?;
        let inside = host - region.host;
        let fits = inside.checked_add(bytes)? <= region.size;
        fits.then(|| region.own.as_ptr().cast::<u8>().wrapping_add((region.offset + inside) as usize).cast_const())
    }
}

impl Region {
    /// Maps a region of rte_vhost's once more.
    fn map(listed: &dpdk_sys::rte_vhost_mem_region) -> Option<Region> {
        let offset = listed.host_user_addr.checked_sub(listed.mmap_addr as u64)?;
        let mapped = NonZeroUsize::new(usize::try_from(listed.mmap_size).ok()?)?;
        if listed.fd < 0 || offset.checked_add(listed.size)? > mapped.get() as u64 {
            return None;
        }
        // SAFETY: rte_vhost keeps the file open while it has the region, and is in a callback now.
        let file = unsafe { BorrowedFd::borrow_raw(listed.fd) };
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let own = unsafe { mmap(None, mapped, ProtFlags::PROT_READ, flags, file, 0) }.ok()?;
        Some(Region {
            guest: listed.guest_phys_addr,
            size: listed.size,
            host: listed.host_user_addr,
            own,
            mapped: mapped.get(),
            offset,
        })
    }
}

/// An entry of a ring's table (virtio 1.2 section 2.7.5).
#[derive(Clone, Copy)]
#[repr(C)]
struct Descriptor {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

/// A ring, in our mapping. Places in it are counted modulo 2^16.
struct View {
    table: *const Descriptor,
    /// Flags, index, entries (virtio 1.2 section 2.7.6).
    available: *const u16,
    /// Entries, a power of two.
    size: u16,
    /// The index when it was last read.
    index: u16,
    /// Places whose descriptors, and whose buffers, were asked for end here.
    listed: u16,
    fetched: u16,
}

// SAFETY: as `Region`: what it points to is only read as what may change at any time.
unsafe impl Send for View {}

impl View {
    /// That of a ring of guest `vid`, at a place.
    fn of(vid: i32, ring: u16, place: u16, memory: &Memory) -> Option<View> {
        // SAFETY: all-zero is a ring without addresses.
        let mut vring: dpdk_sys::rte_vhost_vring = unsafe { std::mem::zeroed() };
        // SAFETY: a place for the addresses; takes any numbers.
        if unsafe { dpdk_sys::rte_vhost_get_vhost_vring(vid, ring, &mut vring) } != 0 {
            return None;
        }
        // SAFETY: both members of the union are pointers.
        let table = unsafe { vring.__bindgen_anon_1.desc } as u64;
        // SAFETY: as above.
        let available = unsafe { vring.__bindgen_anon_2.avail } as u64;
        View::at(table, available, vring.size, place, memory)
    }

    /// One with its parts at these addresses of rte_vhost's mapping, if they are whole and where they may be.
    fn at(table: u64, available: u64, size: u16, place: u16, memory: &Memory) -> Option<View> {
        if !size.is_power_of_two() || !table.is_multiple_of(16) || !available.is_multiple_of(2) {
            return None;
        }
        Some(View {
            table: memory.own(table, u64::from(size) * size_of::<Descriptor>() as u64)?.cast(),
            available: memory.own(available, 4 + 2 * u64::from(size))?.cast(),
            size,
            index: place,
            listed: place,
            fetched: place,
        })
    }

    /// The place up to which buffers are available.
    #[inline]
    fn read_index(&self) -> u16 {
        // SAFETY: `at` saw that the index is in our mapping, and aligned; the guest writes it as one.
        unsafe { &*self.available.add(1).cast::<AtomicU16>() }.load(Acquire)
    }

    /// Where the entry of a place is.
    #[inline]
    fn entry(&self, place: u16) -> *const u16 {
        self.available.wrapping_add(2 + usize::from(place & (self.size - 1)))
    }

    /// Where the first descriptor of a place's buffer is.
    #[inline]
    fn head(&self, place: u16) -> Option<*const Descriptor> {
        // SAFETY: `at` saw that `size` entries behind flags and index are in our mapping, aligned.
        let id = unsafe { self.entry(place).read_volatile() };
        (id < self.size).then(|| self.table.wrapping_add(usize::from(id)))
    }

    /// Visits the addresses of buffers that are near now that rte_vhost is at place `at`, each once.
    #[inline]
    fn advance(&mut self, at: u16, mut visit: impl FnMut(u64)) {
        let mut there = self.index.wrapping_sub(at);
        if !(DESCRIPTORS..=self.size).contains(&there) {
            self.index = self.read_index();
            there = self.index.wrapping_sub(at);
            if there > self.size {
                return;
            }
        }
        // from where on to go on; from rte_vhost's place if that has gone past it, or the ring is another
        let on = |mark: u16| if mark.wrapping_sub(at) <= DESCRIPTORS { mark } else { at };
        let mut place = on(self.fetched);
        while place.wrapping_sub(at) < there.min(BUFFERS) {
            if let Some(head) = self.head(place) {
                self.buffer(head, &mut visit);
            }
            place = place.wrapping_add(1);
        }
        self.fetched = place;
        let mut place = on(self.listed);
        while place.wrapping_sub(at) < there.min(DESCRIPTORS) {
            if let Some(head) = self.head(place) {
                prefetch_read(head);
            }
            place = place.wrapping_add(1);
        }
        self.listed = place;
        prefetch_read(self.entry(at.wrapping_add(ENTRIES)));
    }

    #[inline]
    fn buffer(&self, head: *const Descriptor, visit: &mut impl FnMut(u64)) {
        // SAFETY: `head` made it: one of `size` descriptors that `at` saw in our mapping, aligned; any bits are one.
        let head = unsafe { head.read_volatile() };
        if head.flags & INDIRECT != 0 {
            return;
        }
        visit(head.address);
        if head.flags & NEXT != 0 && head.length <= HEADER && head.next < self.size {
            // SAFETY: as above.
            let next = unsafe { self.table.add(usize::from(head.next)).read_volatile() };
            visit(next.address);
        }
    }
}

/// What a ring's gate has of this.
#[derive(Default)]
pub(super) struct Ahead {
    view: Option<View>,
    /// Bursts until the next look at where the ring is.
    left: u16,
    /// The last to go, as the view points into it.
    memory: Option<Arc<Memory>>,
}

impl Ahead {
    pub(super) fn new(memory: Option<&Arc<Memory>>) -> Ahead {
        Ahead { memory: memory.cloned(), ..Ahead::default() }
    }

    /// The ring may be another.
    pub(super) fn forget(&mut self) {
        self.left = 0;
    }

    /// Has a ring's next buffers fetched, to be written where the guest receives by it. Touches the guest's memory.
    #[inline]
    pub(super) fn fetch(&mut self, vid: i32, ring: u16) {
        let Some(memory) = &self.memory else { return };
        let (mut at, mut used) = (0, 0);
        // SAFETY: places for two numbers; takes any numbers.
        if unsafe { dpdk_sys::rte_vhost_get_vring_base(vid, ring, &mut at, &mut used) } != 0 {
            return;
        }
        if self.left == 0 {
            self.view = View::of(vid, ring, at, memory);
            self.left = LOOKS;
        }
        self.left -= 1;
        let Some(view) = &mut self.view else { return };
        if ring.is_multiple_of(2) {
            view.advance(at, |address| {
                if let Some(header) = memory.host(address) {
                    prefetch_write(header);
                    // what follows the header is mostly in a line of its own: guests align frames, not headers
                    prefetch_write(header.wrapping_add(HEADER as usize));
                }
            });
        } else {
            view.advance(at, |address| memory.host(address).into_iter().for_each(prefetch_read));
        }
    }
}

#[cfg(test)]
mod tests;
