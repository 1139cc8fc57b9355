-- The merchants' rulesets by version, which of them were in force when, and what the router's
-- configurations were made from, so that a decision can be explained when both have changed.

CREATE TABLE rulesets (
    merchant_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    live INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    document TEXT NOT NULL,
    description TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, profile_id, live, version)
) STRICT;
CREATE TRIGGER rulesets_changed BEFORE UPDATE ON rulesets
BEGIN SELECT RAISE(ABORT, 'rulesets_kept: make another version'); END;
CREATE TRIGGER rulesets_deleted BEFORE DELETE ON rulesets
BEGIN SELECT RAISE(ABORT, 'rulesets_kept: versions are never deleted'); END;

-- The last one of a profile and mode names the active version; `below` is the sequence of the one
-- that a rollback leads back to, 0 where there is none.
CREATE TABLE ruleset_activations (
    merchant_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    live INTEGER NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    version INTEGER NOT NULL,
    below INTEGER NOT NULL CHECK (below >= 0 AND below < sequence),
    activated_by TEXT NOT NULL,
    activated_at_ns INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, profile_id, live, sequence),
    FOREIGN KEY (merchant_id, profile_id, live, version)
        REFERENCES rulesets (merchant_id, profile_id, live, version)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER ruleset_activations_changed BEFORE UPDATE ON ruleset_activations
BEGIN SELECT RAISE(ABORT, 'rulesets_kept: activate another version'); END;
CREATE TRIGGER ruleset_activations_deleted BEFORE DELETE ON ruleset_activations
BEGIN SELECT RAISE(ABORT, 'rulesets_kept: activations are never deleted'); END;

CREATE TABLE snapshots (
    snapshot_version TEXT PRIMARY KEY NOT NULL,
    body BLOB NOT NULL,
    created_at_ns INTEGER NOT NULL
) STRICT;

-- Which of them a decision was made from; '' and 0 in decisions from before they were kept.
ALTER TABLE decisions ADD COLUMN snapshot_version TEXT NOT NULL DEFAULT '';
ALTER TABLE decisions ADD COLUMN ruleset_version INTEGER NOT NULL DEFAULT 0;
