select * from {{ source('callweave', 'deals') }}
