//! The decisions of the Kinesis engine, without I/O and without a clock: what a stream is, how shards split and
//! merge, what a filter lists, what a sequence number says, when a rate is used up.

pub(super) mod consumer;
pub(super) mod filter;
pub(super) mod hash;
pub(super) mod rates;
pub(super) mod reshard;
pub(super) mod sequence;
pub(super) mod stream;
pub(super) mod token;

#[cfg(test)]
mod tests;

/// Milliseconds since 1970, as the engine's clock reads them.
pub(super) type Millis = u64;

/// What a decision may know about the moment in which it is made.
pub(super) struct Moment<'a> {
    /// The time.
    pub(super) now: Millis,
    /// The counter that the next record of a log gets; records up to it exist.
    pub(super) next_counter: &'a dyn Fn(stream::LogId) -> u64,
    /// Gives out a log that was never used before.
    pub(super) new_log: &'a mut dyn FnMut() -> stream::LogId,
    /// Larger than the creation stamp of any shard that ever existed, so that the numbers of a stream that is created
    /// again go on where the old one's ended.
    pub(super) stamp_floor: u64,
}
