select * from {{ source('callweave', 'calls') }}
