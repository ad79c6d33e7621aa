-- The VAT of a month by direction, tax code and rate. Key: (currency, direction, tax_code, rate). Source: vat_summary of version $version of the
-- lake. What is posted of a tax by the journal included_vat is tax_minor less logged_tax_minor.
SELECT currency, direction, tax_code, rate, net_minor, tax_minor, coalesce(logged_tax_minor, 0) AS logged_tax_minor
FROM lake.recon.vat_summary AT (VERSION => $version)
WHERE shop = $shop AND month = $month
ORDER BY currency, direction, tax_code, rate;
