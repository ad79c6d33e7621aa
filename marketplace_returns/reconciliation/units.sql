-- One row per return unit of the shop, with what a month-end table needs of it. Key: return_unit_id.
-- Source: model.return_units. Invariant: the view is read once per close.
CREATE OR REPLACE TEMP TABLE units AS
SELECT return_unit_id, return_id, order_id, order_line_id, ordinal, disposition, inspected_at, receipt_event_id, currency
FROM model.return_units
WHERE shop = $shop;
