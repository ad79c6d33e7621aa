-- One row: whether lines of earlier months are posted in a month. Source: prior_period_adjustments of version $version of the lake.
SELECT count(*) > 0 AS has_late
FROM lake.recon.prior_period_adjustments AT (VERSION => $version)
WHERE shop = $shop AND month = $month AND currency = $currency;
