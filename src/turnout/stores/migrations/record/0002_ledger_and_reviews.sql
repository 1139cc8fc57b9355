-- Reading the ledger: balances that are kept in the transaction that posts, indexes for pages, and
-- one book for what was captured and another for what was given back (they were one, receivable).

DROP TRIGGER ledger_postings_changed;
UPDATE ledger_postings SET book = 'refunded'
WHERE book = 'receivable' AND transaction_id IN (
    SELECT transaction_id FROM ledger_transactions WHERE kind IN ('refund', 'refund_reversed')
);
UPDATE ledger_postings SET book = 'captured' WHERE book = 'receivable';
-- A reversed refund was one transaction and is two: back in transit, then back to the merchant.
INSERT INTO ledger_postings (transaction_id, line, book, amount_minor)
SELECT
    'ltx_f' || substr(p.transaction_id, 6), p.line,
    iif(p.book = 'payable', 'payable', 'refunds_in_transit'), p.amount_minor
FROM ledger_postings AS p JOIN ledger_transactions AS t USING (transaction_id)
WHERE t.kind = 'refund_reversed';
UPDATE ledger_postings SET book = 'refunds_in_transit'
WHERE book = 'payable' AND transaction_id IN (
    SELECT transaction_id FROM ledger_transactions WHERE kind = 'refund_reversed'
);
INSERT INTO ledger_transactions (
    transaction_id, merchant_id, account_id, payment_id, operation_id, kind, currency,
    created_at_ns
)
SELECT
    'ltx_f' || substr(transaction_id, 6), merchant_id, account_id, payment_id, operation_id,
    'refund_failed', currency, created_at_ns
FROM ledger_transactions WHERE kind = 'refund_reversed';
CREATE TRIGGER ledger_postings_changed BEFORE UPDATE ON ledger_postings
BEGIN SELECT RAISE(ABORT, 'ledger_append_only: correct by another transaction'); END;

CREATE INDEX ledger_transactions_newest
    ON ledger_transactions (merchant_id, created_at_ns, transaction_id);
CREATE INDEX ledger_transactions_payment ON ledger_transactions (payment_id);

CREATE TABLE ledger_balances (
    merchant_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    book TEXT NOT NULL,
    currency TEXT NOT NULL,
    live INTEGER NOT NULL,
    debits_minor INTEGER NOT NULL,
    credits_minor INTEGER NOT NULL,
    postings INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, account_id, currency, book, live)
) STRICT, WITHOUT ROWID;
INSERT INTO ledger_balances
SELECT
    t.merchant_id, t.account_id, p.book, t.currency,
    coalesce((SELECT live FROM payments WHERE payment_id = t.payment_id), 0) AS live,
    sum(max(p.amount_minor, 0)), sum(max(-p.amount_minor, 0)), count(*)
FROM ledger_transactions AS t JOIN ledger_postings AS p USING (transaction_id)
GROUP BY t.merchant_id, t.account_id, p.book, t.currency, live;

-- The transaction's insert closes it, so here all its postings are there.
CREATE TRIGGER ledger_balanced AFTER INSERT ON ledger_transactions
BEGIN
    INSERT INTO ledger_balances
    SELECT
        NEW.merchant_id, NEW.account_id, p.book, NEW.currency,
        coalesce((SELECT live FROM payments WHERE payment_id = NEW.payment_id), 0),
        max(p.amount_minor, 0), max(-p.amount_minor, 0), 1
    FROM ledger_postings AS p WHERE p.transaction_id = NEW.transaction_id
    ON CONFLICT (merchant_id, account_id, currency, book, live) DO UPDATE SET
        debits_minor = debits_minor + excluded.debits_minor,
        credits_minor = credits_minor + excluded.credits_minor,
        postings = ledger_balances.postings + 1;
END;

-- What waits for a person, and what a person said of it.
CREATE INDEX payments_review ON payments (created_at_ns, payment_id) WHERE needs_review = 1;
CREATE INDEX operations_review ON operations (payment_id) WHERE state = 'needs_review';
CREATE INDEX webhooks_set_aside ON webhooks (received_at_ns, webhook_id)
    WHERE state = 'set_aside';

CREATE TABLE reviews (
    review_id INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_id TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    merchant_id TEXT NOT NULL,
    resolution TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX reviews_payment ON reviews (payment_id);
CREATE TRIGGER reviews_changed BEFORE UPDATE ON reviews
BEGIN SELECT RAISE(ABORT, 'reviews_kept: what was said stays said'); END;
CREATE TRIGGER reviews_deleted BEFORE DELETE ON reviews
BEGIN SELECT RAISE(ABORT, 'reviews_kept: what was said stays said'); END;

-- Recovery works through one account at a time where many operations wait.
CREATE INDEX operations_due_account ON operations (account_id, check_at_ns, operation_id)
    WHERE check_at_ns > 0;
