select * from {{ source('callweave', 'costs') }}
