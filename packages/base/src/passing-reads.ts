/**
 * TCP sockets that read into one buffer of the process instead of a new one for each read.
 *
 * Node.js allocates 64 KiB for every read of a stream and leaves them to the garbage collector, which lets 32 MiB of them gather: memory
 * that is never near a core's caches (figures in `bench/README.md`).
 *
 * Keeps: whoever takes bytes here has them during the call only, whatever socket they come from. What a socket does otherwise (`end`,
 * `close`, `error`, writing) is as with any other; but `pause` stops the kernel's side at once, so that a paused socket does not see its
 * peer's end, and closing one that has bytes unread resets the connection.
 */
import { createServer, type OnReadOpts, type Server, Socket, type SocketConstructorOpts } from 'node:net'

/** What a stream of Node.js reads at once. */
const READ_BYTES = 65_536

/** Of this thread: a read is handled before there is another. */
let shared: Buffer | null = null

type Take = (bytes: Buffer) => void

const takers = new WeakMap<Socket, { take: Take }>()

/** Begins to connect, as `connect` of `node:net`. Its bytes are heard by `onBytes` only, which is to be called at once. */
export function connectPassing({ host, port }: { readonly host: string; readonly port: number }): Socket {
  return passing({}).connect({ host, port })
}

/** A server, not listening yet, as `createServer` of `node:net`. Bytes of what it accepts are heard by `onBytes` only, called within `accepted`. */
export function createPassingServer(accepted: (socket: Socket) => void): Server {
  return createServer({ pauseOnConnect: true }, (socket) => accepted(takenOver(socket)))
}

/** `take` gets what `socket` reads from now on; the bytes are valid during the call only. Once for each socket. */
export function onBytes(socket: Socket, take: Take): void {
  const taker = takers.get(socket)
  if (taker === undefined) socket.on('data', take)
  else taker.take = take
}

/** What the constructor of a socket takes besides what its type says: documented, and what servers of Node.js hand over. */
type Options = SocketConstructorOpts & { onread?: OnReadOpts; readonly handle?: object }

function passing(given: Options): Socket {
  const taker = { take: (): void => {} }
  const buffer = (shared ??= Buffer.allocUnsafeSlow(READ_BYTES))
  const callback = (count: number): boolean => {
    ;(taker as { take: Take }).take(count === READ_BYTES ? buffer : buffer.subarray(0, count))
    return true
  }
  const options: Options = { ...given, onread: { buffer, callback } }
  const socket = new Socket(options)
  takers.set(socket, taker)
  return socket
}

/**
 * A server of Node.js makes its sockets itself and takes no `onread` for them, so another socket goes on with the handle. The first stays
 * as long, for the server counts it. Where the handle is not as expected, the first is given back.
 */
function takenOver(first: Socket): Socket {
  const inner = first as Socket & { _handle?: { readonly useUserBuffer?: unknown } | null }
  const handle = inner._handle
  if (handle === undefined || handle === null || typeof handle.useUserBuffer !== 'function') return first.resume()
  inner._handle = null
  const socket = passing({ handle })
  socket.once('close', () => first.destroy())
  return socket
}
