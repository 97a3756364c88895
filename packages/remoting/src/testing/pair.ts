/** A raw TCP peer for tests: bytes in, bytes out, no protocol. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'

export interface RawClient {
  socket: Socket
  received: () => Buffer
  /** How much was received, without joining it. */
  receivedBytes: () => number
  closed: Promise<void>
}

/** Connects a raw socket to a server under test. */
export async function rawClient(port: number): Promise<RawClient> {
  const socket = connect({ host: '127.0.0.1', port })
  const chunks: Buffer[] = []
  let bytes = 0
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
  })
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  await once(socket, 'connect')
  return { socket, received: () => Buffer.concat(chunks), receivedBytes: () => bytes, closed }
}

/** Listens as a server that does only what the test makes it do. */
export async function rawServer(accept: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    accept(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 }
}

/** Resolves when `condition` holds, looking after each pass of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
