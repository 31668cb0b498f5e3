-- Every day that a metric may be counted by.
select cast(day as date) as day
from generate_series(timestamp '2020-01-01', timestamp '2039-12-31', interval '1 day') as days (day)
