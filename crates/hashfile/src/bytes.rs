//! Numbers in rows: as few bytes as they need (LEB128), and eight for values of blocks.

/// A row that says less, or more, than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Appends a number.
#[inline]
pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while 0x80 <= number {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

/// Takes a number of 32 bits.
#[inline]
pub(crate) fn take_u32(bytes: &mut &[u8]) -> Result<u32, Malformed> {
    u32::try_from(take(bytes)?).map_err(|_| Malformed)
}

/// Takes so many values of eight bytes.
pub(crate) fn take_values<'a>(bytes: &mut &'a [u8], nr: usize) -> Result<&'a [u8], Malformed> {
    let len = nr.checked_mul(8).ok_or(Malformed)?;
    let (values, rest) = bytes.split_at_checked(len).ok_or(Malformed)?;
    *bytes = rest;
    Ok(values)
}

/// Returns the values in bytes that [`take_values`] took.
pub(crate) fn values(bytes: &[u8]) -> impl ExactSizeIterator<Item = u64> {
    bytes.chunks_exact(8).map(|chunk| {
        let mut number = [0; 8];
        number.copy_from_slice(chunk);
        u64::from_le_bytes(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_half_a_number_is_malformed() {
        let numbers = [0, 1, 127, 128, 300, 1 << 32, u64::MAX - 1, u64::MAX];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| put(&mut bytes, *number));
        let mut left = &bytes[..];
        for number in numbers {
            assert_eq!(take(&mut left), Ok(number));
        }
        assert_eq!(take(&mut left), Err(Malformed));
        assert_eq!(take(&mut &[0x80][..]), Err(Malformed));
        assert_eq!(take(&mut &[0xff; 11][..]), Err(Malformed));
        assert_eq!(
            take_u32(&mut &[0xff, 0xff, 0xff, 0xff, 0x7f][..]),
            Err(Malformed)
        );
    }
}
