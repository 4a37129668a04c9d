//! MD5 of several messages side by side.
//!
//! Each step of MD5 needs the one before, so a processor that could do eight steps at once waits for one. The digests of
//! aggregates are the largest part of making and opening them; side by side they take a fraction of the time. MD5 is no
//! protection here but what the aggregate format and the map of shards ask for.

use wide::u32x8;

/// Messages side by side.
const LANES: usize = 8;
/// With fewer messages it is cheaper to take one after the other.
const FEWEST: usize = 3;
const BLOCK_BYTES: usize = 64;
/// RFC 1321, 3.3.
const BEGIN: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

type Block = [u8; BLOCK_BYTES];

/// The digest of each message, in their order.
pub(crate) fn digests(messages: &[&[u8]]) -> Vec<[u8; 16]> {
    let mut digests = vec![[0; 16]; messages.len()];
    let mut waiting = messages.iter().enumerate().map(|(place, message)| Lane::new(place, message));
    let mut lanes: Vec<Lane<'_>> = waiting.by_ref().take(LANES).collect();
    while lanes.len() >= FEWEST {
        advance(&mut lanes);
        lanes.retain(|lane| {
            if lane.left() == 0 {
                digests[lane.place] = lane.digest();
            }
            lane.left() > 0
        });
        lanes.extend(waiting.by_ref().take(LANES - lanes.len()));
    }
    for mut lane in lanes.into_iter().chain(waiting) {
        while lane.left() > 0 {
            let block = *lane.next_block();
            step_one(&mut lane.state, words(|at| u32::from_le_bytes(word(&block, at))));
        }
        digests[lane.place] = lane.digest();
    }
    digests
}

/// A message on its way.
struct Lane<'a> {
    place: usize,
    /// The whole blocks.
    blocks: &'a [Block],
    /// What is left of the message, with the padding: one block or two.
    tail: Vec<Block>,
    taken: usize,
    state: [u32; 4],
}

impl<'a> Lane<'a> {
    fn new(place: usize, message: &'a [u8]) -> Self {
        let (blocks, rest) = message.as_chunks::<BLOCK_BYTES>();
        // RFC 1321, 3.1 and 3.2: a bit that is set, zeros, and the length in bits.
        let length = (message.len() as u64).wrapping_mul(8).to_le_bytes();
        let mut tail = vec![[0; BLOCK_BYTES]; if rest.len() + 1 + length.len() > BLOCK_BYTES { 2 } else { 1 }];
        let bytes = tail.as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()] = 0x80;
        let end = bytes.len();
        bytes[end - length.len()..].copy_from_slice(&length);
        Self { place, blocks, tail, taken: 0, state: BEGIN }
    }

    fn left(&self) -> usize {
        self.blocks.len() + self.tail.len() - self.taken
    }

    fn block(&self, number: usize) -> &Block {
        self.blocks.get(number).unwrap_or_else(|| &self.tail[number - self.blocks.len()])
    }

    fn next_block(&mut self) -> &Block {
        self.taken += 1;
        self.block(self.taken - 1)
    }

    fn digest(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *bytes = word.to_le_bytes();
        }
        digest
    }
}

/// Takes all lanes on to the end of the shortest. A lane that nobody is in does the work of the first.
fn advance(lanes: &mut [Lane<'_>]) {
    let blocks = lanes.iter().map(Lane::left).min().unwrap_or(0);
    let lane_of = |lanes: &[Lane<'_>], lane: usize| if lane < lanes.len() { lane } else { 0 };
    let mut state: [u32x8; 4] =
        std::array::from_fn(|word| u32x8::new(std::array::from_fn(|lane| lanes[lane_of(lanes, lane)].state[word])));
    for number in 0..blocks {
        let of: [&Block; LANES] = std::array::from_fn(|lane| {
            let lane = &lanes[lane_of(lanes, lane)];
            lane.block(lane.taken + number)
        });
        step_all(&mut state, words(|at| u32x8::new(of.map(|block| u32::from_le_bytes(word(block, at))))));
    }
    let state = state.map(u32x8::to_array);
    for (place, lane) in lanes.iter_mut().enumerate() {
        lane.taken += blocks;
        lane.state = state.map(|words| words[place]);
    }
}

fn words<T>(word: impl FnMut(usize) -> T) -> [T; 16] {
    std::array::from_fn(word)
}

fn word(block: &Block, at: usize) -> [u8; 4] {
    [block[4 * at], block[4 * at + 1], block[4 * at + 2], block[4 * at + 3]]
}

/// RFC 1321, 3.4, for numbers of a type, be it one or eight at a time.
macro_rules! compress {
    ($name:ident, $number:ty, $of:expr, $add:expr) => {
        #[inline]
        #[allow(clippy::manual_rotate, reason = "vectors have no rotation")]
        fn $name(state: &mut [$number; 4], block: [$number; 16]) {
            let [mut a, mut b, mut c, mut d] = *state;
            // Unrolled by the compiler, which then knows the amounts of the rotations.
            for step in 0..64 {
                let (mixed, word) = match step / 16 {
                    0 => (d ^ (b & (c ^ d)), step),
                    1 => (c ^ (d & (b ^ c)), (5 * step + 1) % 16),
                    2 => (b ^ c ^ d, (3 * step + 5) % 16),
                    _ => (c ^ (b | !d), (7 * step) % 16),
                };
                let sum = $add($add(a, mixed), $add(block[word], $of(SINES[step])));
                let by = ROTATIONS[step / 16][step % 4];
                let rotated = (sum << by) | (sum >> (32 - by));
                (a, b, c, d) = (d, $add(b, rotated), b, c);
            }
            *state = [$add(state[0], a), $add(state[1], b), $add(state[2], c), $add(state[3], d)];
        }
    };
}

compress!(step_one, u32, |number: u32| number, u32::wrapping_add);
compress!(step_all, u32x8, u32x8::splat, |one: u32x8, other: u32x8| one + other);

/// How far is rotated, by round.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The whole part of 2^32 times the sine of 1 to 64.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use md5::{Digest, Md5};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_around_the_ends_of_blocks_are_padded_right() {
        let bytes: Vec<u8> = (0..=255).cycle().take(300).collect();
        let messages: Vec<_> = (0..=260).map(|length| &bytes[..length]).collect();
        let expected: Vec<[u8; 16]> = messages.iter().map(|message| Md5::digest(message).into()).collect();
        assert_eq!(digests(&messages), expected);
        for (message, digest) in messages.iter().zip(expected) {
            assert_eq!(digests(&[message]), [digest]);
        }
    }

    proptest! {
        #[test]
        fn any_messages_have_the_digests_that_the_library_says(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..30)
        ) {
            let messages: Vec<_> = messages.iter().map(Vec::as_slice).collect();
            let expected: Vec<[u8; 16]> = messages.iter().map(|message| Md5::digest(message).into()).collect();
            prop_assert_eq!(digests(&messages), expected);
        }
    }
}
