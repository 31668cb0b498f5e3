select * from {{ source('callweave', 'sessions') }}
