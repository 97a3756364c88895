/** Sockets of both ends share one buffer of this process here, as in a server that has clients of its own. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { connectPassing, createPassingServer, onBytes } from './passing-reads.ts'

const HOST = '127.0.0.1'

const opened: (Socket | Server)[] = []
afterEach(() => {
  for (const each of opened.splice(0))
    if ('destroy' in each) each.destroy()
    else each.close()
})

async function listen(accepted: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createPassingServer((socket) => {
    opened.push(socket)
    socket.on('error', () => {})
    accepted(socket)
  })
  opened.push(server)
  server.listen(0, HOST)
  await once(server, 'listening')
  return { server, port: (server.address() as { port: number }).port }
}

async function dial(port: number): Promise<Socket> {
  const socket = connect({ host: HOST, port })
  opened.push(socket)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Bytes whose place can be told from their value. */
function pattern(bytes: number, seed: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8) * 17 + seed) & 0xff))
}

describe('sockets that read into one buffer', () => {
  test('hand out everything that was sent, in order, from many at once, whole reads among them', async () => {
    const sent = [1, 1_000, 65_536, 700_000].map((bytes, i) => pattern(bytes, i))
    const { port } = await listen((socket) => {
      onBytes(socket, (bytes) => socket.write(Buffer.from(bytes)))
    })
    const got = await Promise.all(
      sent.map((bytes) => {
        const socket = connectPassing({ host: HOST, port })
        opened.push(socket)
        const parts: Buffer[] = []
        return new Promise<Buffer>((resolve, reject) => {
          let count = 0
          socket.on('error', reject)
          onBytes(socket, (part) => {
            parts.push(Buffer.from(part))
            count += part.length
            if (count === bytes.length) resolve(Buffer.concat(parts))
          })
          socket.once('connect', () => socket.write(bytes))
        })
      }),
    )
    for (const [i, bytes] of got.entries()) expect(bytes.equals(sent[i] as Buffer)).toBe(true)
  })

  test('allocate nothing for a read: each gets the same memory', async () => {
    const memory = new Set<ArrayBufferLike>()
    let heard = 0
    const { promise, resolve } = deferred()
    const { port } = await listen((socket) => {
      onBytes(socket, (bytes) => {
        memory.add(bytes.buffer)
        if (++heard === 2) resolve()
      })
    })
    for (const bytes of [pattern(100, 1), pattern(100, 2)]) (await dial(port)).write(bytes)
    await promise
    expect(memory.size).toBe(1)
  })

  test('tell of the end and the close, after all bytes', async () => {
    const told: string[] = []
    const { promise, resolve } = deferred()
    const { port } = await listen((socket) => {
      onBytes(socket, () => told.push('bytes'))
      socket.on('end', () => told.push('end'))
      socket.on('close', () => {
        told.push('close')
        resolve()
      })
    })
    const socket = await dial(port)
    socket.end('last words')
    await promise
    expect(told).toEqual(['bytes', 'end', 'close'])
  })

  test('tell of a peer that resets', async () => {
    const { promise: heard, resolve: hear } = deferred()
    let closed: Promise<boolean> | undefined
    const { port } = await listen((socket) => {
      onBytes(socket, hear)
      closed = new Promise((resolve) => socket.on('close', resolve))
    })
    const socket = await dial(port)
    socket.write('x')
    await heard
    socket.resetAndDestroy()
    expect(await closed).toBe(true)
  })

  test('read nothing while they are paused, and everything afterwards', async () => {
    const { promise: paused, resolve: pause } = deferred()
    const { promise: all, resolve: done } = deferred()
    let accepted: Socket | undefined
    let count = 0
    const total = 5_000_000
    const { port } = await listen((socket) => {
      accepted = socket
      onBytes(socket, (bytes) => {
        expect(socket.isPaused()).toBe(false)
        count += bytes.length
        if (count === total) done()
        else if (count === bytes.length) {
          socket.pause()
          pause()
        }
      })
    })
    const socket = await dial(port)
    socket.write(pattern(total, 3))
    await paused
    const before = count
    // Each pass of the event loop looks at every socket that is read.
    for (let pass = 0; pass < 50; pass++) await new Promise((resolve) => setImmediate(resolve))
    expect(count).toBe(before)
    accepted?.resume()
    await all
  })

  test('a server waits for them when it closes, and knows where they come from', async () => {
    let accepted: Socket | undefined
    const { promise, resolve } = deferred()
    const { server, port } = await listen((socket) => {
      accepted = socket
      onBytes(socket, () => {})
      resolve()
    })
    const socket = await dial(port)
    await promise
    expect(accepted?.remotePort).toBe(socket.localPort)
    expect(accepted?.localPort).toBe(port)
    const closed = once(server, 'close')
    let isClosed = false
    server.close(() => (isClosed = true))
    await new Promise((resolve) => setImmediate(resolve))
    expect(isClosed).toBe(false)
    accepted?.destroy()
    await closed
  })
})

test('bytes of any other socket are heard the same way', async () => {
  const { promise, resolve } = deferred()
  const server = createServer((socket) => {
    opened.push(socket)
    onBytes(socket, (bytes) => {
      expect(bytes.toString()).toBe('hello')
      resolve()
    })
  })
  server.listen(0, HOST)
  await once(server, 'listening')
  ;(await dial((server.address() as { port: number }).port)).write('hello')
  await promise
  server.close()
})

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}
