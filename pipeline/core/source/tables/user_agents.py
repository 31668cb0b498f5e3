#!/usr/bin/env python3
"""Makes user_agents.tsv from regexes.yaml of github.com/ua-parser/uap-core (Apache-2.0, Copyright 2009 Google Inc.).

    python3 user_agents.py ~/.cargo/registry/src/*/ua-parser-*/uap-core/regexes.yaml > user_agents.tsv

Kept are the patterns of browsers and systems with the family each names. Left out are versions, and the models of
devices: nothing here reports them. The file is read line by line because Python's standard library has no YAML.
"""

import re
import sys

SECTIONS = {"user_agent_parsers": ("browser", "family_replacement"), "os_parsers": ("os", "os_replacement")}
MEMBER = re.compile(r"^\s+(- )?(\w+): '((?:[^']|'')*)'\s*(?:#.*)?$")

print("# Patterns of uap-core (https://github.com/ua-parser/uap-core), Apache-2.0, Copyright 2009 Google Inc.")
print("# Changed: versions and devices left out, one pattern a line. Made by user_agents.py; do not edit.")
print("# kind <tab> pattern <tab> family, or nothing: then the pattern's first group")

section, items = None, []
for number, line in enumerate(open(sys.argv[1], encoding="utf-8"), 1):
    line = line.rstrip("\n")
    if re.match(r"^\w+:", line):
        section = SECTIONS.get(line.rstrip(":"))
        continue
    if section is None or not line.strip() or line.strip().startswith("#"):
        continue
    member = MEMBER.match(line)
    if not member:
        sys.exit(f"line {number} is not understood: {line}")
    first, name, text = member.group(1), member.group(2), member.group(3).replace("''", "'")
    if "\t" in text:
        sys.exit(f"line {number} holds a tab")
    if first:
        items.append([section[0], None, ""])
    if name == "regex":
        items[-1][1] = text
    elif name == section[1]:
        items[-1][2] = text
for item in items:
    print("\t".join(item))
