select * from {{ source('callweave', 'touchpoints') }}
