//! Compact little-endian bytes for decision records and saved state.
use crate::error::{Code, Error};

#[derive(Default)]
pub(crate) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn f32(&mut self, value: f32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn f64(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Text of at most 255 bytes; longer text is refused before it comes here.
    pub fn text(&mut self, value: &str) {
        debug_assert!(value.len() <= 255);
        self.u8(value.len() as u8);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// Text of at most 65,535 bytes; longer text is refused before it comes here.
    pub fn long_text(&mut self, value: &str) {
        debug_assert!(u16::try_from(value.len()).is_ok());
        self.u16(value.len() as u16);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// Adds a checksum over everything so far.
    pub fn seal(mut self) -> Vec<u8> {
        let sum = hash64(&self.bytes);
        self.u64(sum);
        self.bytes
    }
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    code: Code,
}

impl<'a> Reader<'a> {
    /// Checks the checksum that `seal` wrote and reads what stands before it.
    pub fn unseal(bytes: &'a [u8], code: Code) -> Result<Self, Error> {
        let Some(split) = bytes.len().checked_sub(8) else {
            return Err(Error::new(code, "too short to hold a checksum"));
        };
        let (body, sum) = bytes.split_at(split);
        if hash64(body).to_le_bytes() != sum {
            return Err(Error::new(code, "the checksum does not fit the content"));
        }
        Ok(Self { bytes: body, code })
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        if count > self.bytes.len() {
            return Err(Error::new(self.code, "ends too early"));
        }
        let (head, tail) = self.bytes.split_at(count);
        self.bytes = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Error> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub fn f32(&mut self) -> Result<f32, Error> {
        let value = f32::from_le_bytes(self.array()?);
        if !value.is_finite() {
            return Err(Error::new(self.code, "holds a number that is not finite"));
        }
        Ok(value)
    }

    pub fn f64(&mut self) -> Result<f64, Error> {
        let value = f64::from_le_bytes(self.array()?);
        if !value.is_finite() {
            return Err(Error::new(self.code, "holds a number that is not finite"));
        }
        Ok(value)
    }

    pub fn text(&mut self) -> Result<&'a str, Error> {
        let length = self.u8()? as usize;
        self.utf8(length)
    }

    pub fn long_text(&mut self) -> Result<&'a str, Error> {
        let length = u16::from_le_bytes(self.array()?) as usize;
        self.utf8(length)
    }

    fn utf8(&mut self, length: usize) -> Result<&'a str, Error> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map_err(|_| Error::new(self.code, "holds text that is not UTF-8"))
    }

    pub fn end(&self) -> Result<(), Error> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(Error::new(self.code, "has bytes left over"))
    }

    pub fn fail(&self, what: &str) -> Error {
        Error::new(self.code, what)
    }
}

/// FNV-1a with a final mix: the same on every machine and in every build, which the standard
/// library's hasher does not promise. It finds damage; it is no defence against forgery.
pub(crate) fn hash64(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix64(hash)
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): every input bit moves every output bit.
pub(crate) const fn mix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let mut writer = Writer::default();
        writer.text("acc_one");
        writer.f64(0.25);
        let sealed = writer.seal();
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Reader::unseal(&bad, Code::CorruptState).is_err());
        }
        for length in 0..sealed.len() {
            assert!(Reader::unseal(&sealed[..length], Code::CorruptState).is_err());
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut writer = Writer::default();
            writer.f64(bad);
            let sealed = writer.seal();
            assert!(
                Reader::unseal(&sealed, Code::CorruptState)
                    .unwrap()
                    .f64()
                    .is_err()
            );
        }
    }
}
