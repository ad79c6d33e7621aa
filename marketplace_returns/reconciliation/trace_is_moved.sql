-- A row where a log line was moved in a month into a cycle that was closed before. Source: moved_lines.
SELECT transaction_id
FROM moved_lines
WHERE transaction_id = $transaction_id;
