select * from {{ source('callweave', 'leases') }}
