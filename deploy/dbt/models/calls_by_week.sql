-- What a model on the marts looks like: `dbt show --select calls_by_week`.
select
    account,
    date_trunc('week', day) as week,
    channel,
    sum(case when direction <> 'outbound' then 1 else 0 end) as calls,
    sum(case when is_target then 1 else 0 end) as target_calls
from {{ ref('calls') }}
group by 1, 2, 3
