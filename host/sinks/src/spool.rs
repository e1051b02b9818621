//! What a sink could not send, on the disk, until it can: batches in the order in which they came.
//!
//! A directory of segments, `<number>.spool`, each a row of records: a head of 12 bytes (length, how many values, CRC-32C
//! of what follows, little-endian), then the batch. Records are only ever appended to the newest segment and taken from
//! the oldest; `position` says how far. Written without waiting for the disk, so a kill costs nothing and a power cut
//! what the disk had not been told yet; a record that is torn, or is none, ends its segment. When a batch is taken again
//! because `position` was lost, its values are the same: whoever keeps them must not mind.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crc::{CRC_32_ISCSI, Crc};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const HEAD: usize = 12;
/// The longest batch, in bytes.
pub const LONGEST: usize = 8 << 20;
/// Segments among which the room is shared.
const SEGMENTS: u64 = 16;
/// The smallest segment, in bytes.
const SMALLEST: u64 = 64 << 10;

/// A spool. Everything here waits for the disk: call it where waiting is allowed.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    /// The room, in bytes.
    most: u64,
    segments: VecDeque<Segment>,
    /// How far the oldest segment was taken, in bytes.
    taken: u64,
    newest: Option<File>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    /// Values in it that were not taken.
    values: u64,
}

/// A batch that waits.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// What was put in.
    pub body: Vec<u8>,
    /// How many values it holds.
    pub values: u64,
    ends: u64,
}

impl Spool {
    /// Opens what lies in a directory, which is made where it is missing. At most `most` bytes are kept.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(dir: &Path, most: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let number: Option<u64> = name
                .to_str()
                .and_then(|name| name.strip_suffix(".spool")?.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        let mut spool = Spool {
            dir: dir.to_owned(),
            most: most.max(2 * SMALLEST),
            segments: VecDeque::new(),
            taken: 0,
            newest: None,
        };
        let (at, taken) = spool.read_position().unwrap_or_default();
        for number in numbers {
            if number < at {
                fs::remove_file(spool.path(number))?;
                continue;
            }
            let from = if number == at { taken } else { 0 };
            let (whole, values) = spool.look_through(number, from)?;
            if whole <= from && values == 0 {
                fs::remove_file(spool.path(number))?;
                continue;
            }
            if number == at {
                spool.taken = from;
            }
            spool.segments.push_back(Segment {
                number,
                bytes: whole,
                values,
            });
        }
        Ok(spool)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.values() == 0
    }

    /// How many values wait.
    pub fn values(&self) -> u64 {
        self.segments.iter().map(|segment| segment.values).sum()
    }

