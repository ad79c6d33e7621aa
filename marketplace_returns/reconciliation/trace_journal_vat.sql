-- The output VAT of a month that lies inside prices, at least in part: what its journal included_vat takes out. Key: (direction, tax_code, rate).
-- Source: vat_summary of version $version of the lake; what is posted of a tax is tax_minor less logged_tax_minor.
SELECT direction, tax_code, rate, net_minor, tax_minor, coalesce(logged_tax_minor, 0) AS logged_tax_minor
FROM lake.recon.vat_summary AT (VERSION => $version)
WHERE
    shop = $shop AND month = $month AND currency = $currency
    AND direction LIKE '%output%' AND tax_minor <> coalesce(logged_tax_minor, 0)
ORDER BY direction, tax_code, rate;
