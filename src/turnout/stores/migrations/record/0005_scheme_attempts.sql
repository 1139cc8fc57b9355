-- Attempts as the card schemes count them: one row from the commit that writes an attempt ahead
-- until it was approved or never left; declined ones stay as long as a rule looks back. The keys
-- are keyed hashes (16 bytes) that only the vault can make.

CREATE TABLE scheme_attempts (
    attempt_id TEXT PRIMARY KEY NOT NULL,
    card BLOB NOT NULL,
    acceptor BLOB NOT NULL,
    intent BLOB NOT NULL,
    merchant_initiated INTEGER NOT NULL,
    expiry INTEGER NOT NULL,
    sent_at_ns INTEGER NOT NULL,
    declined_at_ns INTEGER NOT NULL,
    issuer_code TEXT NOT NULL,
    advice_code TEXT NOT NULL,
    final INTEGER NOT NULL,
    kept_until_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX scheme_attempts_intent ON scheme_attempts (intent, sent_at_ns);
CREATE INDEX scheme_attempts_card ON scheme_attempts (card, sent_at_ns) WHERE card <> x'';
CREATE INDEX scheme_attempts_final ON scheme_attempts (acceptor) WHERE final = 1;
CREATE INDEX scheme_attempts_old ON scheme_attempts (kept_until_ns)
    WHERE kept_until_ns > 0;
