-- The lines of one journal of a month, in their order. Key: line_no. Source: journal_lines of version $version of the lake.
SELECT currency, line_no, account, description, debit_minor, credit_minor, reference
FROM lake.recon.journal_lines AT (VERSION => $version)
WHERE shop = $shop AND month = $month AND journal_id = $journal_id
ORDER BY line_no;
