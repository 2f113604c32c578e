# Relay to the API server. Arguments: its own address and the API server's, each HOST:PORT. It takes CONNECT as a proxy
# does, and leads each connection to the API server, whatever address is asked for. With the files of a certificate and
# its key, it is a server of TLS instead, which passes on requests. It prints a line for each connection.
import asyncio
import contextlib
import ssl
import sys

own, server, *files = sys.argv[1:]
inward = outward = None
if files:
    inward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inward.load_cert_chain(*files)
    outward = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outward.check_hostname, outward.verify_mode = False, ssl.CERT_NONE


async def pass_on(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def relay(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        asked = b"TLS" if files else await reader.readuntil(b"\r\n\r\n")
        print("connection:", asked.split(b"\r\n")[0].decode(), flush=True)
        far_reader, far_writer = await asyncio.open_connection(*server.rsplit(":", 1), ssl=outward)
        if not files:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))
        return
    writer.close()


async def main():
    listening = await asyncio.start_server(relay, *own.rsplit(":", 1), ssl=inward)
    print("listening", flush=True)
    await listening.serve_forever()


asyncio.run(main())
