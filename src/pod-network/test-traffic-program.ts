import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";

/*
 * Real traffic between namespaces, for tests; run by test-traffic.ts.
 *   serve               echoes TCP and UDP on port 7777 and prints "ready"
 *   tcp ADDRESS BYTES   sends that many bytes and prints how many came back, and from which address the server saw them come
 *   udp ADDRESS BYTES   sends a datagram until its echo comes, and prints its size
 *   refused ADDRESS...  connects to a closed port of each and prints each address that refused
 * It gives up after a while so that a broken path fails a test instead of hanging it.
 */

const PORT = 7777;
const CLOSED_PORT = 7;
const GIVE_UP_MS = 15_000;
const RESEND_MS = 200;

const say = (text: string): boolean => process.stdout.write(`${text}\n`);

async function serve(): Promise<void> {
  const tcp = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.write(`${socket.remoteAddress?.replace(/^::ffff:/, "")}\n`);
    socket.pipe(socket);
  });
  const udp = createSocket("udp4");
  udp.on("message", (message, from) => udp.send(message, from.port, from.address));
  udp.bind(PORT);
  tcp.listen(PORT, "0.0.0.0");
  await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  say("ready");
  process.stdin.on("end", () => process.exit(0)).resume();
}

async function tcp(address: string, bytes: number): Promise<string> {
  const socket = connect(PORT, address);
  const payload = Buffer.alloc(bytes, "x");
  const received: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => received.push(chunk));
  await once(socket, "connect");
  socket.end(payload);
  await once(socket, "end");
  const [seen = "", echo = ""] = Buffer.concat(received).toString().split("\n");
  return `${echo.length} bytes back, seen as ${seen}`;
}

async function udp(address: string, bytes: number): Promise<string> {
  const socket = createSocket("udp4");
  const send = (): void => socket.send(Buffer.alloc(bytes, "x"), PORT, address);
  send();
  const timer = setInterval(send, RESEND_MS);
  const [message] = await once(socket, "message");
  clearInterval(timer);
  socket.close();
  return `${message.length} bytes back`;
}

async function refused(address: string): Promise<string> {
  const socket = connect(CLOSED_PORT, address);
  const [error] = await once(socket, "error");
  return error.code === "ECONNREFUSED" ? address : `${address}: ${error.code}`;
}

const [mode = "", ...args] = process.argv.slice(2);
if (mode === "serve") {
  await serve();
} else {
  setTimeout(() => {
    process.stderr.write(`no answer to ${mode} ${args.join(" ")}\n`);
    process.exit(1);
  }, GIVE_UP_MS).unref();
  const [address = "", bytes = "0"] = args;
  if (mode === "tcp") say(await tcp(address, Number(bytes)));
  else if (mode === "udp") say(await udp(address, Number(bytes)));
  else say((await Promise.all(args.map(refused))).join(" "));
  process.exit(0);
}
