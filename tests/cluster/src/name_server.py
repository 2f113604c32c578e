# Name server with a few records. Arguments: its address, then NAME=ADDRESS or NAME=servfail. It denies all other names.
import socket
import sys

address, *records = sys.argv[1:]
known = dict(record.split("=") for record in records)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((address, 53))
print("listening", flush=True)
while True:
    query, program = server.recvfrom(4096)
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
        at += query[at] + 1
    name, kind, end = ".".join(labels), query[at + 1 : at + 3], at + 5
    says = known.get(name)
    exists = says or any(other.endswith("." + name) for other in known)
    code = 2 if says == "servfail" else 0 if exists else 3
    found = code == 0 and says and kind == b"\0\1"
    answer = query[:2] + bytes([0x81, 0x80 | code]) + b"\0\1" + bytes([0, bool(found)]) + bytes(4) + query[12:end]
    if found:
        answer += b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(says)
    server.sendto(answer, program)
