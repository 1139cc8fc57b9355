//! What is known of a payment when it is routed. Everything may be unknown (`None`).
use crate::error::{Code, Error};
use crate::wire::{Reader, Writer, hash64, mix64};

/// Longer words are no network, currency or country; refusing them bounds the record's size.
const LONGEST_WORD: usize = 64;
/// A BIN has at most 8 digits; more would be part of a card number, which has no place here.
const LONGEST_BIN: usize = 8;
/// As many pairs as a payment may carry, and as many bytes as a value may have.
const MOST_METADATA: usize = 50;
pub(crate) const LONGEST_VALUE: usize = 4_096;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts<'a> {
    pub amount_minor: Option<i64>,
    pub currency: Option<&'a str>,
    pub method: Option<&'a str>,
    pub network: Option<&'a str>,
    pub funding: Option<&'a str>,
    pub bin: Option<&'a str>,
    pub issuer_country: Option<&'a str>,
    pub capture_method: Option<&'a str>,
    pub channel: Option<&'a str>,
    pub three_ds: Option<&'a str>,
    pub billing_country: Option<&'a str>,
    pub recurring: Option<bool>,
    /// 0 to 100.
    pub risk_score: Option<u8>,
    /// Keys and values, each key once.
    pub metadata: Vec<(&'a str, &'a str)>,
    /// What makes rules' draws the same for the same payment: its id. Without it the seed does.
    pub sticky_key: Option<&'a str>,
    /// The merchant does not want this payment to be used for finding out.
    pub no_exploring: bool,
    /// What the account must be able to do for this payment.
    pub capabilities: Vec<&'a str>,
    /// Accounts that must not be named, say because they were tried before.
    pub excluded: Vec<&'a str>,
}

impl<'a> Facts<'a> {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let words = [
            ("currency", self.currency),
            ("method", self.method),
            ("network", self.network),
            ("funding", self.funding),
            ("issuer_country", self.issuer_country),
            ("capture_method", self.capture_method),
            ("channel", self.channel),
            ("three_ds", self.three_ds),
            ("billing_country", self.billing_country),
        ];
        for (name, word) in words {
            if let Some(word) = word {
                check_word(name, word)?;
            }
        }
        if let Some(bin) = self.bin {
            if bin.len() > LONGEST_BIN || !bin.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid("bin", "is not 1 to 8 digits"));
            }
        }
        for (name, list) in [
            ("capabilities", &self.capabilities),
            ("excluded", &self.excluded),
        ] {
            if list.len() > 255 {
                return Err(invalid(name, "has more than 255 entries"));
            }
            for word in list {
                check_word(name, word)?;
            }
        }
        if self.risk_score.is_some_and(|score| score > 100) {
            return Err(invalid("risk_score", "is not 0 to 100"));
        }
        if self.sticky_key.is_some_and(|key| key.len() > 255) {
            return Err(invalid("sticky_key", "is longer than 255 bytes"));
        }
        self.check_metadata()
    }

    fn check_metadata(&self) -> Result<(), Error> {
        if self.metadata.len() > MOST_METADATA {
            return Err(invalid("metadata", "has more than 50 pairs"));
        }
        for (at, (key, value)) in self.metadata.iter().enumerate() {
            if key.is_empty() || key.len() > 255 || value.len() > LONGEST_VALUE {
                let what = "has a key that is empty or longer than 255 bytes, or a longer value \
                            than 4096 bytes";
                return Err(invalid("metadata", what));
            }
            if self.metadata[..at].iter().any(|(before, _)| before == key) {
                return Err(invalid("metadata", "has a key twice"));
            }
        }
        Ok(())
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let flags = [
            self.amount_minor.is_some(),
            self.no_exploring,
            self.recurring.is_some(),
            self.recurring == Some(true),
            self.risk_score.is_some(),
        ];
        out.u8(flags
            .iter()
            .rev()
            .fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
        out.i64(self.amount_minor.unwrap_or(0));
        out.u8(self.risk_score.unwrap_or(0));
        for word in [
            self.currency,
            self.method,
            self.network,
            self.funding,
            self.bin,
            self.issuer_country,
            self.capture_method,
            self.channel,
            self.three_ds,
            self.billing_country,
            self.sticky_key,
        ] {
            // An empty word and no word mean the same: unknown.
            out.text(word.unwrap_or(""));
        }
        for list in [&self.capabilities, &self.excluded] {
            out.u8(list.len() as u8);
            for word in list {
                out.text(word);
            }
        }
        out.u8(self.metadata.len() as u8);
        for (key, value) in &self.metadata {
            out.text(key);
            out.long_text(value);
        }
    }

    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, Error> {
        let flags = from.u8()?;
        let flag = |bit: u8| flags >> bit & 1 == 1;
        let (amount, risk) = (from.i64()?, from.u8()?);
        let mut word = || -> Result<Option<&'a str>, Error> {
            let text = from.text()?;
            Ok((!text.is_empty()).then_some(text))
        };
        let mut facts = Self {
            amount_minor: flag(0).then_some(amount),
            currency: word()?,
            method: word()?,
            network: word()?,
            funding: word()?,
            bin: word()?,
            issuer_country: word()?,
            capture_method: word()?,
            channel: word()?,
            three_ds: word()?,
            billing_country: word()?,
            sticky_key: word()?,
            recurring: flag(2).then_some(flag(3)),
            risk_score: flag(4).then_some(risk),
            no_exploring: flag(1),
            ..Self::default()
        };
        for list in [&mut facts.capabilities, &mut facts.excluded] {
            for _ in 0..from.u8()? {
                list.push(from.text()?);
            }
        }
        for _ in 0..from.u8()? {
            facts.metadata.push((from.text()?, from.long_text()?));
        }
        Ok(facts)
    }
}

