-- Words of bookings.sql and of who asks which of its rows a batch touches: which lines of the log are booked on a subject, and on which.
CREATE OR REPLACE TEMP MACRO is_booked(transaction_type, payment_state) AS (
    payment_state <> 'NOT_APPLICABLE' AND transaction_type IN (
        'ORDER_AMOUNT', 'ORDER_SHIPPING_AMOUNT', 'ORDER_AMOUNT_TAX', 'ORDER_SHIPPING_AMOUNT_TAX', 'COMMISSION_FEE', 'COMMISSION_VAT',
        'REFUND_ORDER_AMOUNT', 'REFUND_ORDER_SHIPPING_AMOUNT', 'REFUND_ORDER_AMOUNT_TAX', 'REFUND_ORDER_SHIPPING_AMOUNT_TAX',
        'REFUND_COMMISSION_FEE', 'REFUND_COMMISSION_VAT'
    )
);
CREATE OR REPLACE TEMP MACRO booked_kind(transaction_type, order_line_id, refund_id) AS (
    CASE
        WHEN starts_with(transaction_type, 'REFUND') THEN CASE WHEN refund_id IS NULL THEN 'unnamed refund' ELSE 'refund' END
        WHEN order_line_id IS NULL THEN 'unnamed sale'
        ELSE 'sale'
    END
);
CREATE OR REPLACE TEMP MACRO booked_subject(transaction_type, order_line_id, refund_id, transaction_id) AS (
    coalesce(CASE WHEN starts_with(transaction_type, 'REFUND') THEN refund_id ELSE order_line_id END, transaction_id)
);
