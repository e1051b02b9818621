//! A terminal that is drawn on in place, and left as it was.

use std::io::Write;

use super::render::Size;

/// The other screen of the terminal, without a cursor. Dropping it goes back, whatever ends the command.
pub struct Screen(());

impl Screen {
    /// Changes to the other screen.
    pub fn enter() -> Self {
        put("\x1b[?1049h\x1b[?25l\x1b[2J");
        Screen(())
    }

    /// Draws all lines over those that stand there, in one piece, so that nothing flickers.
    pub fn draw(&mut self, lines: &[String]) {
        put(&format!(
            "\x1b[?2026h\x1b[H{}\x1b[K\x1b[J\x1b[?2026l",
            lines.join("\x1b[K\r\n")
        ));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        put("\x1b[?25h\x1b[?1049l");
    }
}

/// How large the terminal is now.
pub fn size() -> Size {
    let size = terminal_size::terminal_size();
    let (width, height) = size.map_or((80, 24), |(width, height)| (width.0.into(), height.0.into()));
    Size { width, height }
}

fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that has gone away ends the program by its signal.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
