-- A merchant's reference of a refund names one refund, whatever crashes or races.

-- Only refunds of one mode were compared before, so a test refund may bear a live one's name: it
-- goes without.
UPDATE operations SET details = json_set(details, '$.merchant_reference', '')
WHERE kind = 'refund' AND details ->> 'merchant_reference' <> ''
    AND payment_id IN (SELECT payment_id FROM payments WHERE live = 0)
    AND (merchant_id, details ->> 'merchant_reference') IN (
        SELECT r.merchant_id, r.details ->> 'merchant_reference'
        FROM operations AS r JOIN payments AS p USING (payment_id)
        WHERE r.kind = 'refund' AND p.live = 1
    );

CREATE UNIQUE INDEX operations_refund_reference
    ON operations (merchant_id, details ->> 'merchant_reference')
    WHERE kind = 'refund' AND details ->> 'merchant_reference' <> '';
