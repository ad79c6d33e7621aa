-- The transaction types of each statement component. Key: transaction_type, which is what makes the components of a cycle
-- add up to its payout. Source: stage.statement_components (a total, or one total less another) and stage.statement_fields
-- (the types of each of the 40 totals of SBC11; totals without types are informative).
CREATE OR REPLACE TABLE stage.component_types AS
SELECT f.transaction_type, c.component
FROM stage.statement_components AS c
INNER JOIN stage.statement_fields AS f ON f.field = c.plus_field
ANTI JOIN stage.statement_fields AS m ON m.field = c.minus_field AND m.transaction_type = f.transaction_type;
