-- The record of payments. Times are nanoseconds since the epoch, 0 for never; amounts are minor
-- units. Columns that hold JSON hold what orjson makes of the domain's dataclass.

CREATE TABLE claims (
    claim_id INTEGER PRIMARY KEY,
    merchant_id TEXT NOT NULL,
    rpc TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    payment_id TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL,
    answer BLOB,
    CONSTRAINT claim_taken UNIQUE (merchant_id, rpc, key)
) STRICT;
CREATE INDEX claims_created ON claims (created_at_ns);

-- Filled at every start from the domain's own table, so that code and record cannot disagree.
-- from_status is '' for the state in which a payment is first written.
CREATE TABLE payment_transitions (
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    PRIMARY KEY (from_status, to_status)
) STRICT, WITHOUT ROWID;

-- The part of a payment that changes; `details`, which is large and hardly ever does, stands apart
-- so that a settlement rewrites little.
CREATE TABLE payments (
    payment_id TEXT PRIMARY KEY NOT NULL,
    merchant_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    merchant_reference TEXT NOT NULL,
    live INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    capture_method TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL,
    updated_at_ns INTEGER NOT NULL,
    version INTEGER NOT NULL,
    config_version INTEGER NOT NULL,
    method TEXT,
    account_id TEXT NOT NULL,
    provider_reference TEXT NOT NULL,
    authorized_minor INTEGER NOT NULL,
    captured_minor INTEGER NOT NULL,
    pending_capture_minor INTEGER NOT NULL,
    refunded_minor INTEGER NOT NULL,
    pending_refund_minor INTEGER NOT NULL,
    released_minor INTEGER NOT NULL,
    capture_before_ns INTEGER NOT NULL,
    network_transaction_id TEXT NOT NULL,
    avs_result TEXT NOT NULL,
    cvc_result TEXT NOT NULL,
    next_action TEXT,
    decline TEXT,
    cancellation_reason TEXT NOT NULL,
    confirmed_separately INTEGER NOT NULL,
    capture_reversed INTEGER NOT NULL,
    needs_review INTEGER NOT NULL,
    decision TEXT,
    CONSTRAINT amount_not_negative CHECK (
        amount_minor >= 0 AND authorized_minor >= 0 AND captured_minor >= 0
        AND pending_capture_minor >= 0 AND refunded_minor >= 0 AND pending_refund_minor >= 0
        AND released_minor >= 0
    ),
    CONSTRAINT captured_within_authorized CHECK (
        captured_minor + pending_capture_minor <= authorized_minor
    ),
    -- A provider can take a capture back after it was refunded; then a person must look.
    CONSTRAINT refunded_within_captured CHECK (
        refunded_minor + pending_refund_minor <= captured_minor OR needs_review = 1
    )
) STRICT;
CREATE UNIQUE INDEX payments_reference ON payments (merchant_id, merchant_reference)
    WHERE merchant_reference <> '';
CREATE INDEX payments_newest ON payments (merchant_id, created_at_ns, payment_id);
CREATE INDEX payments_status ON payments (merchant_id, status, created_at_ns, payment_id);
CREATE INDEX payments_expiring ON payments (capture_before_ns, payment_id)
    WHERE capture_before_ns > 0 AND status IN ('requires_capture', 'partially_captured');

CREATE TRIGGER payments_born AFTER INSERT ON payments
WHEN NOT EXISTS (
    SELECT 1 FROM payment_transitions WHERE from_status = '' AND to_status = NEW.status
)
BEGIN
    SELECT RAISE(ABORT, 'payment_transition: no payment begins in this status');
END;

CREATE TRIGGER payments_moved BEFORE UPDATE OF status ON payments
WHEN NEW.status <> OLD.status AND NOT EXISTS (
    SELECT 1 FROM payment_transitions WHERE from_status = OLD.status AND to_status = NEW.status
)
BEGIN
    SELECT RAISE(ABORT, 'payment_transition: the table has no such edge');
END;

CREATE TRIGGER payments_kept BEFORE DELETE ON payments
BEGIN
    SELECT RAISE(ABORT, 'payments_kept: payments are never deleted');
END;

