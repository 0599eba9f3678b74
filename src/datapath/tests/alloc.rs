//! A million packets after warm-up and not one allocation: hits of the simple match, of the signature cache, of the tuple
//! space, with header rewrites and recirculation.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base::clock::Instant;
use datapath::control::{Queues, Serve};
use datapath::{Control, Limits};
use dpif::{Action, Change, Effect, Input, PortNo, Reader, RecircId, Set, Translate, Translation};
use flow::layout::{ETH_TYPE, IN_PORT, NW_DST, NW_FRAG, NW_SRC, PACKET_TYPE, RECIRC_ID};
use packet::device::{RxQueue, TxCaps, TxQueue};
use packet::{Burst, Frame};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

mod counting {
    //! The system allocator with a counter in front.
    #![expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::Ordering;

    struct Counting;

    // SAFETY: every call goes to the system allocator with what the caller gave.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            super::ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller's promise.
            unsafe { System.alloc(layout) }
        }
        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(at, layout) }
        }
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;
}

type Pool = Arc<Mutex<Burst>>;

struct Feed {
    pool: Pool,
    at: u32,
}

impl RxQueue for Feed {
    fn receive(&mut self, burst: &mut Burst) -> usize {
        let n = burst.append(&mut self.pool.lock().unwrap());
        for frame in burst.iter_mut() {
            self.at = self.at.wrapping_add(7);
            let data = frame.data_mut();
            // undo what the actions wrote, and be of the next flow
            data[..6].fill(2);
            data[26..30].copy_from_slice(&(self.at % 3000).to_be_bytes());
            data[30..34].copy_from_slice(&(self.at % 7).to_be_bytes());
        }
        n
    }
}

struct Sink(Pool);

impl TxQueue for Sink {
    fn transmit(&mut self, burst: &mut Burst) -> usize {
        self.0.lock().unwrap().append(burst)
    }
    fn capabilities(&self) -> TxCaps {
        TxCaps::ALL
    }
}

/// What a packet of a kind of flow gets.
#[derive(Clone)]
struct Script(Vec<Action>, bool);

impl Translate for Script {
    fn reader(&self, _: &str) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

impl Reader for Script {
    fn refresh(&mut self) -> u64 {
        1
    }
    fn offline(&mut self) {}
    fn changes(&self, _: u64, _: &mut dyn FnMut(&Change)) -> bool {
        true
    }
    fn translate(&mut self, input: &Input<'_>, out: &mut Translation) {
        *out = Translation { cacheable: true, ..Translation::default() };
        for slot in [RECIRC_ID, IN_PORT, ETH_TYPE, PACKET_TYPE, NW_FRAG] {
            out.mask.exact(slot);
        }
        if self.1 {
            out.mask.exact(NW_SRC);
            out.mask.exact(NW_DST);
        }
        if input.flow.get(RECIRC_ID) == 0 {
            out.actions.clone_from(&self.0);
        } else {
            out.actions.push(Action::Output(PortNo(2)));
        }
    }
    fn apply(&mut self, _: &Effect, _: Instant) -> bool {
        true
    }
    fn port_known(&self, _: PortNo) -> bool {
        true
    }
}

fn run(actions: Vec<Action>, fine: bool, packets: u64) {
    let mut control = Control::new(Arc::new(Script(actions, fine)), Limits::default(), 7).unwrap();
    let (_, mut worker) = control.add_worker("w", true).unwrap();
    let mut bytes = [0u8; 60];
    bytes[..24].copy_from_slice(&[2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17]);
    bytes[38..40].copy_from_slice(&26u16.to_be_bytes());
    let pool: Pool = Arc::default();
    pool.lock().unwrap().extend((0..32).map(|_| Frame::from_slice(&bytes)));
    let rx = Queues { rx: vec![Box::new(Feed { pool: pool.clone(), at: 0 })], tx: Vec::new() };
    let tx = Queues { rx: Vec::new(), tx: vec![Box::new(Sink(pool.clone()))] };
    control.add_port(PortNo(1), rx, Serve::Fast).map_err(|e| e.0).unwrap();
    control.add_port(PortNo(2), tx, Serve::Fast).map_err(|e| e.0).unwrap();
    let mut now = 0;
    let mut step = |worker: &mut datapath::Worker| {
        now += 1000;
        worker.step(Instant::from_nanos(now));
    };
    (0..40_000).for_each(|_| step(&mut worker));
    let before = (ALLOCATIONS.load(Ordering::Relaxed), control.totals().received);
    (0..packets / 32).for_each(|_| step(&mut worker));
    let after = (ALLOCATIONS.load(Ordering::Relaxed), control.totals());
    assert!(after.1.received - before.1 >= packets - 32);
    assert_eq!(after.1.received, after.1.forwarded + after.1.drops());
    // totals allocates nothing while nothing was dropped
    assert_eq!((after.0 - before.0, after.1.drops()), (0, 0));
    assert_eq!(pool.lock().unwrap().len(), 32, "frames in use are what they were");
}

#[test]
fn a_million_packets_allocate_nothing() {
    let out = Action::Output(PortNo(2));
    let eth = Action::Set(Set::Eth { src: [1; 6], src_mask: [0; 6], dst: [9; 6], dst_mask: [255; 6] });
    run(vec![out.clone()], false, 1_000_000);
    run(vec![out.clone()], true, 1_000_000);
    run(vec![eth.clone(), out], true, 200_000);
    run(vec![eth, Action::Recirc(RecircId(1))], true, 200_000);
}
