-- One index answers for all accounts and for all but some: recovery leaves out those at which
-- nothing may be asked now, without reading their operations.

DROP INDEX operations_due_account;
DROP INDEX operations_due;
CREATE INDEX operations_due ON operations (check_at_ns, operation_id, account_id)
    WHERE check_at_ns > 0;
