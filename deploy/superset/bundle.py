#!/usr/bin/env python3
"""The dashboard for Apache Superset as a file that it imports.

    bundle.py [--uri postgresql+psycopg2://USER@HOST:PORT/ACCOUNT] [-o callweave.zip]

The URI is that of `callweave up` or `callweave query`. The password is not in the file: Superset asks for it. In Superset:
Dashboards, the arrow beside + Dashboard, Import dashboards.
"""

import argparse
import pathlib
import re
import zipfile

HERE = pathlib.Path(__file__).parent
# What Superset takes for "ask for it" (superset.constants.PASSWORD_MASK).
MASK = "X" * 10


def masked(uri):
    found = re.fullmatch(r"(postgresql\+psycopg2://)([^:@/]+)(?::[^@]*)?@(.+)", uri)
    if not found:
        raise SystemExit(f"{uri!r} is not postgresql+psycopg2://USER@HOST:PORT/ACCOUNT")
    return f"{found[1]}{found[2]}:{MASK}@{found[3]}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--uri", default="postgresql+psycopg2://default@127.0.0.1:5433/callweave")
    arguments.add_argument("-o", "--output", default="callweave.zip")
    given = arguments.parse_args()
    uri = masked(given.uri)
    with zipfile.ZipFile(given.output, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file in sorted(HERE.rglob("*.yaml")):
            text = file.read_text()
            if file.parent.name == "databases":
                text = re.sub(r"(?m)^sqlalchemy_uri:.*$", lambda _: f"sqlalchemy_uri: {uri}", text)
            bundle.writestr(f"callweave/{file.relative_to(HERE)}", text)
    print(f"wrote {given.output} for {uri.replace(':' + MASK, '')}")


if __name__ == "__main__":
    main()