fn check_word(name: &str, word: &str) -> Result<(), Error> {
    if word.len() > LONGEST_WORD {
        return Err(invalid(name, "is longer than 64 bytes"));
    }
    Ok(())
}

fn invalid(name: &str, what: &str) -> Error {
    Error::new(Code::InvalidFacts, format!("{name} {what}"))
}

/// A word's number: the same everywhere and for ever, so that saved state needs no dictionary.
/// Case does not matter. 0 is kept for "unknown".
pub(crate) fn symbol(word: Option<&str>) -> u64 {
    let Some(word) = word.filter(|w| !w.is_empty()) else {
        return 0;
    };
    let mut lower = [0_u8; LONGEST_WORD];
    let length = word.len().min(LONGEST_WORD);
    lower[..length].copy_from_slice(&word.as_bytes()[..length]);
    lower[..length].make_ascii_lowercase();
    hash64(&lower[..length]).max(1)
}

/// The levels that approval is learnt at: all payments, network, funding, amount band, issuer
/// country, issuer country x network, BIN; what payments have in common.
pub(crate) const LEVELS: usize = 7;

/// Borders between amount bands, in minor units: each is about five times the one before.
/// Currencies without minor units have small units, so the same figures fit them roughly.
const AMOUNT_EDGES: [i64; 3] = [2_000, 10_000, 50_000];

/// Which segment a payment belongs to at each level; 0 where a fact is unknown: that level then
/// says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments(pub [u64; LEVELS]);

impl Segments {
    pub fn of(facts: &Facts<'_>) -> Self {
        let network = symbol(facts.network);
        let country = symbol(facts.issuer_country);
        let band = facts.amount_minor.map_or(0, |amount| {
            1 + AMOUNT_EDGES.iter().filter(|edge| amount > **edge).count() as u64
        });
        let both = if network != 0 && country != 0 {
            network ^ country.rotate_left(32)
        } else {
            0
        };
        let mut keys = [
            1,
            network,
            symbol(facts.funding),
            band,
            country,
            both,
            symbol(facts.bin),
        ];
        for (level, key) in keys.iter_mut().enumerate() {
            if *key != 0 {
                *key = mix64(*key ^ mix64(1 + level as u64)).max(1);
            }
        }
        Self(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_their_record() {
        let facts = Facts {
            amount_minor: Some(-5),
            currency: Some("EUR"),
            bin: Some("411111"),
            capabilities: vec!["multi_capture"],
            excluded: vec!["acc_b", "acc_c"],
            channel: Some("moto"),
            recurring: Some(true),
            risk_score: Some(0),
            metadata: vec![("shop", "north"), ("basket", "")],
            sticky_key: Some("pay_1"),
            ..Facts::default()
        };
        let mut out = Writer::default();
        facts.write(&mut out);
        let sealed = out.seal();
        let mut reader = Reader::unseal(&sealed, Code::CorruptRecord).unwrap();
        assert_eq!(Facts::read(&mut reader).unwrap(), facts);
        reader.end().unwrap();
    }

    #[test]
    fn a_card_number_is_no_bin() {
        let facts = Facts {
            bin: Some("4111111111111111"),
            ..Facts::default()
        };
        let error = facts.check().unwrap_err();
        assert_eq!(error.code, Code::InvalidFacts);
        assert!(!error.message.contains("4111"));
    }

    #[test]
    fn unknown_facts_leave_their_levels_out() {
        let none = Segments::of(&Facts::default()).0;
        assert!(none[0] != 0 && none[1..] == [0; 6]);
        let visa = Facts {
            network: Some("VISA"),
            ..Facts::default()
        };
        let same = Facts {
            network: Some("visa"),
            ..Facts::default()
        };
        assert_eq!(Segments::of(&visa), Segments::of(&same));
        assert_ne!(Segments::of(&visa).0[1], 0);
        assert_eq!(Segments::of(&visa).0[5], 0);
    }
}
