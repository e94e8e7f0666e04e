//! The stream of events that a model answers with (`text/event-stream`): only the data counts.

/// Takes bytes as they come and gives the data of each event.
#[derive(Debug, Default)]
pub struct EventStream {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    /// The last line ended with a carriage return: a line feed right behind it ends no other line.
    is_after_return: bool,
}

/// An event is longer than any model should send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

/// Longest data of an event.
pub const DATA_MAX: usize = 4 * 1024 * 1024;

impl EventStream {
    /// Takes some bytes; hands over the data of each event that they complete.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn push(&mut self, bytes: &[u8], mut hand_over: impl FnMut(Vec<u8>)) -> Result<(), TooLong> {
        for &byte in bytes {
            let is_second = byte == b'\n' && std::mem::take(&mut self.is_after_return);
            self.is_after_return = byte == b'\r';
            if is_second {
                continue;
            }
            if byte == b'\n' || byte == b'\r' {
                if let Some(data) = self.end_line() {
                    hand_over(data);
                }
            } else {
                self.line.push(byte);
            }
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) > DATA_MAX {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        let value = if line == b"data" { Some(&line[4..]) } else { line.strip_prefix(b"data:") };
        if let Some(value) = value {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let data = self.data.get_or_insert_with(Vec::new);
            if !data.is_empty() {
                data.push(b'\n');
            }
            data.extend_from_slice(value);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &[u8], step: usize) -> Vec<String> {
        let (mut stream, mut events) = (EventStream::default(), Vec::new());
        for piece in text.chunks(step) {
            stream.push(piece, |data| events.push(String::from_utf8(data).unwrap())).unwrap();
        }
        events
    }

    #[test]
    fn events_are_told_apart_however_they_are_cut() {
        let text = "retry: 10\n\ndata: {\"a\":1}\n\n: comment\r\nevent: x\r\ndata:b\r\ndata: c\r\n\r\ndata:\rdata: \u{e9}\r\rdata: lost";
        for step in 1..text.len() {
            assert_eq!(events(text.as_bytes(), step), ["{\"a\":1}", "b\nc", "\u{e9}"], "{step}");
        }
    }

    #[test]
    fn an_event_without_end_is_not_kept() {
        let mut stream = EventStream::default();
        assert_eq!(stream.push(&vec![b'a'; DATA_MAX + 1], |_| {}), Err(TooLong));
    }
}
