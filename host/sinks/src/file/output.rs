//! A file that is appended to, and becomes an old one in time.
//!
//! Lines are whole or not there: what a full disk cut off is taken back, and what a power cut tore is closed with a line's
//! end when the file is opened again. The disk is told to keep everything when a file becomes an old one and when the host
//! ends; in between the system writes when it likes, which a power cut may cost the last half minute.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::encode::Format;

/// When a new file is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Never.
    Never,
    /// Before it grows larger than this, in bytes.
    Size(u64),
    /// With each new day of the wall clock.
    Daily,
}

/// Where lines go. Everything here waits for the disk.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    format: Format,
    rotation: Rotation,
    keep: u32,
    compress: bool,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    /// Which file it is, whatever it is called by now.
    id: (u64, u64),
    /// The day of its newest line.
    day: i64,
}

impl Output {
    /// Nothing is opened before the first line.
    pub fn new(path: &Path, format: Format, rotation: Rotation, keep: u32, compress: bool) -> Self {
        Output {
            path: path.to_owned(),
            format,
            rotation,
            keep,
            compress,
            open: None,
        }
    }

    /// Appends whole lines. `day` is the day that it is, as a number that grows.
    ///
    /// # Errors
    /// The file system's: then none of the lines is there.
    pub fn write(&mut self, lines: &str, day: i64) -> io::Result<()> {
        if !self.is_ours() {
            self.open = None;
        }
        let rotation = self.rotation;
        let due = self.open()?.is_due(rotation, lines.len() as u64, day);
        if due {
            self.rotate()?;
        }
        let header = self.format.header();
        let open = self.open()?;
        let mut bytes = String::new();
        if open.size == 0 {
            bytes.push_str(header);
        }
        bytes.push_str(lines);
        if let Err(error) = open.file.write_all(bytes.as_bytes()) {
            // Half a line would spoil the next one, too.
            let taken_back = open.file.set_len(open.size);
            self.open = None;
            return Err(taken_back.err().unwrap_or(error));
        }
        open.size += bytes.len() as u64;
        open.day = day;
        Ok(())
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// The file system's.
    pub fn sync(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    /// Whether the path still leads to the open file: somebody may have moved it away, so that a new one is begun.
    fn is_ours(&self) -> bool {
        let Some(open) = &self.open else { return true };
        fs::metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == open.id)
    }

    fn open(&mut self) -> io::Result<&mut Open> {
        if self.open.is_none() {
            if let Some(parent) = self.path.parent().filter(|p| !p.as_os_str().is_empty()) {
                fs::create_dir_all(parent)?;
            }
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .read(true)
                .open(&self.path)?;
            let meta = file.metadata()?;
            let mut size = meta.len();
            if !meta.is_file() {
                return Err(io::Error::other("it is no ordinary file"));
            }
            if size > 0 {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                    size += 1;
                }
            }
            self.open = Some(Open {
                id: (meta.dev(), meta.ino()),
                day: day_of(meta.mtime()),
                file,
                size,
            });
        }
        self.open
            .as_mut()
            .ok_or_else(|| io::Error::other("it is not open"))
    }

    /// Gives the file its place among the old ones, `<path>.1`; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        self.open = None;
        let old = |number: u32, packed: bool| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}{}", if packed { ".gz" } else { "" }));
            PathBuf::from(name)
        };
        for packed in [false, true] {
            gone(fs::remove_file(old(self.keep, packed)))?;
            for number in (1..self.keep).rev() {
                gone(fs::rename(old(number, packed), old(number + 1, packed)))?;
            }
        }
        fs::rename(&self.path, old(1, false))?;
        if self.compress
            && let Err(error) = pack(&old(1, false), &old(1, true))
        {
            // It is there as it was.
            tracing::warn!("{} could not be packed: {error}", old(1, false).display());
            gone(fs::remove_file(old(1, true)))?;
        }
        Ok(())
    }
}

