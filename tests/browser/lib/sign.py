"""Signs a form as Twilio does, by Twilio's own library. Reads {token, url, form} from standard input."""

import json
import sys

from twilio.request_validator import RequestValidator

told = json.load(sys.stdin)
print(RequestValidator(told["token"]).compute_signature(told["url"], told["form"]))
