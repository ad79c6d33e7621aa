-- The control account of a month, row by row. Key: (currency, component). Source: control_roll_forward of version $version of the lake.
SELECT currency, component, amount_minor
FROM lake.recon.control_roll_forward AT (VERSION => $version)
WHERE shop = $shop AND month = $month
ORDER BY currency, row_no;