    /// How many bytes it takes on the disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Puts a batch behind all others. Gives how many values, the oldest, had to go for it.
    ///
    /// # Errors
    /// The file system's: then the batch is not in it. One that is too long is an error, too.
    pub fn put(&mut self, body: &[u8], values: u64) -> io::Result<u64> {
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= LONGEST);
        let (Some(length), Ok(count)) = (length, u32::try_from(values)) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a batch is longer than 8 MiB",
            ));
        };
        let mut record = Vec::with_capacity(HEAD + body.len());
        record.extend(length.to_le_bytes());
        record.extend(count.to_le_bytes());
        let mut digest = CRC.digest();
        digest.update(&record);
        digest.update(body);
        record.extend(digest.finalize().to_le_bytes());
        record.extend(body);
        let size = record.len() as u64;
        let mut dropped = 0;
        while self.bytes() + size > self.most && !self.segments.is_empty() {
            dropped += self.drop_oldest()?;
        }
        let room = (self.most / SEGMENTS).max(SMALLEST);
        let full = |segment: &Segment| segment.bytes > 0 && segment.bytes + size > room;
        if self.newest.is_none() || self.segments.back().is_none_or(full) {
            self.begin_segment()?;
        }
        let (Some(file), Some(segment)) = (&mut self.newest, self.segments.back_mut()) else {
            return Err(io::Error::other("the spool has no segment to write to"));
        };
        if let Err(error) = file.write_all(&record) {
            // A part of it may be there: the next record must not stand behind it.
            self.newest = None;
            return Err(error);
        }
        segment.bytes += size;
        segment.values += values;
        Ok(dropped)
    }

    /// The oldest batch. It stays until it is [taken](Spool::took).
    ///
    /// # Errors
    /// The file system's.
    pub fn oldest(&mut self) -> io::Result<Option<Batch>> {
        while let Some(segment) = self.segments.front() {
            let mut file = File::open(self.path(segment.number))?;
            file.seek(SeekFrom::Start(self.taken))?;
            if let Some((body, values)) = read_record(&mut file)? {
                let ends = self.taken + (HEAD + body.len()) as u64;
                return Ok(Some(Batch { body, values, ends }));
            }
            self.drop_oldest()?;
        }
        Ok(None)
    }

    /// The batch that [`Spool::oldest`] gave is no longer needed.
    ///
    /// # Errors
    /// The file system's.
    pub fn took(&mut self, batch: &Batch) -> io::Result<()> {
        let Some(segment) = self.segments.front_mut() else {
            return Ok(());
        };
        self.taken = batch.ends;
        segment.values = segment.values.saturating_sub(batch.values);
        if self.taken >= segment.bytes {
            self.drop_oldest()?;
            return Ok(());
        }
        let position = format!("{} {}\n", segment.number, self.taken);
        let (new, path) = (self.dir.join("position.new"), self.dir.join("position"));
        fs::write(&new, position)?;
        fs::rename(new, path)
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// The file system's.
    pub fn sync(&mut self) -> io::Result<()> {
        self.newest.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.spool"))
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        // Behind the position, too, which may speak of a segment that is gone.
        let last = self.segments.back().map_or(0, |segment| segment.number);
        let number = last.max(self.read_position().map_or(0, |(at, _)| at)) + 1;
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(self.path(number))?;
        self.newest = Some(file);
        if self.segments.is_empty() {
            self.taken = 0;
        }
        self.segments.push_back(Segment {
            number,
            bytes: 0,
            values: 0,
        });
        Ok(())
    }

    /// Removes the oldest segment, and gives how many values that were not taken went with it.
    fn drop_oldest(&mut self) -> io::Result<u64> {
        let Some(segment) = self.segments.front() else {
            return Ok(0);
        };
        match fs::remove_file(self.path(segment.number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let gone = self.segments.pop_front().map_or(0, |segment| segment.values);
        self.taken = 0;
        if self.segments.is_empty() {
            self.newest = None;
        }
        Ok(gone)
    }

    fn read_position(&self) -> Option<(u64, u64)> {
        let text = fs::read_to_string(self.dir.join("position")).ok()?;
        let (segment, taken) = text.trim().split_once(' ')?;
        Some((segment.parse().ok()?, taken.parse().ok()?))
    }

    /// How far a segment is whole, and how many values lie behind `from`.
    fn look_through(&self, number: u64, from: u64) -> io::Result<(u64, u64)> {
        let mut file = File::open(self.path(number))?;
        file.seek(SeekFrom::Start(from))?;
        let (mut whole, mut values) = (from, 0);
        while let Some((body, count)) = read_record(&mut file)? {
            whole += (HEAD + body.len()) as u64;
            values += count;
        }
        Ok((whole, values))
    }
}

/// The record that begins here; `None` at the end, and for what is no whole record.
fn read_record(file: &mut File) -> io::Result<Option<(Vec<u8>, u64)>> {
    let mut head = [0; HEAD];
    if !read_all(file, &mut head)? {
        return Ok(None);
    }
    let word = |at: usize| {
        head.get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    };
    let length = word(0) as usize;
    if length > LONGEST {
        return Ok(None);
    }
    let mut body = vec![0; length];
    if !read_all(file, &mut body)? {
        return Ok(None);
    }
    let mut digest = CRC.digest();
    digest.update(&head[..8]);
    digest.update(&body);
    Ok((digest.finalize() == word(8)).then_some((body, u64::from(word(4)))))
}

fn read_all(file: &mut File, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: u64 = 1 << 20;

    fn drain(spool: &mut Spool) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(batch) = spool.oldest().unwrap() {
            spool.took(&batch).unwrap();
            all.push(batch.body);
        }
        all
    }

    fn segments(dir: &Path) -> Vec<PathBuf> {
        let all = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        let mut all: Vec<_> = all
            .filter(|p| p.extension().is_some_and(|e| e == "spool"))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn batches_come_back_in_their_order_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), ROOM).unwrap();
        for i in 0..10u8 {
            assert_eq!(spool.put(&[i; 30_000], 3).unwrap(), 0);
        }
        for i in 0..4u8 {
            let batch = spool.oldest().unwrap().unwrap();
            assert_eq!(batch.body[0], i);
            spool.took(&batch).unwrap();
        }
        // Killed here: nothing is closed in order.
        std::mem::forget(spool);
        let mut spool = Spool::open(dir.path(), ROOM).unwrap();
        assert_eq!(spool.values(), 18);
        spool.put(&[10], 1).unwrap();
        let order: Vec<u8> = drain(&mut spool).iter().map(|body| body[0]).collect();
        assert_eq!(order, [4, 5, 6, 7, 8, 9, 10]);
        assert!(segments(dir.path()).is_empty());
        spool.put(&[11], 1).unwrap();
        std::mem::forget(spool);
        let mut spool = Spool::open(dir.path(), ROOM).unwrap();
        assert_eq!(
            drain(&mut spool),
            [[11]],
            "a new segment is not taken for an old one"
        );
    }

    #[test]
    fn the_room_is_kept_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), ROOM).unwrap();
        let mut dropped = 0;
        for i in 0..100u8 {
            dropped += spool.put(&[i; 30_000], 5).unwrap();
            let bytes: u64 = segments(dir.path())
                .iter()
                .map(|p| p.metadata().unwrap().len())
                .sum();
            assert!(bytes <= ROOM && bytes == spool.bytes(), "{bytes}");
        }
        assert!(dropped > 0);
        assert_eq!(dropped + spool.values(), 500);
        let rest = drain(&mut spool);
        assert_eq!(rest.last().map(|body| body[0]), Some(99));
        assert!(rest.windows(2).all(|pair| pair[0][0] + 1 == pair[1][0]));
    }

    #[test]
    fn a_segment_that_vanishes_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), ROOM).unwrap();
        (0..6u8).for_each(|i| drop(spool.put(&[i; 40_000], 1)));
        let all = segments(dir.path());
        fs::write(&all[1], b"nothing that was written here").unwrap();
        let order: Vec<u8> = drain(&mut spool).iter().map(|body| body[0]).collect();
        assert_eq!(order, [0, 2, 3, 4, 5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_torn_or_changed_is_skipped_and_never_given_out(
            sizes in prop::collection::vec(0usize..200, 1..12),
            cut in 0usize..2000,
            flip in prop::option::of((0usize..2000, 1u8..)),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut spool = Spool::open(dir.path(), ROOM).unwrap();
            let bodies: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, n)| vec![i as u8; *n]).collect();
            for body in &bodies {
                spool.put(body, 1).unwrap();
            }
            drop(spool);
            let path = &segments(dir.path())[0];
            let mut bytes = fs::read(path).unwrap();
            bytes.truncate(cut);
            if let Some((at, bits)) = flip && let Some(byte) = bytes.get_mut(at) {
                *byte ^= bits;
            }
            fs::write(path, bytes).unwrap();
            let mut spool = Spool::open(dir.path(), ROOM).unwrap();
            spool.put(b"after", 1).unwrap();
            let mut rest = drain(&mut spool);
            prop_assert_eq!(rest.pop(), Some(b"after".to_vec()));
            prop_assert!(rest.len() <= bodies.len());
            prop_assert_eq!(&rest[..], &bodies[..rest.len()]);
        }
    }
}
