"""`streamguard init`: a schema, a policy and its tests, drafted from records, without a value of theirs.

Records are looked at (`evidence`). Their shape becomes a JSON Schema (`shape`, `schema`) unless they have a schema
already (`described`). Each of its leaves is looked at by name (`names`, `words`) and by content (`content`), and gets
the treatment that fits (`detect`, `propose`). What is written (`write`) is made of names, types, counts and made-up
values (`sample`) alone; before it is put in its place, it has passed `check` and `test` (`prove`).
"""
