-- What later months have posted against each month of a shop, until now. Key: (original_month, currency). Source: prior_period_adjustments.
SELECT original_month, currency, count(*) AS rows, CAST(sum(amount_minor) AS BIGINT) AS amount_minor
FROM lake.recon.prior_period_adjustments
WHERE shop = $shop AND original_month < $month
GROUP BY original_month, currency
ORDER BY original_month, currency;
