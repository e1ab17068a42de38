"""A second reader of the formats, written from spec/receipt.md and spec/log.md alone.

It recomputes what it can from the vectors in the folder that it is given, with the
standard library only (no Ed25519: openssl does that), prints the SHA-256 of each
envelope's pre-authentication encoding, and last how much it checked.
"""
import base64, hashlib, hmac, json, pathlib, sys

folder = pathlib.Path(sys.argv[1])
sha256 = lambda b: hashlib.sha256(b).digest()
b64 = lambda b: base64.b64encode(b).decode()
load = lambda name: json.loads((folder / name).read_text())
checked = 0

def same(what, got, want):
    global checked
    if got != want:
        sys.exit(f"{what}: computed {got!r}, the vector says {want!r}")
    checked += 1

# Strings as RFC 8785 writes them; numbers as the digits that came in.
class Number(str): pass

SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}

def text(s):
    return '"' + "".join(SHORT.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in s) + '"'

def scalar(v):
    if isinstance(v, Number):
        return str(v)
    return text(v) if isinstance(v, str) else {None: "null", True: "true", False: "false"}[v]

def lines(v, pointer=""):
    if isinstance(v, dict):
        names = sorted(v, key=lambda n: n.encode())
        yield pointer, f'[{text(pointer)},{{"object":[{",".join(map(text, names))}]}}]'
        for n in names:
            yield from lines(v[n], pointer + "/" + n.replace("~", "~0").replace("/", "~1"))
    elif isinstance(v, list):
        yield pointer, f'[{text(pointer)},{{"array":{len(v)}}}]'
        for i, e in enumerate(v):
            yield from lines(e, f"{pointer}/{i}")
    else:
        yield pointer, f'[{text(pointer)},"v",{scalar(v)}]'

for c in load("commitments.json"):
    value = json.loads(c["value"], parse_int=Number, parse_float=Number)
    secret = base64.b64decode(c["opening"])
    flat = sorted(lines(value), key=lambda l: l[0].encode())
    same(c["value"], [l for _, l in flat], c["lines"])
    fields = "helm/fields/v1\n"
    for pointer, line in flat:
        salt = hmac.digest(secret, b"helm/salt/v1\n" + pointer.encode(), "sha256")[:16]
        fields += b64(sha256(salt + line.encode())) + "\n"
    same(c["value"], fields, c["fields"])
    same(c["value"], sha256(fields.encode()).hex(), c["commitment"])

def fields_file(disclosure):
    out = "helm/fields/v1\n"
    for l in json.loads(disclosure, parse_int=Number, parse_float=Number)["lines"]:
        if isinstance(l, list):
            salt, (pointer, *rest) = l
            if rest[0] == "v":
                line = f'[{text(pointer)},"v",{scalar(rest[1])}]'
            elif "object" in rest[0]:
                line = f'[{text(pointer)},{{"object":[{",".join(map(text, rest[0]["object"]))}]}}]'
            else:
                line = f'[{text(pointer)},{{"array":{rest[0]["array"]}}}]'
            l = b64(sha256(base64.b64decode(salt) + line.encode()))
        out += l + "\n"
    return out.encode()

for d in load("disclosures.json")["good"]:
    same(d["why"], sha256(fields_file(d["disclosure"])).hex(), d["commitment"])

streams = load("streams.json")
for s in streams["streams"]:
    names = ["helm/stream/v1", s["name"]] + [s[k] for k in ("agent", "session") if k in s]
    key = base64.b64decode(streams["stream_key"])
    same(s, b64(hmac.digest(key, ("[" + ",".join(map(text, names)) + "]").encode(), "sha256")), s["id"])

leaf_hash = lambda leaf: sha256(b"\0" + leaf)
node_hash = lambda l, r: sha256(b"\1" + l + r)

def root(hashes):
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"")
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(root(hashes[:split]), root(hashes[split:]))

ids = []
for s in load("statements.json")["good"]:
    statement = s["statement"].encode()
    p = json.loads(statement)
    leaf = f'helm/leaf/v1 {p["predicateType"].split("/")[-2]}\n{b64(sha256(statement))}\n'
    leaf += "".join(f'{t["id"]} {t["seq"]}\n' for t in p["predicate"]["streams"])
    same(s["name"], leaf, s["leaf"])
    same(s["name"], leaf_hash(leaf.encode()).hex(), s["id"])
    same(s["name"], p["predicate"]["index"], len(ids))
    ids.append(leaf_hash(leaf.encode()))

for c in load("checkpoints.json")["good"]:
    origin, size, hash64 = c["checkpoint"].split("\n\n")[0].split("\n")
    same("checkpoint of size " + size, b64(root(ids[: int(size)])), hash64)

def proof_root(index, size, hash, path):
    last = size - 1
    for h in path:
        if index & 1 or index == last:
            hash = node_hash(h, hash)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            hash = node_hash(hash, h)
        index, last = index >> 1, last >> 1
    return hash if last == 0 else b""

for v in load("proofs.json")["good"]:
    head, body, _ = v["proof"].split("\n\n")
    _, index, *path = head.split("\n")
    _, size, want = body.split("\n")
    got = proof_root(int(index.split(" ")[1]), int(size), leaf_hash(v["leaf"].encode()), [base64.b64decode(h) for h in path])
    same("proof " + index, b64(got), want)
for t in load("proofs.json")["trees"]:
    same("tree", b64(root([leaf_hash(bytes.fromhex(l)) for l in t["leaves_hex"]])), t["root"])

for e in load("envelopes.json")["good"]:
    env = json.loads(e["envelope"])
    kind, body = env["payloadType"].encode(), base64.b64decode(env["payload"])
    pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
    print("pae", sha256(pae).hex())
print("checked", checked)
