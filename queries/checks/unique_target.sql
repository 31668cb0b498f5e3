-- Calls where is_unique_target is not is_unique and is_target.
SELECT account, call_id, is_unique, is_target, is_unique_target
FROM calls
WHERE is_unique_target <> (is_unique AND is_target)
