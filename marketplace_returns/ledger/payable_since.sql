-- When a sale of the shop last became payable; null where none did. Source: TL02 (core.mirakl__transactions). Parameters: $shop.
SELECT max(updated_at)
FROM lake.core.mirakl__transactions
WHERE shop = $shop AND transaction_type = 'ORDER_AMOUNT' AND payment_state = 'PAYABLE'
