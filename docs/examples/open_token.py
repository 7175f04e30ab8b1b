"""Open a token with Python's standard library and `cryptography` only.

    python open_token.py STORE_FILE TOKEN [VIOLATION_ID] < MASTER_KEY_FILE

docs/wire-format.md explains each step. Prints text as JSON, anything else as it was encoded.
"""

import json
import sqlite3
import sys
from base64 import urlsafe_b64decode

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

store, token, *violation_id = sys.argv[1:]
_, kind, key_id, payload = token.split(".")

# The data key: its row in the store, unwrapped with the master key that the row names.
masters = {line[6:18]: urlsafe_b64decode(line[19:62] + "=") for line in sys.stdin if line[:6] == "sgmk1."}
rows = sqlite3.connect(store).execute("SELECT element, wrapped FROM data_keys WHERE id = ?", [key_id])
element, wrapped = rows.fetchone()
secret = AESGCM(masters[wrapped[4:10].hex()]).decrypt(wrapped[10:22], wrapped[22:], wrapped[:10])

# The value: decrypted with a subkey, bound to where it was made.
key = HKDF(SHA256(), 64 if kind == "d" else 32, None, f"sg1|{kind}|{element}".encode()).derive(secret)
aad = "|".join(["sg1", kind, key_id, element, *violation_id]).encode()
data = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
value = AESSIV(key).decrypt(data, [aad]) if kind == "d" else AESGCM(key).decrypt(data[:12], data[12:], aad)

# The type byte: p padded, s text, j JSON, b bytes.
value = value[1:].rpartition(b"\x80")[0] if value[:1] == b"p" else value
text = value[1:].decode(errors="backslashreplace")
print(json.dumps(text) if value[:1] == b"s" else text)
