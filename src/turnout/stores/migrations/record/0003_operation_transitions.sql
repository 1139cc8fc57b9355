-- Operations move along the domain's table too. Filled at every start, as payment_transitions.

CREATE TABLE operation_transitions (
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    PRIMARY KEY (from_state, to_state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER operations_moved BEFORE UPDATE OF state ON operations
WHEN NEW.state <> OLD.state AND NOT EXISTS (
    SELECT 1 FROM operation_transitions WHERE from_state = OLD.state AND to_state = NEW.state
)
BEGIN
    SELECT RAISE(ABORT, 'operation_transition: the table has no such edge');
END;