impl Open {
    fn is_due(&self, rotation: Rotation, more: u64, day: i64) -> bool {
        self.size > 0
            && match rotation {
                Rotation::Never => false,
                Rotation::Size(most) => self.size + more > most,
                Rotation::Daily => day > self.day,
            }
    }
}

/// The day of the wall clock, as a number that grows by one each midnight.
pub fn day_of(seconds: i64) -> i64 {
    let zone = jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC);
    let offset = jiff::Timestamp::from_second(seconds).map(|t| zone.to_offset(t).seconds());
    (seconds + i64::from(offset.unwrap_or(0))).div_euclid(86_400)
}

/// What is not there need not be moved or removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn pack(from: &Path, to: &Path) -> io::Result<()> {
    let mut packer = flate2::write::GzEncoder::new(File::create(to)?, flate2::Compression::default());
    io::copy(&mut File::open(from)?, &mut packer)?;
    packer.finish()?.sync_data()?;
    fs::remove_file(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026-11-30T18:00:00.042Z,one,power,-12.5,W,good\n";

    fn names(dir: &Path) -> Vec<String> {
        let all = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = all
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_file_has_its_header_and_the_oldest_goes() {
        for (compress, expected) in [
            (false, ["a.csv", "a.csv.1", "a.csv.2"]),
            (true, ["a.csv", "a.csv.1.gz", "a.csv.2.gz"]),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.csv");
            let mut output = Output::new(&path, Format::Csv, Rotation::Size(200), 2, compress);
            for _ in 0..20 {
                output.write(LINE, 0).unwrap();
            }
            assert_eq!(names(dir.path()), expected);
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                text.starts_with(Format::Csv.header()) && text.len() <= 200,
                "{text}"
            );
            let mut old = String::new();
            match compress {
                true => flate2::read::GzDecoder::new(File::open(dir.path().join("a.csv.1.gz")).unwrap())
                    .read_to_string(&mut old)
                    .unwrap(),
                false => File::open(dir.path().join("a.csv.1"))
                    .unwrap()
                    .read_to_string(&mut old)
                    .unwrap(),
            };
            assert!(
                old.starts_with(Format::Csv.header()) && old.ends_with(LINE),
                "{old}"
            );
        }
    }

    #[test]
    fn a_new_day_begins_a_new_file_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/a.jsonl");
        let today = day_of(crate::clock::now_ms() / 1000);
        let output = || Output::new(&path, Format::Jsonl, Rotation::Daily, 5, false);
        let mut first = output();
        first.write("{}\n", today).unwrap();
        first.write("{}\n", today).unwrap();
        drop(first);
        let mut second = output();
        second.write("{}\n", today).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        second.write("{\"a\":1}\n", today + 1).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n");
        assert_eq!(names(&dir.path().join("sub")), ["a.jsonl", "a.jsonl.1"]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let mut output = Output::new(&path, Format::Csv, Rotation::Never, 1, false);
        output.write(LINE, 0).unwrap();
        fs::rename(&path, dir.path().join("moved")).unwrap();
        output.write(LINE, 0).unwrap();
        for name in ["a.csv", "moved"] {
            let text = fs::read_to_string(dir.path().join(name)).unwrap();
            assert_eq!(text, format!("{}{LINE}", Format::Csv.header()), "{name}");
        }
    }

    #[test]
    fn a_torn_line_is_closed_and_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, format!("{}2026-11-30T18", Format::Csv.header())).unwrap();
        let mut output = Output::new(&path, Format::Csv, Rotation::Never, 1, false);
        output.write(LINE, 0).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}2026-11-30T18\n{LINE}", Format::Csv.header()));
    }

    #[test]
    fn a_disk_that_is_full_takes_nothing_and_no_half_line() {
        let mut output = Output::new(Path::new("/dev/full"), Format::Jsonl, Rotation::Never, 1, false);
        assert!(output.write("{}\n", 0).is_err());
        let dir = tempfile::tempdir().unwrap();
        let mut output = Output::new(dir.path(), Format::Jsonl, Rotation::Never, 1, false);
        assert!(output.write("{}\n", 0).is_err(), "a directory");
    }
}
