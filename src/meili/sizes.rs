//! Sizes as people read them, in tasks and statistics: `120 KiB`.

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// In the largest unit in which it is at least one, with two digits after the point at most.
pub fn shown_size(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{} {}", (size * 100.0).round() / 100.0, UNITS[unit])
}

/// Bytes, about; none for what is no size. Units are powers of 1024 (`KiB`) or of 1000 (`KB`).
pub fn read_size(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    let place = UNITS.iter().position(|known| known.replace('i', "") == unit.replace('i', ""))?;
    let base: f64 = if unit.contains('i') { 1024.0 } else { 1000.0 };
    Some((number * base.powi(place as i32)).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_and_read() {
        for (bytes, text) in
            [(0, "0 B"), (1_023, "1023 B"), (122_880, "120 KiB"), (1_572_864, "1.5 MiB"), (5_368_709_120, "5 GiB")]
        {
            assert_eq!(shown_size(bytes), text);
            assert_eq!(read_size(text), Some(bytes));
        }
        assert_eq!((read_size("1.5 KB"), read_size("x KiB"), read_size("1")), (Some(1_500), None, None));
    }
}