CREATE TABLE payment_details (
    payment_id TEXT PRIMARY KEY NOT NULL REFERENCES payments (payment_id),
    merchant_id TEXT NOT NULL,
    customer_reference TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX payment_details_customer ON payment_details (merchant_id, customer_reference)
    WHERE customer_reference <> '';

CREATE TABLE operations (
    operation_id TEXT PRIMARY KEY NOT NULL,
    payment_id TEXT NOT NULL REFERENCES payments (payment_id),
    merchant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    account_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL,
    updated_at_ns INTEGER NOT NULL,
    provider_reference TEXT NOT NULL,
    final INTEGER NOT NULL,
    reason TEXT NOT NULL,
    decline TEXT,
    claim TEXT,
    provider_state TEXT NOT NULL,
    check_at_ns INTEGER NOT NULL,
    checks INTEGER NOT NULL,
    details TEXT,
    CONSTRAINT operation_sequence UNIQUE (payment_id, sequence),
    CONSTRAINT operation_amount CHECK (amount_minor >= 0)
) STRICT;
-- Small: each holds only what is open, however many operations there are.
CREATE INDEX operations_sending ON operations (operation_id) WHERE state = 'sending';
CREATE INDEX operations_due ON operations (check_at_ns, operation_id) WHERE check_at_ns > 0;
CREATE INDEX operations_provider ON operations (account_id, provider_reference)
    WHERE provider_reference <> '';
CREATE INDEX operations_refunds ON operations (merchant_id, created_at_ns, operation_id)
    WHERE kind = 'refund';

CREATE TRIGGER operations_kept BEFORE DELETE ON operations
BEGIN
    SELECT RAISE(ABORT, 'operations_kept: operations are never deleted');
END;

CREATE TABLE decisions (
    decision_id TEXT PRIMARY KEY NOT NULL,
    merchant_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;

-- Filled at every start: which kind of transaction takes which back.
CREATE TABLE ledger_undoes (
    kind TEXT PRIMARY KEY NOT NULL,
    undoes TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

-- Postings are written before their transaction; the transaction's insert checks the sum of what
-- it finds and closes it. The deferred reference keeps postings from standing alone.
CREATE TABLE ledger_transactions (
    transaction_id TEXT PRIMARY KEY NOT NULL,
    merchant_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    currency TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX ledger_transactions_cause ON ledger_transactions (operation_id, kind);

CREATE TABLE ledger_postings (
    transaction_id TEXT NOT NULL
        REFERENCES ledger_transactions (transaction_id) DEFERRABLE INITIALLY DEFERRED,
    line INTEGER NOT NULL,
    book TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    PRIMARY KEY (transaction_id, line)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ledger_zero_sum BEFORE INSERT ON ledger_transactions
WHEN coalesce((
    SELECT sum(amount_minor) FROM ledger_postings WHERE transaction_id = NEW.transaction_id
), 1) <> 0
BEGIN
    SELECT RAISE(ABORT, 'ledger_zero_sum: the postings do not sum to zero');
END;

-- The same cause is posted once: again only after it was taken back, and taken back only as often
-- as it was posted.
CREATE TRIGGER ledger_cause BEFORE INSERT ON ledger_transactions
WHEN (
    SELECT count(*) FROM ledger_transactions
    WHERE operation_id = NEW.operation_id AND kind = NEW.kind
) >= (
    SELECT count(*) FROM ledger_transactions
    WHERE operation_id = NEW.operation_id AND kind = coalesce(
        (SELECT undoes FROM ledger_undoes WHERE kind = NEW.kind),
        (SELECT kind FROM ledger_undoes WHERE undoes = NEW.kind)
    )
) + NOT EXISTS (SELECT 1 FROM ledger_undoes WHERE kind = NEW.kind)
BEGIN
    SELECT RAISE(ABORT, 'ledger_cause: this cause is posted already');
END;

CREATE TRIGGER ledger_posting_late BEFORE INSERT ON ledger_postings
WHEN EXISTS (SELECT 1 FROM ledger_transactions WHERE transaction_id = NEW.transaction_id)
BEGIN
    SELECT RAISE(ABORT, 'ledger_append_only: the transaction is closed');
END;
CREATE TRIGGER ledger_transactions_changed BEFORE UPDATE ON ledger_transactions
BEGIN SELECT RAISE(ABORT, 'ledger_append_only: correct by another transaction'); END;
CREATE TRIGGER ledger_transactions_deleted BEFORE DELETE ON ledger_transactions
BEGIN SELECT RAISE(ABORT, 'ledger_append_only: correct by another transaction'); END;
CREATE TRIGGER ledger_postings_changed BEFORE UPDATE ON ledger_postings
BEGIN SELECT RAISE(ABORT, 'ledger_append_only: correct by another transaction'); END;
CREATE TRIGGER ledger_postings_deleted BEFORE DELETE ON ledger_postings
BEGIN SELECT RAISE(ABORT, 'ledger_append_only: correct by another transaction'); END;

-- AUTOINCREMENT: a cursor that was once handed out never names another event.
CREATE TABLE events (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    merchant_id TEXT NOT NULL,
    type TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL,
    payload BLOB NOT NULL,
    live INTEGER NOT NULL
) STRICT;
CREATE INDEX events_merchant ON events (merchant_id, cursor);
CREATE INDEX events_payment ON events (payment_id, cursor);

CREATE TABLE webhooks (
    webhook_id TEXT PRIMARY KEY NOT NULL,
    account_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    received_at_ns INTEGER NOT NULL,
    event TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'set_aside')),
    reason TEXT NOT NULL DEFAULT '',
    UNIQUE (account_id, event_id)
) STRICT;
CREATE INDEX webhooks_pending ON webhooks (received_at_ns, webhook_id) WHERE state = 'pending';

CREATE TABLE blobs (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE configs (
    version INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    body BLOB NOT NULL,
    created_at_ns INTEGER NOT NULL
) STRICT;
