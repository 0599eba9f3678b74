//! Actions as megaflows keep them: normalised, and one copy for all megaflows that do the same.

use std::collections::HashMap;
use std::sync::Arc;

use dpif::{Action, DropReason};

use crate::cache::slab::OUTPUT;
use crate::quick::Quick;
use crate::tx::MAX_PORTS;

/// Steps in execution order. The last step that does anything is the last of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Program(pub(crate) Vec<Action>);

/// Clones in clones beyond this are not executed.
pub(crate) const MAX_NESTING: usize = 8;

impl Program {
    /// Drops steps behind the last that sends anything anywhere; opens a clone that comes last. Without any such step
    /// the program drops, for `drop` or as a rule's wish. So does one that only tells management why it drops.
    pub(crate) fn new(actions: &[Action], drop: Option<DropReason>) -> Program {
        let mut steps = actions.to_vec();
        for _ in 0..=MAX_NESTING {
            while steps.last().is_some_and(|a| !is_sink(a)) {
                steps.pop();
            }
            match steps.pop() {
                Some(Action::Clone(inner)) => steps.extend(inner),
                Some(last) => {
                    steps.push(last);
                    break;
                }
                None => break,
            }
        }
        if steps.is_empty() {
            steps.push(Action::Drop(drop.unwrap_or(DropReason::Rule)));
        } else if let Some(reason) = drop
            && !steps.iter().any(|a| is_sink(a) && !matches!(a, Action::Userspace(_) | Action::Meter(_)))
        {
            steps.push(Action::Drop(reason));
        }
        Program(steps)
    }

    /// The form that fits in a megaflow without a program, if there is one.
    fn direct(&self) -> Option<u32> {
        match self.0.as_slice() {
            [Action::Output(port)] if port.0 < MAX_PORTS => Some(OUTPUT | port.0),
            _ => None,
        }
    }
}

fn is_sink(action: &Action) -> bool {
    match action {
        Action::Output(_) | Action::Recirc(_) | Action::Userspace(_) | Action::Drop(_) => true,
        // it counts
        Action::Meter(_) => true,
        Action::Clone(inner) => inner.iter().any(is_sink),
        Action::CheckLen { more, other, .. } => more.iter().chain(other).any(is_sink),
        Action::Ct(ct) => ct.commit,
        _ => false,
    }
}

struct Entry {
    program: Arc<Program>,
    /// The same without interpretation, where its shape allows.
    quick: Option<Quick>,
    users: u32,
}

/// The programs in use, each once.
#[derive(Default)]
pub(crate) struct Programs {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: HashMap<Arc<Program>, u32>,
}

impl Programs {
    /// What a megaflow stores for these actions: [`OUTPUT`] and a port, or the number of a program, which gets one user
    /// more.
    pub(crate) fn intern(&mut self, program: &Program) -> u32 {
        if let Some(direct) = program.direct() {
            return direct;
        }
        if let Some(&at) = self.index.get(program) {
            if let Some(Some(entry)) = self.entries.get_mut(at as usize) {
                entry.users += 1;
            }
            return at;
        }
        let program = Arc::new(program.clone());
        let entry = Some(Entry { quick: Quick::new(&program), program: program.clone(), users: 1 });
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.entries.push(None);
                (self.entries.len() - 1) as u32
            }
        };
        if let Some(e) = self.entries.get_mut(at as usize) {
            *e = entry;
        }
        self.index.insert(program, at);
        at
    }

    /// The steps of a program.
    #[inline]
    pub(crate) fn get(&self, at: u32) -> Option<&Program> {
        Some(&self.entries.get(at as usize)?.as_ref()?.program)
    }

    /// The quick form of a program, if it has one.
    #[inline(always)]
    pub(crate) fn quick(&self, at: u32) -> Option<&Quick> {
        self.entries.get(at as usize)?.as_ref()?.quick.as_ref()
    }

    /// One user less.
    pub(crate) fn release(&mut self, at: u32) {
        if at & OUTPUT != 0 {
            return;
        }
        let Some(slot) = self.entries.get_mut(at as usize) else { return };
        let Some(entry) = slot else { return };
        entry.users -= 1;
        if entry.users == 0 {
            self.index.remove(&entry.program);
            *slot = None;
            self.free.push(at);
        }
    }
}
