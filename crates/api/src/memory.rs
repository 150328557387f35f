use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// A body or an outcome up to this size takes its room from the share of the small.
const SMALL_BYTES: u64 = 64 << 10;
/// The part of the whole that is the share of the small.
const SMALL_SHARE: usize = 8;

/// The unit of the semaphores, which count in 32 bits.
const BLOCK_BYTES: u64 = 1 << 10;
/// Blocks that a share can have: 256 GiB.
const MOST_BLOCKS: u32 = 1 << 28;

/// Room for the bodies of submits, and for the pieces of large outcomes, that are in memory at one time. Cheap to clone.
///
/// Small ones have a share of their own: however many large ones are on their way, slowly, a small one is served.
#[derive(Clone, Debug)]
pub(crate) struct MemoryBudget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl MemoryBudget {
    /// Of `all` bytes, or a little more: the largest single thing, of `largest` bytes, always fits in.
    pub(crate) fn new(all: usize, largest: usize) -> Self {
        let small = all / SMALL_SHARE;
        let share = |bytes: usize, at_least: u64| {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).max(at_least);
            Arc::new(Semaphore::new(blocks(bytes) as usize))
        };
        Self { small: share(small, SMALL_BYTES), large: share((all - small).max(largest), SMALL_BYTES) }
    }

    /// Room for something that will probably have so many bytes in all. It is empty at first.
    pub(crate) fn room(&self, probably: u64) -> Room {
        Room { budget: self.clone(), is_small: probably <= SMALL_BYTES, permit: None }
    }
}

fn blocks(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(MOST_BLOCKS).min(MOST_BLOCKS)
}

/// Room in memory; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    budget: MemoryBudget,
    is_small: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Makes it large enough for `bytes`.
    ///
    /// # Errors
    /// If there is no more room now.
    pub(crate) fn grow_to(&mut self, bytes: u64) -> Result<(), ApiError> {
        if self.is_small && bytes > SMALL_BYTES {
            self.is_small = false;
            self.permit = None;
        }
        let taken = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = (blocks(bytes) as usize).saturating_sub(taken);
        let share = if self.is_small { &self.budget.small } else { &self.budget.large };
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = Arc::clone(share).try_acquire_many_owned(missing).map_err(|_| ApiError::Overloaded)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn holds(budget: &MemoryBudget, bytes: u64) -> Option<Room> {
        let mut room = budget.room(bytes);
        room.grow_to(bytes).is_ok().then_some(room)
    }

    #[test]
    fn large_ones_cannot_take_the_share_of_the_small() {
        let budget = MemoryBudget::new(8 << 20, 1 << 20);
        let large: Vec<Room> = (0..7).map_while(|_| holds(&budget, MIB)).collect();
        assert_eq!(large.len(), 7);
        assert!(holds(&budget, MIB).is_none());
        let small: Vec<Room> = (0..100).map_while(|_| holds(&budget, SMALL_BYTES)).collect();
        assert_eq!(small.len(), 16, "1 MiB of them");
        drop(large);
        assert!(holds(&budget, MIB).is_some() && holds(&budget, 1).is_none());
        drop(small);
        assert!(holds(&budget, 1).is_some());
    }

    #[test]
    fn what_turns_out_to_be_large_leaves_the_small() {
        let budget = MemoryBudget::new(8 << 20, 1 << 20);
        let mut grown: Vec<Room> = (0..16).filter_map(|_| holds(&budget, SMALL_BYTES)).collect();
        assert!(holds(&budget, 1).is_none());
        grown[0].grow_to(SMALL_BYTES + 1).unwrap();
        assert!(holds(&budget, SMALL_BYTES).is_some());
    }

    #[test]
    fn the_largest_always_fits() {
        let budget = MemoryBudget::new(0, 10 << 20);
        assert!(holds(&budget, 10 * MIB).is_some() && holds(&budget, 1).is_some());
    }
}
