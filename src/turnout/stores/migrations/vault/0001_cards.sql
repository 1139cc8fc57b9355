-- The vault's own file: sealed cards and wrapped keys. Nothing in it can be read without the
-- master key, which is never here.

CREATE TABLE vault_keys (
    key_id TEXT PRIMARY KEY NOT NULL,
    purpose TEXT NOT NULL,
    master_key_id TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    created_at_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE cards (
    token_id TEXT PRIMARY KEY NOT NULL,
    merchant_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    facts TEXT NOT NULL,
    customer_reference TEXT NOT NULL,
    live INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL
) STRICT;
-- For "the same card again", and for re-sealing under a new key.
CREATE INDEX cards_fingerprint ON cards (merchant_id, fingerprint);
CREATE INDEX cards_key ON cards (key_id);
